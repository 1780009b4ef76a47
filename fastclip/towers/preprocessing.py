"""open_clip's preprocessing settings, resolved as open_clip resolves them for inference."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from fastclip.errors import CheckpointError
from fastclip.stimuli.base import PixelSpec
from fastclip.towers.base import Preprocessing

OPENAI_MEAN = (0.48145466, 0.4578275, 0.40821073)
OPENAI_STD = (0.26862954, 0.26130258, 0.27577711)

_KEYS = ("mean", "std", "interpolation", "resize_mode")
_CHOICES = {
    # "random" is a training augmentation; inference with it is bicubic.
    "interpolation": {"bicubic": "bicubic", "bilinear": "bilinear", "random": "bicubic"},
    "resize_mode": {"shortest": "shortest", "longest": "longest", "squash": "squash"},
}


def resolve_preprocessing(
    config: Mapping[str, Any], overlay: Mapping[str, Any], where: str
) -> Preprocessing:
    """PreprocessCfg's defaults, the model's picture size, then what `overlay` sets.

    Args:
        config: open_clip's model config; its `vision_cfg.image_size` is the size.
        overlay: `mean`, `std`, `interpolation`, `resize_mode`, `fill_color`; None is unset.
        where: the file they come from, for errors.

    Raises:
        CheckpointError: a value that open_clip's inference transform does not know.
    """
    chosen = {}
    for key, choices in _CHOICES.items():
        value = overlay.get(key) or next(iter(choices))
        if value not in choices:
            raise CheckpointError(
                f"{key} is '{value}'", where=where, mend=f"one of: {', '.join(choices)}"
            )
        chosen[key] = choices[value]
    height, width = _pair(config["vision_cfg"].get("image_size", 224))
    pixels = PixelSpec(
        height,
        width,
        chosen["resize_mode"],
        chosen["interpolation"],
        int(overlay.get("fill_color") or 0),
    )
    mean = _triple(overlay.get("mean") or OPENAI_MEAN)
    return Preprocessing(pixels, mean, _triple(overlay.get("std") or OPENAI_STD))


def unsaid(overlay: Mapping[str, Any]) -> tuple[str, ...]:
    """What the overlay leaves to open_clip's defaults, as a sentence for `guessed`."""
    missing = [key for key in _KEYS if overlay.get(key) is None]
    if not missing:
        return ()
    names = {
        "mean": f"picture mean {OPENAI_MEAN}",
        "std": f"picture std {OPENAI_STD}",
        "interpolation": "bicubic interpolation",
        "resize_mode": "resizing the shortest side, then centre crop",
    }
    said = ", ".join(names[key] for key in missing)
    return (f"preprocessing: open_clip's defaults for what no file says: {said}",)


def _pair(value: Any) -> tuple[int, int]:
    if isinstance(value, (list, tuple)):
        values = [int(v) for v in value]
        return values[0], values[-1]
    return int(value), int(value)


def _triple(value: Any) -> tuple[float, float, float]:
    if isinstance(value, (int, float)):
        value = (value,) * 3
    red, green, blue = (float(v) for v in value)
    return red, green, blue
