"""The same content under two names: `epoch_latest.pt` beside `epoch_32.pt`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from fastclip.checkpoints.base import Checkpoint
from fastclip.checkpoints.zip_directory import Directory, Entry, read_directory

Content = list[tuple[str, int, int]]


def drop_duplicates(
    checkpoints: Sequence[Checkpoint],
) -> tuple[list[Checkpoint], list[tuple[Path, str]]]:
    """Leave out links to a file that is there already, and each `latest` equal to another.

    Two `torch.save` archives of one state differ in their entries' names (each begins with the
    archive's own) and so even in size; equal is who has the same names after it, sizes and
    CRC-32, from the zip directory alone. Archives written without CRC-32 are never equal.

    Args:
        checkpoints: in order, so that the first of equals stays.

    Returns:
        Those that stay, and `(path, reason)` of each that does not.
    """
    inodes: dict[tuple[int, int, str], Checkpoint] = {}
    kept: list[Checkpoint] = []
    skipped: list[tuple[Path, str]] = []
    for checkpoint in checkpoints:
        try:
            stat = checkpoint.path.stat()
        except OSError as error:  # a training run deletes its old checkpoints
            skipped.append((checkpoint.path, f"gone meanwhile: {error.strerror}"))
            continue
        first = inodes.setdefault((stat.st_dev, stat.st_ino, checkpoint.weights), checkpoint)
        if first is checkpoint:
            kept.append(checkpoint)
        elif first.path != checkpoint.path:
            skipped.append((checkpoint.path, f"the same file as {first.path.name}"))
    for latest in [c for c in kept if c.format == "torch" and "latest" in c.path.stem.lower()]:
        twin = _twin(latest, [c for c in kept if c.run == latest.run and c is not latest])
        if twin is not None:
            kept.remove(latest)
            skipped.append((latest.path, f"equal to {twin.path.name}"))
    return kept, skipped


def _twin(latest: Checkpoint, others: Sequence[Checkpoint]) -> Checkpoint | None:
    directory = read_directory(latest.path)
    content = _content(directory)
    if content is None:
        return None
    for other in reversed(others):  # the newest is the likely one
        if other.format == "torch":
            candidate = read_directory(other.path)
            # The first entry is the pickle, where the epoch alone makes a difference.
            if _first(candidate) == _first(directory) and _content(candidate) == content:
                return other
    return None


def _first(directory: Directory) -> list[tuple[int, int]]:
    return [(entry.size, entry.crc) for entry in directory.entries(1)]


def _content(directory: Directory) -> Content | None:
    """Pickle and storages as (name, size, CRC-32); None where no CRC-32 was computed."""
    entries: list[Entry] = [
        e for e in directory.entries() if e.name == "data.pkl" or e.name.startswith("data/")
    ]
    if not any(e.crc for e in entries):
        return None
    return [(e.name, e.size, e.crc) for e in entries]
