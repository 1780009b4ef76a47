"""Which architecture a checkpoint is of."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from fastclip.files import digest_of
from fastclip.stimuli.base import PixelSpec
from fastclip.towers.base import Architecture, Preprocessing

OPENAI_MEAN = (0.48145466, 0.4578275, 0.40821073)
OPENAI_STD = (0.26862954, 0.26130258, 0.27577711)


def make_architecture(
    name: str,
    config: Mapping[str, Any],
    preprocess: Mapping[str, Any],
    *,
    source: str,
    guessed: tuple[str, ...] = (),
    tokenizer: str | None = None,
) -> Architecture:
    size = preprocess.get("size", config["vision_cfg"].get("image_size", 224))
    height, width = (size, size) if isinstance(size, int) else size
    preprocessing = Preprocessing(
        PixelSpec(
            int(height),
            int(width),
            preprocess.get("resize_mode") or "shortest",
            preprocess.get("interpolation") or "bicubic",
            int(preprocess.get("fill_color") or 0),
        ),
        tuple(preprocess.get("mean") or OPENAI_MEAN),
        tuple(preprocess.get("std") or OPENAI_STD),
    )
    pixels = preprocessing.pixels
    digest = digest_of(
        {
            "config": config,
            "size": [pixels.height, pixels.width],
            "mean": preprocessing.mean,
            "std": preprocessing.std,
        }
    )
    return Architecture(name, config, preprocessing, source, guessed, tokenizer, digest)


def architecture_from_json(path: Path) -> Architecture:
    """An architecture from a JSON config: a bare model config or `open_clip_config.json`."""
    value = json.loads(path.read_text())
    config = value.get("model_cfg", value)
    return make_architecture(
        path.stem, config, value.get("preprocess_cfg", {}), source="--model", tokenizer=str(path)
    )
