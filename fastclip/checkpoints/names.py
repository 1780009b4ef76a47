"""What the names of files and folders say: natural order, run, step and epoch."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable
from functools import lru_cache
from pathlib import Path

_NUMBER = re.compile(r"(\d+)")
# "ep", "epoch" or "step" as words of their own, a number after them, and nothing that changes
# its meaning: "step_10k" and "epoch_1.5" say nothing that is certain.
_EPOCH = re.compile(r"(?<![a-z])(?:epochs?|ep)[ _=-]?(\d+)(?![\da-z]|\.\d)", re.IGNORECASE)
_STEP = re.compile(
    r"(?<![a-z])(?:global[_-]?step|steps?|iter(?:ation)?s?)[ _=-]?(\d+)(?![\da-z]|\.\d)",
    re.IGNORECASE,
)
_TRAINER = re.compile(r"checkpoint-(\d+)")


def natural_key(text: str) -> tuple[tuple[int, int, str], ...]:
    """Sort key under which `epoch_2` comes before `epoch_10`."""
    parts = _NUMBER.split(text)
    return tuple(
        (0, int(part), part) if index % 2 else (1, 0, part.lower())
        for index, part in enumerate(parts)
        if part
    )


def place_in_name(path: Path) -> tuple[int | None, int | None]:
    """(step, epoch) as the name says them: `epoch_3.pt`, `epoch=1-step=200.ckpt`, `step_100.pt`.

    `checkpoint-500` is a step (Hugging Face's Trainer counts so). Zero padding is fine; a
    number without its word (`2016.pt`) says neither.
    """
    trainer = _TRAINER.fullmatch(path.name)
    if trainer:
        return int(trainer[1]), None
    step, epoch = _STEP.search(path.name), _EPOCH.search(path.name)
    return (int(step[1]) if step else None), (int(epoch[1]) if epoch else None)


def run_folder(path: Path) -> Path:
    """The run's folder: the checkpoint's own, or the one above open_clip's `checkpoints`."""
    return _run_folder(absolute(path).rpartition("/")[0] or "/")


@lru_cache(maxsize=4096)
def _run_folder(folder: str) -> Path:
    path = Path(folder)
    return path.parent if path.name == "checkpoints" else path


def absolute(path: Path) -> str:
    """The path from the root, not resolved: a link keeps the name of the folder it stands in.

    `os.path.abspath` for files of which many lie in one folder.
    """
    text = os.fspath(path)
    folder, _, name = text.rpartition("/")
    if name in ("", ".", ".."):
        return os.path.abspath(text)  # noqa: PTH100
    if not text.startswith("/"):
        folder = f"{os.getcwd()}/{folder}"  # noqa: PTH109
    return f"{_normal(folder or '/').rstrip('/')}/{name}"


@lru_cache(maxsize=4096)
def _normal(folder: str) -> str:
    return os.path.normpath(folder)


def run_names(folders: Iterable[Path]) -> dict[Path, str]:
    """A name for every run folder: its own, with those above it where two would be equal."""
    todo = set(folders)
    names: dict[Path, str] = {}
    depth = 1
    while todo:
        tried: dict[str, list[Path]] = {}
        for folder in todo:
            tried.setdefault("/".join(folder.parts[-depth:]).lstrip("/") or "/", []).append(folder)
        for name, those in tried.items():
            if len(those) == 1 or depth > max(len(folder.parts) for folder in those):
                names.update(dict.fromkeys(those, name))
                todo.difference_update(those)
        depth += 1
    return names
