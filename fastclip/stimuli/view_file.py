"""One file per view: a header of 4096 bytes, the distinct pictures, and each row's place.

The header is JSON, padded with spaces, so that `head -c 4096` shows what a file is. A file is
written under a temporary name and renamed: it is whole, or it is not there.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import asdict, dataclass
from hashlib import blake2b
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from fastclip.files import atomic_path
from fastclip.stimuli.base import Int64Array, UInt8Array

SUFFIX = ".view"
_HEADER_BYTES = 4096
_FORMAT = "fastclip view 1"


@dataclass(frozen=True)
class Header:
    """What a view file says of itself.

    Attributes:
        key: the view's key.
        title: one line for people: set, size, distortion.
        rows: pictures of the set (N).
        shape: (U, H, W, 3) of the distinct pictures.
        stored: whether the pictures are in the file; a generated view keeps only the places.
    """

    key: str
    title: str
    rows: int
    shape: tuple[int, int, int, int]
    stored: bool

    @property
    def pixel_bytes(self) -> int:
        return int(np.prod(self.shape, dtype=np.int64)) if self.stored else 0

    @property
    def file_bytes(self) -> int:
        return _HEADER_BYTES + self.pixel_bytes + 8 * self.rows


def read_header(path: Path) -> Header | None:
    """The header, or None where there is no whole view file at `path`."""
    try:
        with path.open("rb") as file:
            content: dict[str, Any] = json.loads(file.read(_HEADER_BYTES))
        if content.pop("format") != _FORMAT:
            return None
        header = Header(**{**content, "shape": tuple(content["shape"])})
        return header if path.stat().st_size == header.file_bytes else None
    except (OSError, ValueError, KeyError, TypeError):
        return None


def describe_view(path: Path) -> str:
    """One line on a view file, for `fastclip cache ls`."""
    header = read_header(path)
    if header is None:
        return "unreadable"
    note = "" if header.stored else ", places only"
    return f"{header.title} ({header.shape[0]} distinct of {header.rows} pictures{note})"


def read_index(path: Path, header: Header) -> Int64Array:
    """`[N]`: row of the set -> row of the distinct pictures. Marks the file as used now."""
    with suppress(OSError):  # a cache that is shared read-only
        os.utime(path)
    offset = _HEADER_BYTES + header.pixel_bytes
    return np.fromfile(path, np.int64, header.rows, offset=offset)


def read_pixels(path: Path, header: Header, *, mapped: bool) -> UInt8Array:
    """The distinct pictures, uint8 `[U, H, W, 3]`: in memory, or mapped from the file."""
    if mapped and header.shape[0]:
        return np.memmap(path, np.uint8, "r", _HEADER_BYTES, header.shape)
    flat = np.fromfile(path, np.uint8, header.pixel_bytes, offset=_HEADER_BYTES)
    return flat.reshape(header.shape)


def write_view(
    path: Path,
    key: str,
    title: str,
    pictures: Iterable[UInt8Array],
    same_as: npt.NDArray[np.int64],
    size: tuple[int, int],
    *,
    stored: bool,
) -> None:
    """Write a view, holding one picture at a time.

    Args:
        path: where to.
        key: the view's key.
        title: one line for people.
        pictures: uint8 `[H, W, 3]` each: one for every distinct file of the set, in order.
            Those equal in every byte are stored once.
        same_as: `[N]`: row of the set -> its number among `pictures`.
        size: (H, W).
        stored: False leaves the pictures out and keeps the places only.

    Raises:
        OSError: disk full, or the folder cannot be written; nothing is left behind.
    """
    places: dict[bytes, int] = {}
    place_of: list[int] = []
    with atomic_path(path) as temporary, temporary.open("wb") as file:
        file.write(b" " * _HEADER_BYTES)
        for picture in pictures:
            fingerprint = blake2b(picture.data, digest_size=16).digest()
            if fingerprint not in places:
                places[fingerprint] = len(places)
                if stored:
                    file.write(picture.data)
            place_of.append(places[fingerprint])
        index = np.array(place_of, np.int64)[same_as]
        file.write(index.tobytes())
        header = Header(key, title, len(same_as), (len(places), *size, 3), stored)
        text = json.dumps({"format": _FORMAT, **asdict(header)}, ensure_ascii=False)
        file.seek(0)
        file.write(text.encode().ljust(_HEADER_BYTES - 1)[: _HEADER_BYTES - 1] + b"\n")
