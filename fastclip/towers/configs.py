"""open_clip's model configs: reading them and what they say, without importing open_clip."""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

from fastclip.errors import UsageError
from fastclip.open_clip_tables import open_clip_folder


@lru_cache(maxsize=1)
def open_clip_configs() -> dict[str, dict[str, Any]]:
    """`{name: config}` of every architecture open_clip knows by name."""
    files = (open_clip_folder() / "model_configs").glob("*.json")
    by_name = sorted(files, key=lambda file: file.stem.lower())
    return {file.stem: json.loads(file.read_text()) for file in by_name}


def named_config(name: str) -> dict[str, Any]:
    """The config of one of open_clip's architectures.

    Raises:
        UsageError: open_clip has no such name; the nearest ones are listed.
    """
    configs = open_clip_configs()
    # open_clip itself takes ViT-B/32 for ViT-B-32.
    cleaned = name.replace("/", "-")
    if cleaned not in configs:
        from difflib import get_close_matches

        near = get_close_matches(cleaned, configs, n=5, cutoff=0.4)
        raise UsageError(
            f"open_clip has no architecture '{name}'",
            where="--model",
            mend=f"did you mean {', '.join(near)}? " * bool(near)
            + "'fastclip ls models' lists them; a path to a JSON config works too",
        )
    return json.loads(json.dumps(configs[cleaned]))  # type: ignore[no-any-return]


def name_of_config(config: Mapping[str, Any]) -> str | None:
    """open_clip's name of a config that is exactly one of its own, else None."""
    for name, known in open_clip_configs().items():
        if known == config:
            return name
    return None


def without_text(config: Mapping[str, Any]) -> dict[str, Any]:
    """The config with the smallest text tower, for when only pictures are encoded."""
    text = {"context_length": 2, "vocab_size": 2, "width": 8, "heads": 1, "layers": 1}
    return {
        key: text if key == "text_cfg" else value
        for key, value in config.items()
        if key != "multimodal_cfg"
    }


def text_pooling(config: Mapping[str, Any]) -> str:
    """How the text tower makes one vector: "argmax", "eos", "first", "last", "none", "hf".

    An appended class token overrides open_clip's `pool_type`: it is always the last.
    """
    text = config["text_cfg"]
    if text.get("hf_model_name"):
        return "hf"
    return "last" if text.get("embed_cls") else str(text.get("pool_type", "argmax"))


def is_dynamic_text(config: Mapping[str, Any]) -> bool:
    """Whether a batch of prompts may be cut to any length that holds its longest prompt.

    True where the text tower is causal and pooled at end-of-text, so that no position after it
    is ever read.
    """
    causal = not config["text_cfg"].get("no_causal_mask", False)
    return causal and text_pooling(config) in ("argmax", "eos")


def is_custom_text(config: Mapping[str, Any]) -> bool:
    """Whether open_clip itself builds a model with a separate text tower."""
    return bool(config.get("custom_text") or config["text_cfg"].get("hf_model_name"))
