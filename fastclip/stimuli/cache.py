"""The cache folder: where it is, what lies in it, and how it is emptied.

`views/` holds pictures as the models see them, `manifests/` what is known of each set's files,
`psnr/` that of each set's pairs, `graphs/` exported towers, `operators/` the compiled DALI
operator. Everything can be made again, and deleted at any time.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import time
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from fastclip.errors import UsageError
from fastclip.stimuli.view_file import describe_view

_UNITS = {"": 1, "K": 10**3, "M": 10**6, "G": 10**9, "T": 10**12}
_BINARY = {"KI": 2**10, "MI": 2**20, "GI": 2**30, "TI": 2**40}
_STALE_SECONDS = 3600.0  # a temporary file older than this belongs to a process that was killed


def cache_folder(option: Path | None = None) -> Path:
    """`--cache-dir`, else `FASTCLIP_CACHE`, else `fastclip` in the user's cache folder."""
    if option is not None:
        return option
    if named := os.environ.get("FASTCLIP_CACHE"):
        return Path(named).expanduser()
    home = os.environ.get("XDG_CACHE_HOME")
    return (Path(home) if home else Path.home() / ".cache") / "fastclip"


def parse_size(text: str) -> int:
    """Bytes of "4GiB", "500 MB", "2G" or "1000".

    Raises:
        UsageError: it is no size.
    """
    match = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([KMGT]?I?)B?\s*", text.upper())
    unit = match and {**_UNITS, **_BINARY}.get(match[2])
    if not match or not unit:
        raise UsageError(f"'{text}' is no size", mend="write it as 4GiB, 500MB or in bytes")
    return int(float(match[1]) * unit)


def size_text(size: int) -> str:
    """ "4.2 GiB"."""
    value = float(size)
    for unit in ("B", "KiB", "MiB", "GiB"):
        if value < 1024:
            return f"{value:.0f} {unit}" if unit == "B" else f"{value:.1f} {unit}"
        value /= 1024
    return f"{value:.1f} TiB"


@dataclass(frozen=True)
class Entry:
    """One thing in the cache.

    Attributes:
        path: a file, or the folder of a graph or of facts.
        kind: "view", "manifest", "psnr", "graph", "operator", "facts" or "left over" (of a
            process that was killed).
        what: one line on what it is.
        size: bytes.
        used: when it was last used, seconds since the epoch.
    """

    path: Path
    kind: str
    what: str
    size: int
    used: float

    def remove(self) -> None:
        """Delete it; nothing happens where it is gone already."""
        if self.path.is_dir():
            shutil.rmtree(self.path, ignore_errors=True)
        else:
            self.path.unlink(missing_ok=True)


FACTS: Mapping[str, str] = {
    "anchors": "what open_clip says of its published weights",
    "headers": "names and shapes of checkpoints' tensors",
    "locks": "empty files: who makes a graph or a view",
    "probes": "engines that passed the probe",
    "states": "names and shapes of architectures' tensors",
    "tokens": "token ids of prompts",
    "trials": "how fast engines are here",
}
"""Rooms of what was found out once (`fastclip.facts`) and is found out again where it is gone;
their files are small and many, so each room is one entry."""


def entries(folder: Path) -> list[Entry]:
    """Everything in the cache, what was used last first."""
    rooms: dict[str, tuple[str, Callable[[Path], str]]] = {
        "views": ("view", describe_view),
        "manifests": ("manifest", _describe_manifest),
        "psnr": ("psnr", lambda path: path.name),
        "graphs": ("graph", lambda path: path.name),
        "operators": ("operator", lambda path: path.name),
    }
    found = []
    for room, (kind, describe) in rooms.items():
        for path in _children(folder / room):
            with suppress(FileNotFoundError):  # renamed or removed by another process just now
                if path.name.startswith(".tmp-"):
                    found.append(_entry(path, "left over", path.name))
                else:
                    found.append(_entry(path, kind, describe(path)))
    for room, what in FACTS.items():
        with suppress(FileNotFoundError):
            found.append(_entry(folder / room, "facts", what))
    return sorted(found, key=lambda entry: entry.used, reverse=True)


def prune(
    folder: Path,
    *,
    older_than_days: float | None = None,
    everything: bool = False,
    max_size: int | None = None,
) -> list[Entry]:
    """Delete from the cache and return what was deleted.

    Args:
        folder: the cache folder.
        older_than_days: what was not used for so long.
        everything: all of it.
        max_size: what was used least recently, until the rest has at most so many bytes.

    Files left by a killed process always go, once they are an hour old.
    """
    now = time.time()
    kept = 0
    gone = []
    for entry in entries(folder):
        age = now - entry.used
        stale = entry.kind == "left over" and age > _STALE_SECONDS
        old = older_than_days is not None and age > older_than_days * 86400
        full = max_size is not None and kept + entry.size > max_size
        if everything or stale or old or full:
            entry.remove()
            gone.append(entry)
        else:
            kept += entry.size
    return gone


def _children(folder: Path) -> Iterable[Path]:
    return sorted(folder.iterdir()) if folder.is_dir() else ()


def _entry(path: Path, kind: str, what: str) -> Entry:
    files = [p for p in path.rglob("*") if p.is_file()] if path.is_dir() else [path]
    stats = [file.stat() for file in files] or [path.stat()]
    return Entry(path, kind, what, sum(s.st_size for s in stats), max(s.st_mtime for s in stats))


def _describe_manifest(path: Path) -> str:
    try:
        content = json.loads(path.read_text())
        return f"{len(content['digests'])} pictures below {content['folder']}"
    except (OSError, ValueError, KeyError):
        return "unreadable"
