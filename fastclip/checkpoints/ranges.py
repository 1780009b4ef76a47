"""Wanted bytes of files, read by several threads at once into memory that the caller gives.

Large tensors are cut into ranges and neighbouring small ones share a read, so that network file
systems and NVMe always have several requests of a good size before them.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from threading import Lock

import numpy as np
import numpy.typing as npt

from fastclip.errors import CheckpointError
from fastclip.machine import usable_cores

RANGE = 16 << 20
"""Bytes of one read, at most."""

GAP = 4096
"""Unwanted bytes between two wanted pieces that are read along rather than split a read."""

THREADS = min(16, usable_cores())
_PIECES = 512  # each with the gap before it: Linux takes 1024 buffers in one call


@dataclass(frozen=True)
class Piece:
    """Bytes wanted of an open file.

    Attributes:
        path: the file, for messages.
        buffer: where they go; its length is how many they are, at least one.
        arrived: called by the thread that has read them.
    """

    descriptor: int
    path: Path
    offset: int
    buffer: memoryview
    arrived: Callable[[], None]

    @property
    def end(self) -> int:
        return self.offset + len(self.buffer)


def read_pieces(pieces: Iterable[Piece], cancelled: Callable[[], bool]) -> None:
    """Read them all with `THREADS` threads; in no particular order.

    A piece is let go as soon as it has arrived.

    Args:
        cancelled: asked before every read; when it says so, the rest is left unread.

    Raises:
        CheckpointError: a file ends too early, cannot be read, or reading was cancelled; and
            what `arrived` raises.
    """

    def read(together: list[Piece]) -> None:
        if cancelled():
            raise CheckpointError("reading was cancelled", where=together[0].path)
        _read_together(together)
        for piece in together:
            piece.arrived()

    with ThreadPoolExecutor(THREADS, thread_name_prefix="read") as pool:
        # The first failure ends the loop, and what has not begun then never does.
        for _ in pool.map(read, plan_reads(pieces)):
            pass


def plan_reads(pieces: Iterable[Piece]) -> list[list[Piece]]:
    """Pieces grouped into reads of at most `RANGE` bytes, in the order of the files.

    A piece of more than `RANGE` bytes is a read of its own.
    """
    reads: list[list[Piece]] = []
    for piece in sorted(pieces, key=lambda p: (p.descriptor, p.offset)):
        if reads and _belongs(reads[-1], piece):
            reads[-1].append(piece)
        else:
            reads.append([piece])
    return reads


def _belongs(together: list[Piece], piece: Piece) -> bool:
    first, last = together[0], together[-1]
    return (
        piece.descriptor == last.descriptor
        and 0 <= piece.offset - last.end <= GAP  # tensors that share a storage overlap
        and piece.end - first.offset <= RANGE
        and len(together) < _PIECES
    )


def _read_together(together: list[Piece]) -> None:
    buffers: list[memoryview] = []
    position = together[0].offset
    for piece in together:
        if piece.offset > position:
            buffers.append(memoryview(bytearray(piece.offset - position)))
        buffers.append(piece.buffer)
        position = piece.end
    first = together[0]
    _fill(first.descriptor, buffers, first.offset, first.path)


def _fill(descriptor: int, buffers: list[memoryview], offset: int, path: Path) -> None:
    wanted_end = offset + sum(map(len, buffers))
    while buffers:
        try:
            count = os.preadv(descriptor, buffers, offset)
        except OSError as error:
            raise CheckpointError(f"cannot be read: {error.strerror}", where=path) from None
        if count == 0:
            raise CheckpointError(
                f"the file is cut short: it ends at byte {offset}, and tensors reach to byte "
                f"{wanted_end} at least",
                where=path,
                mend="copy it again, or wait until it is written",
            )
        offset += count
        while buffers and count >= len(buffers[0]):
            count -= len(buffers.pop(0))
        if count:
            buffers[0] = buffers[0][count:]


class Incoming:
    """A tensor whose ranges arrive in any order from several threads, hashed in order meanwhile.

    Args:
        raw: its bytes, uint8 `[n]`, n at least 1, not yet read.
    """

    def __init__(self, raw: npt.NDArray[np.uint8]) -> None:
        self.raw: npt.NDArray[np.uint8] | None = raw
        self._ranges = [raw[lo : lo + RANGE].data for lo in range(0, raw.size, RANGE)]
        self._arrived = [False] * len(self._ranges)
        self._hash = sha256()
        self._hashed = 0
        self._hashing = False
        self._lock = Lock()

    def ranges(self) -> list[tuple[int, memoryview]]:
        """`(bytes from the tensor's start, where they go)`, in order; none once it is whole."""
        return [(i * RANGE, buffer) for i, buffer in enumerate(self._ranges)]

    def arrived(self, index: int) -> tuple[npt.NDArray[np.uint8], bytes] | None:
        """Note that a range has been read; hash what can be hashed by now.

        Returns:
            To the one call that makes the tensor whole: its bytes and their SHA-256; they are
            not kept here.
        """
        with self._lock:
            self._arrived[index] = True
            if self._hashing:
                return None
            self._hashing = True
        while True:
            with self._lock:
                if self._hashed == len(self._ranges):
                    break  # and nobody hashes this one again
                if not self._arrived[self._hashed]:
                    self._hashing = False
                    return None
            self._hash.update(self._ranges[self._hashed])
            self._hashed += 1
        raw, self.raw, self._ranges = self.raw, None, []
        assert raw is not None
        return raw, self._hash.digest()
