"""Architectures that fit a checkpoint's tensor names and shapes."""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

from fastclip.checkpoints.base import TensorInfo
from fastclip.errors import CheckpointError, EngineError
from fastclip.facts import installed, known
from fastclip.files import canonical_json
from fastclip.towers.configs import open_clip_configs, without_text
from fastclip.towers.naming import recipes_for

# What changes nothing at inference, or shows in the weights.
_NO_MATTER = (
    "custom_text",
    "init_logit_bias",
    "init_logit_scale",
    "patch_dropout",
    "timm_drop",
    "timm_drop_path",
    "timm_model_pretrained",
    "hf_model_pretrained",
    "output_tokens",
)


def states_of(
    config: Mapping[str, Any], cache_dir: Path | None = None
) -> Mapping[str, tuple[int, ...]]:
    """`{state name: shape}` of the module open_clip builds for a config; no memory is used.

    Where the text tower cannot be built here (Hugging Face's, not in the local cache), the
    states of the visual tower alone.

    Args:
        cache_dir: states are kept in its folder `states/`, so that a second look does not import
            torch and open_clip; None keeps none.

    Raises:
        EngineError: open_clip cannot build the visual tower either.
    """
    return _states(canonical_json(config), cache_dir)


@lru_cache(maxsize=64)
def _states(config_json: str, cache_dir: Path | None) -> Mapping[str, tuple[int, ...]]:
    makers = ("torch", "open_clip_torch", "timm", "transformers")
    identity = [config_json, *map(installed, makers)]
    try:
        found = known(cache_dir, "states", identity, lambda: _build(config_json))
    except EngineError:
        # Not kept: the hub's files may be there tomorrow.
        text = without_text(json.loads(config_json))
        return _build(canonical_json(text), with_text=False)
    return {name: tuple(shape) for name, shape in found.items()}


def _build(config_json: str, with_text: bool = True) -> Mapping[str, tuple[int, ...]]:
    import torch

    from fastclip.towers.module import build_open_clip, floating_states

    with torch.device("meta"):
        return floating_states(build_open_clip(json.loads(config_json)), with_text=with_text)


def check_fits(
    name: str,
    config: Mapping[str, Any],
    tensors: Mapping[str, TensorInfo],
    layout: str,
    where: str,
    cache_dir: Path | None = None,
) -> None:
    """Refuse the architecture `name` where these tensors are not of its config.

    Raises:
        CheckpointError: lists the first tensors that are missing, mis-shaped or unknown.
    """
    try:
        _fit(canonical_json(config), tuple(tensors.items()), layout, cache_dir)
    except CheckpointError as error:
        what = error.what.replace("another architecture", f"another architecture than {name}", 1)
        raise CheckpointError(what, where=where, mend=error.mend) from None


@lru_cache(maxsize=64)
def _fit(
    config_json: str,
    tensors: tuple[tuple[str, TensorInfo], ...],
    layout: str,
    cache_dir: Path | None,
) -> None:
    """Checked once for all runs of an architecture; there may be hundreds."""
    recipes_for(_states(config_json, cache_dir), dict(tensors), layout)


def match_tensors(
    tensors: Mapping[str, TensorInfo],
    where: str,
    hint: str = "",
    cache_dir: Path | None = None,
) -> tuple[str, dict[str, Any], tuple[str, ...]]:
    """The one architecture of open_clip that has these tensors.

    Args:
        tensors: names and shapes, in one of open_clip's namings.
        where: the checkpoint, for errors.
        hint: put in front of the mend where nothing fits.
        cache_dir: see `states_of`.

    Returns:
        its name, its config, and what the weights do not show.

    Raises:
        CheckpointError: none fits, or several fit that differ in what weights do not show.
    """
    fitting = {
        name: config
        for name, config in open_clip_configs().items()
        if _plausible(config, tensors) and _fits(config, tensors, cache_dir)
    }
    if not fitting:
        raise CheckpointError(
            "no architecture of open_clip has these tensor names and shapes",
            where=where,
            mend=f"{hint}give the architecture: --model NAME, or a path to its JSON config",
        )
    (first, config), *others = fitting.items()
    differing = {first: config} | {
        name: other for name, other in others if _visible(other) != _visible(config)
    }
    if len(differing) > 1:
        raise CheckpointError(
            f"{len(differing)} architectures fit these weights and differ in what weights do not "
            f"show: {'; '.join(_told_apart(differing))}",
            where=where,
            mend="say which it is: " + " or ".join(f"--model {name}" for name in differing),
        )
    return first, dict(config), _guesses(first, config)


def _plausible(config: Mapping[str, Any], tensors: Mapping[str, TensorInfo]) -> bool:
    """A quick look at widths, depths and grids, so that few modules have to be built."""
    text, vision = config["text_cfg"], config["vision_cfg"]
    if text.get("hf_model_name"):
        return False  # cannot be built without the hub

    def shape(name: str) -> tuple[int, ...] | None:
        info = tensors.get(name) or tensors.get(f"text.{name}")
        return None if info is None else info.shape

    def blocks(*prefixes: str) -> int:
        return len(
            {n.split("resblocks.")[1].split(".")[0] for n in tensors if n.startswith(prefixes)}
        )

    rows = text.get("context_length", 77) + bool(text.get("embed_cls"))
    width = text.get("width", 512)
    if shape("token_embedding.weight") != (text.get("vocab_size", 49408), width):
        return False
    if shape("positional_embedding") != (rows, width):
        return False
    if blocks("transformer.resblocks.", "text.transformer.resblocks.") != text.get("layers", 12):
        return False
    if vision.get("timm_model_name"):
        return any(name.startswith("visual.trunk.") for name in tensors)
    if isinstance(vision.get("layers", 12), list):
        return shape("visual.layer1.0.conv1.weight") is not None
    patch, wide = vision.get("patch_size", 16), vision.get("width", 768)
    return shape("visual.conv1.weight") == (wide, 3, patch, patch) and blocks(
        "visual.transformer.resblocks."
    ) == vision.get("layers", 12)


def _fits(
    config: Mapping[str, Any], tensors: Mapping[str, TensorInfo], cache_dir: Path | None
) -> bool:
    try:
        recipes_for(states_of(config, cache_dir), tensors, "open_clip")
    except (CheckpointError, EngineError):
        return False
    return True


def _visible(config: Mapping[str, Any]) -> dict[str, Any]:
    """The config less what does not matter, flat: `{"text_cfg.heads": 8}`."""
    flat: dict[str, Any] = {"quick_gelu": False}
    for key, value in config.items():
        if key == "multimodal_cfg" or key in _NO_MATTER:
            continue
        parts = value.items() if isinstance(value, dict) else [("", value)]
        flat |= {f"{key}.{k}".strip("."): v for k, v in parts if k not in _NO_MATTER}
    return flat


def _told_apart(configs: Mapping[str, Mapping[str, Any]]) -> list[str]:
    flat = {name: _visible(config) for name, config in configs.items()}
    keys = sorted({key for one in flat.values() for key in one})
    differing = [key for key in keys if len({str(one.get(key)) for one in flat.values()}) > 1]
    return [
        f"{name} ({', '.join(f'{key} {one.get(key)}' for key in differing)})"
        for name, one in flat.items()
    ]


def _guesses(name: str, config: Mapping[str, Any]) -> tuple[str, ...]:
    vision, text = config["vision_cfg"], config["text_cfg"]
    heads = vision.get("timm_model_name") or f"{vision.get('head_width', 64)} wide"
    return (
        f"activation: {'QuickGELU' if config.get('quick_gelu') else 'GELU'}, as in open_clip's "
        f"config {name}",
        f"attention heads: text {text.get('heads', 8)}, pictures {heads}, as in that config",
        f"pooling: text '{text.get('pool_type', 'argmax')}', pictures "
        f"'{vision.get('timm_pool') or vision.get('pool_type', 'tok')}', as in that config",
        f"picture size: {vision.get('image_size', 224)}, as in that config",
        f"tokenizer: {text.get('hf_tokenizer_name') or 'open_clip own'}, as in that config",
    )
