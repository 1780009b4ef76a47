"""The driver's queue: which checkpoint goes to which worker, and what becomes of the lost."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable

from fastclip.sweeper.executors.base import Job

DEPTH = 3
"""Checkpoints a worker has at most: one in the engine, one being read, one that waits, as the
answer to the first takes its time."""

DEATHS = 2
"""A checkpoint that was with so many measuring processes when they died is given up."""

LOSSES = 10
"""And one that was with so many workers when they were lost: it may be what ends whole machines."""


class JobQueue:
    """Hands jobs out, keeping a worker on one architecture as long as there is work for it.

    What a worker had when its process died comes back and is suspect: it goes first, and alone, so
    that what kills workers takes no other checkpoint with it a second time. What it had when it was
    lost comes back as if it had never been handed out.

    Args:
        jobs: in the order they should be measured.
        workers: how many there are.
    """

    def __init__(self, jobs: Iterable[Job], workers: int) -> None:
        self._waiting: dict[str, deque[Job]] = {}
        for job in jobs:
            self._waiting.setdefault(job.architecture.digest, deque()).append(job)
        self._suspects: deque[Job] = deque()
        self._held: dict[str, dict[int, Job]] = {}
        self._on: dict[str, str] = {}
        self._workers = workers

    @property
    def empty(self) -> bool:
        """Whether every job is finished."""
        return not (self.waiting or any(self._held.values()))

    @property
    def waiting(self) -> int:
        """Jobs that no worker has."""
        return len(self._suspects) + sum(map(len, self._waiting.values()))

    def next_for(self, worker: str) -> Job | None:
        """A job for a worker that is ready; None where it has enough, or nothing waits."""
        held = self._held.setdefault(worker, {})
        if any(job.deaths for job in held.values()):
            return None
        if self._suspects:
            return None if held else self._hand(worker, self._suspects.popleft())
        if len(held) >= self._depth() or not self.waiting:
            return None
        return self._hand(worker, self._waiting[self._architecture_for(worker)].popleft())

    def finish(self, worker: str, number: int) -> Job | None:
        """Take a job off a worker; None where it does not have it (another one did it since)."""
        return self._held.get(worker, {}).pop(number, None)

    def bury(self, worker: str) -> list[Job]:
        """Put back what a worker had whose process died; returns what is given up."""
        back = [job.after_a_death() for job in self._take_from(worker)]
        self._suspects.extend(job for job in back if job.deaths < DEATHS)
        return [job for job in back if job.deaths >= DEATHS]

    def lose(self, worker: str) -> list[Job]:
        """Put back what a lost worker had; returns what is given up."""
        back = [job.after_a_loss() for job in self._take_from(worker)]
        for job in reversed([job for job in back if job.losses < LOSSES]):
            waiting = self._waiting[job.architecture.digest]
            (self._suspects if job.deaths else waiting).appendleft(job)
        return [job for job in back if job.losses >= LOSSES]

    def _take_from(self, worker: str) -> list[Job]:
        self._on.pop(worker, None)
        return list(self._held.pop(worker, {}).values())

    def _hand(self, worker: str, job: Job) -> Job:
        self._held[worker][job.number] = job
        self._on[worker] = job.architecture.digest
        return job

    def _depth(self) -> int:
        """Fewer at the end, or one worker would have three while others have none."""
        return min(DEPTH, max(1, self.waiting // self._workers))

    def _architecture_for(self, worker: str) -> str:
        """The worker's own, else the one with most jobs for each worker that is on it."""
        mine = self._on.get(worker)
        if mine is not None and self._waiting.get(mine):
            return mine
        on = list(self._on.values())
        return max(
            (digest for digest, jobs in self._waiting.items() if jobs),
            key=lambda digest: len(self._waiting[digest]) / (1 + on.count(digest)),
        )
