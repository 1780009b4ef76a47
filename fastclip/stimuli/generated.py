"""Pictures that are made anew for every pass over a set that fits nowhere."""

from __future__ import annotations

import threading
import weakref
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import numpy as np

from fastclip.stimuli.base import Int64Array, UInt8Array

AHEAD = 2
"""Batches that are made while an earlier one is used: the most that is held besides it."""


class GeneratedPixels:
    """Pictures made each time they are asked for; `AHEAD` batches are kept, and no more.

    `pixels[lo:hi]` is uint8 `[hi - lo, H, W, 3]`, the same bytes as a stored view's. Engines ask
    for batches in order, pass after pass: once two requests followed each other, or a pass begins,
    the next batches are made meanwhile.

    Args:
        make: uint8 `[n, H, W, 3]` of n rows of the set; called from `AHEAD` threads.
        index: `[N]`, row of the set -> distinct picture.
        shape: (U, H, W, 3) of the distinct pictures.
    """

    def __init__(
        self, make: Callable[[Sequence[int]], Any], index: Int64Array, shape: tuple[int, ...]
    ) -> None:
        self.shape = shape
        self._make = make
        self._rows = np.unique(index, return_index=True)[1]  # distinct picture -> its first row
        self._pool = ThreadPoolExecutor(AHEAD, thread_name_prefix="fastclip-pictures")
        self._begun: dict[tuple[int, int], Future[Any]] = {}
        self._lock = threading.Lock()
        self._end, self._size = 0, 0  # of the last request; pictures in one that is not the last
        weakref.finalize(self, self._pool.shutdown, wait=False, cancel_futures=True)

    def __getitem__(self, rows: slice) -> UInt8Array:
        lo, hi, _ = rows.indices(self.shape[0])
        return np.asarray(self.take(lo, hi))

    def take(self, lo: int, hi: int) -> Any:
        """What `make` gives for these distinct pictures."""
        with self._lock:
            follows = lo in (0, self._end)
            self._end = hi
            if hi < self.shape[0] or hi - lo > self._size:
                self._size = hi - lo
            ahead = self._following(hi) if follows else []
            for other in self._begun.keys() - {(lo, hi), *ahead}:
                self._begun.pop(other).cancel()
            wanted = self._begun.pop((lo, hi), None) or self._begin(lo, hi)
            for batch in ahead:
                if batch not in self._begun:
                    self._begun[batch] = self._begin(*batch)
        return wanted.result()

    def _following(self, end: int) -> list[tuple[int, int]]:
        """The batches that come next: on to the end of the set, then from its beginning."""
        batches = []
        for _ in range(AHEAD):
            lo = 0 if end >= self.shape[0] else end
            end = min(lo + self._size, self.shape[0])
            batches.append((lo, end))
        return batches

    def _begin(self, lo: int, hi: int) -> Future[Any]:
        return self._pool.submit(self._make, self._rows[lo:hi].tolist())
