"""Find checkpoints, order them, and read only the tensors that are needed, safely."""

from __future__ import annotations

from pathlib import Path

from fastclip.checkpoints.base import Checkpoint, CheckpointFile, Reader
from fastclip.checkpoints.names import place_in_name, run_folder
from fastclip.errors import UsageError
from fastclip.registry import Registry

FORMATS: Registry[type[Reader]] = Registry(
    "checkpoint format",
    {
        "torch": "fastclip.checkpoints.torch_zip:TorchReader",
        "safetensors": "fastclip.checkpoints.safetensors_file:SafetensorsReader",
        "huggingface": "fastclip.checkpoints.huggingface:HuggingFaceReader",
    },
)


def format_of(path: Path) -> str | None:
    """Name of the first format in `FORMATS` that recognises `path`, or None."""
    return next((name for name in FORMATS if FORMATS.get(name).recognises(path)), None)


def describe(path: Path, *, run: str | None = None, weights: str = "raw") -> Checkpoint:
    """The `Checkpoint` of one file or folder, from its name and stamp.

    Raises:
        UsageError: no format recognises it.
        CheckpointError: it is still being written, or was cut short.
    """
    name = format_of(path)
    if name is None:
        raise UsageError(
            "not a checkpoint that fastclip knows",
            where=path,
            mend=f"formats: {', '.join(FORMATS)} (.pt .pth .bin .ckpt .safetensors, or a "
            "Hugging Face folder with config.json and weights)",
        )
    step, epoch = place_in_name(path)
    return Checkpoint(
        path=path,
        run=run if run is not None else run_folder(path).name,
        format=name,
        stamp=FORMATS.get(name).stamp(path),
        weights=weights,
        step=step,
        epoch=epoch,
    )


def open_checkpoint(checkpoint: Checkpoint, trust_pickle: bool = False) -> CheckpointFile:
    """Open a checkpoint with the reader of its format.

    Raises:
        CheckpointError: see `Reader.open`.
    """
    reader = FORMATS.get(checkpoint.format)
    return reader.open(checkpoint.path, weights=checkpoint.weights, trust_pickle=trust_pickle)


def stamp(checkpoint: Checkpoint) -> str:
    """The checkpoint's stamp as it is now; reads no weights.

    Raises:
        CheckpointError: it is being written again, was cut short, or is gone.
    """
    return FORMATS.get(checkpoint.format).stamp(checkpoint.path)
