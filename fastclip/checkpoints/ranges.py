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
        nbytes: how many, at least one.
        buffer: makes or finds the memory they go to, when they are about to be read.
        arrived: called by the thread that has read them.
    """

    descriptor: int
    path: Path
    offset: int
    nbytes: int
    buffer: Callable[[], memoryview]
    arrived: Callable[[], None]

    @property
    def end(self) -> int:
        return self.offset + self.nbytes


def read_pieces(pieces: Iterable[Piece], cancelled: Callable[[], bool]) -> None:
    """Read them all with `THREADS` threads, beginning in the order of the files.

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
        buffers.append(piece.buffer())
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
        nbytes: its size, at least one.
        allot: gives the memory for it, uint8 `[nbytes]`, when its first range is read: what is
            converted and let go meanwhile can then serve again.
    """

    def __init__(self, nbytes: int, allot: Callable[[int], npt.NDArray[np.uint8]]) -> None:
        self.nbytes = nbytes
        self.starts = range(0, nbytes, RANGE)
        self._allot = allot
        self._raw: npt.NDArray[np.uint8] | None = None
        self._arrived = [False] * len(self.starts)
        self._hash = sha256()
        self._hashed = 0
        self._hashing = False
        self._lock = Lock()

    def size(self, index: int) -> int:
        """Bytes of a range."""
        return min(RANGE, self.nbytes - self.starts[index])

    def buffer(self, index: int) -> memoryview:
        """Where a range is to be read to."""
        with self._lock:
            if self._raw is None:
                self._raw = self._allot(self.nbytes)
        return self._range(index)

    def arrived(self, index: int) -> tuple[npt.NDArray[np.uint8], bytes] | None:
        """Note that a range has been read; hash what can be hashed by now.

        Returns:
            To the one call that makes the tensor whole: its bytes and their SHA-256.
        """
        with self._lock:
            self._arrived[index] = True
            if self._hashing:
                return None
            self._hashing = True
        while True:
            with self._lock:
                if self._hashed == len(self.starts):
                    break  # and nobody hashes this one again
                if not self._arrived[self._hashed]:
                    self._hashing = False
                    return None
            self._hash.update(self._range(self._hashed))
            self._hashed += 1
        raw, self._raw = self._raw, None  # futures may outlive it, its bytes need not
        assert raw is not None
        return raw, self._hash.digest()

    def _range(self, index: int) -> memoryview:
        assert self._raw is not None
        start = self.starts[index]
        return self._raw[start : start + self.size(index)].data
