"""What is known of a set's files without decoding them: digests, and which are sound.

A file's size and time of change decide whether it is the file of last time; the digest of its
bytes says what it is. Only files that changed are read again.
"""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property
from hashlib import blake2b
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

from fastclip.distortions.noise import key_of_digest
from fastclip.files import digest_of, write_atomic
from fastclip.stimuli.base import Int64Array, PictureSource

T = TypeVar("T")
R = TypeVar("R")

UNKNOWN, SOUND, SOUND_NOT_RGB = "?", "y", "n"


def in_order(work: Callable[[T], R], items: Iterable[T], threads: int) -> Iterator[R]:
    """`work` of each item on several threads, in order, few results waiting at any time."""
    with ThreadPoolExecutor(threads) as pool:
        waiting: deque[Future[R]] = deque()
        try:
            for item in items:
                waiting.append(pool.submit(work, item))
                if len(waiting) > 2 * threads:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            for future in waiting:
                future.cancel()


@dataclass
class Manifest:
    """Digests of a set's pictures, one per row.

    Attributes:
        path: the file it is kept in.
        content: as written: `files` [size, mtime_ns] and `digests` (hex) per row, `checked` one
            letter per row: not decoded yet, sound, sound but not stored as RGB.
        names: the pictures' names.
        hashed: how many files had to be read.
    """

    path: Path
    content: dict[str, Any]
    names: tuple[str, ...]
    hashed: int

    @cached_property
    def digest(self) -> str:
        """Hex digest of the set: names and encoded bytes, in order."""
        return digest_of([self.names, self.content["digests"]])

    @cached_property
    def keys(self) -> npt.NDArray[np.uint64]:
        """`[N]`: the pictures' keys for noise."""
        keys = (key_of_digest(bytes.fromhex(text)) for text in self.content["digests"])
        return np.fromiter(keys, np.uint64, len(self.names))

    @cached_property
    def distinct(self) -> tuple[Int64Array, Int64Array]:
        """(rows `[D]` of the first of each distinct file, `[N]` row -> its number among them)."""
        first: dict[str, int] = {}
        number = [first.setdefault(text, len(first)) for text in self.content["digests"]]
        same_as = np.array(number, np.int64)
        return np.unique(same_as, return_index=True)[1].astype(np.int64), same_as

    @property
    def checked(self) -> str:
        return str(self.content["checked"])

    def mark(self, checked: Iterable[str]) -> None:
        """Remember what decoding found, one letter per row."""
        self.content["checked"] = "".join(checked)
        self.save()

    def save(self) -> None:
        write_atomic(self.path, json.dumps(self.content).encode())


def read_manifest(source: PictureSource, folder: Path, threads: int) -> Manifest:
    """The manifest of a set, from the cache as far as the files are those of last time.

    Args:
        source: the set's pictures.
        folder: the cache folder; the manifest lies in its `manifests/`.
        threads: how many read and hash at the same time.

    Raises:
        DataError: a file cannot be read.
        OSError: the manifest cannot be written.
    """
    names = tuple(source.name(row) for row in range(len(source)))
    stats = [source.stat(row) for row in range(len(source))]
    paths = [stat[0] for stat in stats]
    files = [list(stat[1:]) for stat in stats]
    path = folder / "manifests" / f"{digest_of([names, paths])}.json"
    before = _read(path, len(names))
    changed = [row for row in range(len(names)) if files[row] != before["files"][row]]

    def hash_row(row: int) -> str:
        return blake2b(source.encoded(row), digest_size=32).hexdigest()

    digests, checked = list(before["digests"]), list(before["checked"])
    for row, digest in zip(changed, in_order(hash_row, changed, threads), strict=True):
        if digest != digests[row]:
            digests[row], checked[row] = digest, UNKNOWN
    common = str(Path(paths[0]).parent) if paths else ""
    content = {
        "folder": common,
        "files": files,
        "digests": digests,
        "checked": "".join(checked),
    }
    manifest = Manifest(path, content, names, len(changed))
    if changed or not path.is_file():
        manifest.save()
    return manifest


def _read(path: Path, rows: int) -> dict[str, Any]:
    try:
        content: dict[str, Any] = json.loads(path.read_bytes())
        if all(len(content[key]) == rows for key in ("files", "digests", "checked")):
            return content
    except (OSError, ValueError, KeyError, TypeError):
        pass  # none yet, or not ours: made anew
    return {"files": [None] * rows, "digests": [""] * rows, "checked": UNKNOWN * rows}
