"""Folders of Hugging Face: `CLIPModel.save_pretrained`, Trainer's `checkpoint-N/`, open_clip's hub.

A folder is one checkpoint: a config file and the weights beside it, whole or in shards.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from hashlib import blake2b
from pathlib import Path
from typing import Any

from fastclip.checkpoints.base import CheckpointFile, Metadata, Reader
from fastclip.checkpoints.safetensors_file import SafetensorsReader
from fastclip.checkpoints.tensor_file import PreadFile, Stored
from fastclip.checkpoints.torch_zip import TorchReader
from fastclip.errors import CheckpointError

# By config file, weights in the order in which the libraries themselves prefer them.
_WEIGHTS = {
    "open_clip_config.json": (
        "open_clip_model.safetensors",
        "open_clip_pytorch_model.safetensors",
        "open_clip_pytorch_model.bin",
        "open_clip_pytorch_model.pth",
    ),
    "config.json": (
        "model.safetensors",
        "model.safetensors.index.json",
        "pytorch_model.bin",
        "pytorch_model.bin.index.json",
    ),
}
_LAYOUTS = {"open_clip_config.json": "open_clip", "config.json": "huggingface"}
_OWNED = re.compile(
    r"(open_clip_)?(pytorch_)?(tf_)?model[\d_of-]*\.(safetensors|bin|pth?)"
    r"|(optimizer|scheduler|scaler|training_args|rng_state\w*)\.(pt|pth|bin)"
)


class HuggingFaceReader(Reader):
    """A folder with `config.json` or `open_clip_config.json` and weights."""

    name = "huggingface"

    @classmethod
    def recognises(cls, path: Path) -> bool:
        return path.is_dir() and _config_and_weights(path) is not None

    @classmethod
    def stamp(cls, path: Path) -> str:
        _, files = _files(path)
        stamps = [_reader(file).stamp(file) for file in files]
        if len(stamps) == 1:
            return stamps[0]
        parts = [stamp.split("-") for stamp in stamps]
        size, mtime = sum(int(p[0]) for p in parts), max(int(p[1]) for p in parts)
        return f"{size}-{mtime}-{blake2b(' '.join(stamps).encode(), digest_size=12).hexdigest()}"

    @classmethod
    def open(
        cls, path: Path, *, weights: str = "raw", trust_pickle: bool = False
    ) -> CheckpointFile:
        config, files = _files(path)
        stored: dict[str, Stored] = {}
        for file in files:
            with _reader(file).open(file, weights=weights, trust_pickle=trust_pickle) as opened:
                assert isinstance(opened, PreadFile)
                stored.update(opened.stored)
        return PreadFile(path, stored, _metadata(path), _LAYOUTS[config])


def owns(name: str) -> bool:
    """Whether a file of this name belongs to a Hugging Face folder, and is no checkpoint alone."""
    return _OWNED.fullmatch(name) is not None


def _config_and_weights(folder: Path) -> tuple[str, Path] | None:
    for config, names in _WEIGHTS.items():
        if (folder / config).is_file():
            for name in names:
                if (folder / name).is_file():
                    return config, folder / name
    return None


def _files(folder: Path) -> tuple[str, list[Path]]:
    """The config file's name and the files with weights, in the order of their names."""
    found = _config_and_weights(folder)
    if found is None:
        raise CheckpointError(
            "no config file with weights beside it",
            where=folder,
            mend="a Hugging Face folder has config.json and model.safetensors",
        )
    config, weights = found
    if weights.suffix != ".json":
        return config, [weights]
    shards = sorted(set(_json(weights).get("weight_map", {}).values()))
    missing = [name for name in shards if not (folder / name).is_file()]
    if missing or not shards:
        raise CheckpointError(
            f"shards are missing: {', '.join(missing) or 'all'}",
            where=weights,
            mend="copy the folder again, or wait until it is written",
        )
    return config, [folder / name for name in shards]


def _reader(file: Path) -> type[Reader]:
    return SafetensorsReader if SafetensorsReader.recognises(file) else TorchReader


def _metadata(folder: Path) -> Metadata:
    """Step and epoch of Trainer's `trainer_state.json`; a part of an epoch is no epoch."""
    state = folder / "trainer_state.json"
    if not state.is_file():
        return Metadata(extra={"optimizer": False})
    said = _json(state)
    step, epoch = said.get("global_step"), said.get("epoch")
    whole = int(epoch) if isinstance(epoch, int | float) and epoch == int(epoch) else None
    return Metadata(
        step=step if isinstance(step, int) else None,
        epoch=whole,
        extra={
            "optimizer": any((folder / f"optimizer.{end}").exists() for end in ("pt", "bin")),
            "fractional_epoch": epoch if whole is None else None,
        },
    )


def _json(path: Path) -> Mapping[str, Any]:
    try:
        value = json.loads(path.read_text())
    except (OSError, ValueError) as error:
        raise CheckpointError(f"cannot be read: {error}", where=path) from None
    if not isinstance(value, dict):
        raise CheckpointError("not a JSON object", where=path)
    return value
