"""A thread of its own for scoring and writing, while the engine goes on."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Self

AHEAD = 2
"""Jobs that may wait: each holds a view's embeddings."""


class Background:
    """Runs jobs one after the other, in the order they come, in one thread.

    What a job raises comes out of the next `submit` or `wait`; leaving then drops what waits.
    """

    def __init__(self) -> None:
        self._pool = ThreadPoolExecutor(max_workers=1, thread_name_prefix="scoring")
        self._waiting: deque[Future[None]] = deque()

    def submit(self, job: Callable[[], None]) -> None:
        """Have `job` run; waits where `AHEAD` jobs are waiting already."""
        self._settle(AHEAD)
        self._waiting.append(self._pool.submit(job))

    def wait(self) -> None:
        """Wait until every job is done."""
        self._settle(0)

    def _settle(self, left: int) -> None:
        while len(self._waiting) > left:
            self._waiting.popleft().result()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is None:
            self.wait()
        self._pool.shutdown(wait=True, cancel_futures=True)
