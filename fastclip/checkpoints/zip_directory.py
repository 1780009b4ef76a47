"""The directory at the end of a zip archive, read with one `pread`.

torch's `.pt` files are zip archives without compression. The directory holds every entry's
CRC-32 and is written last: a file without it is still being written, or was cut short.
"""

from __future__ import annotations

import os
import struct
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

from fastclip.checkpoints.unfinished import unfinished
from fastclip.errors import CheckpointError

# Holds the directory of a ViT-B/32 checkpoint with its optimizer; more costs a second pread.
_TAIL = 1 << 16
_END = b"PK\5\6"
_END64_LOCATOR = b"PK\6\7"
_END64 = b"PK\6\6"


@dataclass(frozen=True)
class Entry:
    """One archived file. `name` is without the archive's own name in front."""

    name: str
    method: int  # 0: stored without compression
    crc: int
    size: int
    header: int  # position of its local header


@dataclass(frozen=True)
class Directory:
    """Raw directory of an archive, and the size and mtime (ns) of its file."""

    raw: bytes
    start: int
    size: int
    mtime: int

    @property
    def stamp(self) -> str:
        """Size, mtime and a digest of the directory, which holds every entry's CRC-32."""
        # Ten thousand directories of 100 kB are hashed while a sweep is planned; processors
        # have instructions for SHA-256, which make it three times as fast as BLAKE2b.
        return f"{self.size}-{self.mtime}-{sha256(self.raw).hexdigest()[:24]}"

    def entries(self, limit: int | None = None) -> list[Entry]:
        """The first `limit` entries, or all."""
        found: list[Entry] = []
        position = 0
        while position + 46 <= len(self.raw) and (limit is None or len(found) < limit):
            (magic, method, crc, packed, size, n_name, n_extra, n_comment, header) = (
                struct.unpack_from("<4s6xH4xIIIHHH8xI", self.raw, position)
            )
            if magic != b"PK\1\2":
                break
            name = self.raw[position + 46 : position + 46 + n_name].decode(errors="replace")
            extra = self.raw[position + 46 + n_name : position + 46 + n_name + n_extra]
            size, _, header = _widened(extra, [size, packed, header])
            found.append(Entry(name.partition("/")[2], method, crc, size, header))
            position += 46 + n_name + n_extra + n_comment
        return found


def read_directory(path: Path) -> Directory:
    """One stat, one open and, for most files, one pread of the last 64 KiB.

    Raises:
        CheckpointError: there is no whole directory (the message says whether the file is
            recent), or the file cannot be opened.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError as error:
        raise CheckpointError(f"cannot open: {error.strerror}", where=path) from None
    try:
        stat = os.fstat(descriptor)
        start = max(0, stat.st_size - _TAIL)
        tail = os.pread(descriptor, _TAIL, start)
        place = _locate(tail, start)
        if place is None:
            raise CheckpointError(_without_end(tail, stat), where=path)
        begin, length = place
        raw = (
            tail[begin - start : begin - start + length]
            if begin >= start
            else os.pread(descriptor, length, begin)
        )
        if len(raw) != length or (length and not raw.startswith(b"PK\1\2")):
            raise CheckpointError("its zip directory is damaged", where=path)
        return Directory(raw, begin, stat.st_size, stat.st_mtime_ns)
    except OSError as error:
        raise CheckpointError(f"cannot be read: {error.strerror}", where=path) from None
    finally:
        os.close(descriptor)


def _locate(tail: bytes, start: int) -> tuple[int, int] | None:
    """Position and length of the directory, or None where there is no whole end record."""
    at = tail.rfind(_END)
    if at < 0 or at + 22 > len(tail):
        return None
    length, begin, comment = struct.unpack_from("<IIH", tail, at + 12)
    if at + 22 + comment != len(tail):
        return None
    end = start + at
    locator = at - 20
    if locator >= 56 and tail[locator : locator + 4] == _END64_LOCATOR:
        (at64,) = struct.unpack_from("<Q", tail, locator + 8)
        if at64 < start or tail[at64 - start : at64 - start + 4] != _END64:
            return None
        length, begin = struct.unpack_from("<QQ", tail, at64 - start + 40)
        end = at64
    return (begin, length) if begin + length == end else None


def _widened(extra: bytes, values: list[int]) -> list[int]:
    """Size, packed size and header position, from the zip64 field where 32 bits do not do."""
    position = 0
    while position + 4 <= len(extra):
        kind, length = struct.unpack_from("<HH", extra, position)
        if kind == 1:
            wide = iter(struct.unpack_from(f"<{length // 8}Q", extra, position + 4))
            return [next(wide, value) if value == 0xFFFFFFFF else value for value in values]
        position += 4 + length
    return values


def _without_end(tail: bytes, stat: os.stat_result) -> str:
    if not stat.st_size:
        return "the file is empty"
    if tail.startswith(b"version https://git-lfs"):
        return "the file is a Git LFS pointer: its content was not downloaded"
    return f"no zip end record: {unfinished(stat)}"
