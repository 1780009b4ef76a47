"""What the files that a training run leaves beside its checkpoints say of the architecture."""

from __future__ import annotations

import ast
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from fastclip.checkpoints.anchors import published
from fastclip.checkpoints.names import run_folder
from fastclip.errors import CheckpointError, UsageError
from fastclip.towers import huggingface
from fastclip.towers.configs import name_of_config, named_config, open_clip_configs


@dataclass(frozen=True)
class Description:
    """An architecture as a file, an option or the weights describe it.

    Attributes:
        name: the `arch` column.
        config: open_clip's model config.
        preprocess: `mean`, `std`, `interpolation`, `resize_mode`, `fill_color` as far as said.
        source: where it comes from (see `Architecture.source`).
        where: the file, for errors.
        guessed: what had to be guessed, beside preprocessing.
    """

    name: str
    config: dict[str, Any]
    preprocess: Mapping[str, Any]
    source: str
    where: str
    guessed: tuple[str, ...] = field(default=())


def nearby(path: Path) -> Iterator[Path]:
    """The checkpoint's folder, its parent and its parent's parent, nearest first."""
    folder = path if path.is_dir() else path.parent
    yield from (folder, *list(folder.resolve().parents)[:2])


def read_params(path: Path) -> dict[str, Any]:
    """open_clip's `params.txt`: `{option: value}`, values as Python literals where they are."""
    values: dict[str, Any] = {}
    for line in path.read_text(errors="replace").splitlines():
        key, colon, text = line.partition(":")
        if not colon:
            continue
        try:
            values[key.strip()] = ast.literal_eval(text.strip())
        except (ValueError, SyntaxError):
            values[key.strip()] = text.strip()
    return values


def find_params(checkpoint: Path) -> tuple[Path, dict[str, Any]] | None:
    """The nearest `params.txt` that names a model."""
    for folder in nearby(checkpoint):
        path = folder / "params.txt"
        if path.is_file():
            params = read_params(path)
            if params.get("model"):
                return path, params
    return None


def from_params(
    path: Path, params: Mapping[str, Any], cache_dir: Path | None = None
) -> Description:
    """What open_clip's training built for these options (its `create_model_and_transforms`).

    Args:
        cache_dir: see `published`.

    Raises:
        CheckpointError: the model is neither open_clip's nor a JSON config near the file.
    """
    name = str(params["model"])
    config = _config_of_run(name, path)
    vision, text = config["vision_cfg"], config["text_cfg"]
    if params.get("force_quick_gelu"):
        config["quick_gelu"] = True
    if params.get("force_custom_text"):
        config["custom_text"] = True
    if params.get("force_context_length"):
        text["context_length"] = params["force_context_length"]
    if params.get("siglip"):
        config["init_logit_bias"] = -10
    size = params.get("force_image_size")
    if size:
        if isinstance(size, (list, tuple)) and len(size) == 1:
            size = size[0]
        vision["image_size"] = size
        if vision.get("timm_model_name"):
            config["force_image_size"] = size
    preprocess = dict(_tag_preprocessing(name, params.get("pretrained"), cache_dir))
    for key in ("mean", "std", "interpolation", "resize_mode"):
        if params.get(f"image_{key}") is not None:
            preprocess[key] = params[f"image_{key}"]
    # A run's own options leave nothing open: what they do not set, open_clip set.
    return Description(name.replace("/", "-"), config, preprocess, "params.txt", str(path))


def from_json(path: Path, source: str, name: str | None = None) -> Description:
    """A bare model config, an `open_clip_config.json`, or a `CLIPModel`'s `config.json`.

    Raises:
        CheckpointError: not JSON, or none of the three; UsageError where `--model` names it.
    """
    kind = UsageError if source == "--model" else CheckpointError
    try:
        value = json.loads(path.read_text())
    except (OSError, ValueError) as error:
        raise kind(f"not a JSON config: {error}", where=path) from error
    if isinstance(value, dict) and "model_type" in value:
        config = huggingface.open_clip_config(value, str(path))
        beside = path.with_name("preprocessor_config.json")
        preprocess = (
            huggingface.preprocess_cfg(json.loads(beside.read_text())) if beside.is_file() else {}
        )
        return Description(
            name_of_config(config) or huggingface.short_name(config),
            config,
            preprocess,
            source,
            str(path),
        )
    config = value.get("model_cfg", value) if isinstance(value, dict) else {}
    if not {"embed_dim", "vision_cfg", "text_cfg"} <= config.keys():
        raise kind(
            "not a model config: embed_dim, vision_cfg and text_cfg must be there",
            where=path,
            mend="give a JSON as in open_clip's model_configs, or an open_clip_config.json",
        )
    own = path.stem if "model_cfg" not in value else path.parent.name
    return Description(
        name or name_of_config(config) or own,
        config,
        value.get("preprocess_cfg") or {},
        source,
        str(path),
    )


def from_folder(checkpoint: Path, layout: str) -> Description | None:
    """`config.json` of a Hugging Face checkpoint, or an `open_clip_config.json` beside."""
    folder = next(nearby(checkpoint))
    if layout == "huggingface":
        for place in nearby(checkpoint):
            if (place / "config.json").is_file():
                return from_json(place / "config.json", "config.json")
        return None
    path = folder / "open_clip_config.json"
    if not path.is_file():
        return None
    found = from_json(path, "open_clip_config.json")
    known = name_of_config(found.config)
    name = run_folder(checkpoint).name
    return found if known else from_json(path, "open_clip_config.json", name=name)


def json_configs_beside(checkpoint: Path) -> list[Path]:
    """Model configs in the checkpoint's folder that nothing refers to."""
    found = []
    for path in sorted(next(nearby(checkpoint)).glob("*.json"))[:50]:
        try:
            value = json.loads(path.read_text())
        except (OSError, ValueError):
            continue
        if isinstance(value, dict) and {"embed_dim", "vision_cfg", "text_cfg"} <= value.keys():
            found.append(path)
    return found


def _config_of_run(name: str, params: Path) -> dict[str, Any]:
    cleaned = name.replace("/", "-")
    if cleaned in open_clip_configs():
        return named_config(cleaned)
    for folder in nearby(params):
        path = folder / f"{cleaned}.json"
        if path.is_file():
            return dict(from_json(path, "params.txt").config)
    raise CheckpointError(
        f"the run was of model '{name}', which open_clip does not know",
        where=params,
        mend=f"give its config: --model path/to/{cleaned}.json, or put it beside params.txt",
    )


def _tag_preprocessing(name: str, tag: Any, cache_dir: Path | None) -> Mapping[str, Any]:
    """A run that started from a published tag took over the tag's preprocessing."""
    if not tag or Path(str(tag)).suffix:
        return {}
    return published(name.replace("/", "-"), str(tag), cache_dir)
