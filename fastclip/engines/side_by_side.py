"""Batches side by side: each core computes a batch of its own, and waits for no other core."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from threading import Semaphore
from typing import TypeVar

T = TypeVar("T")


class SideBySide:
    """As many threads as cores, and no more batches waiting than keep them busy.

    One batch over all cores has them wait for each other after every operation, and leaves all
    but one idle in operations that are not split: a tiny tower is 1.3 times as fast this way, a
    ViT-B-32 1.05 times. Each batch is computed by one thread, so that its bits do not depend on
    how many there are.

    A job must give Python's lock back while it works, and be made for one thread.

    Args:
        start: called first in every thread.
    """

    def __init__(self, threads: int, start: Callable[[], None] | None = None) -> None:
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="engine", initializer=start)
        self._room = Semaphore(2 * threads)

    def submit(self, job: Callable[[], T]) -> Future[T]:
        """A promise of what `job` returns; waits where enough jobs are waiting already."""
        self._room.acquire()
        promise = self._pool.submit(job)
        promise.add_done_callback(lambda _: self._room.release())
        return promise

    def close(self) -> None:
        """Drop what waits and end the threads."""
        self._pool.shutdown(wait=True, cancel_futures=True)
