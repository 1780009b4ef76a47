"""What a checkpoint file holds, told without opening it again."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fastclip import __version__
from fastclip.checkpoints import open_checkpoint
from fastclip.checkpoints.base import Checkpoint, TensorInfo
from fastclip.facts import known


@dataclass(frozen=True)
class Header:
    """Names, shapes and dtypes of a checkpoint's tensors, as in `CheckpointFile`."""

    tensors: Mapping[str, TensorInfo]
    layout: str


def header_of(
    checkpoint: Checkpoint, *, trust_pickle: bool = False, cache_dir: Path | None = None
) -> Header:
    """The header of a checkpoint; the file is opened where its stamp was never seen before.

    Opening a file that torch saved means importing torch, which takes longer than planning ten
    thousand checkpoints.

    Args:
        cache_dir: headers are kept in its folder `headers/`; None keeps none.

    Raises:
        CheckpointError: see `Reader.open`.
    """

    def read() -> dict[str, Any]:
        with open_checkpoint(checkpoint, trust_pickle) as file:
            tensors = {name: [info.shape, info.dtype] for name, info in file.tensors.items()}
            return {"layout": file.layout, "tensors": tensors}

    identity = [checkpoint.stamp, checkpoint.format, checkpoint.weights, trust_pickle, __version__]
    found = known(cache_dir, "headers", identity, read)
    tensors = {
        name: TensorInfo(tuple(shape), dtype) for name, (shape, dtype) in found["tensors"].items()
    }
    return Header(tensors, found["layout"])
