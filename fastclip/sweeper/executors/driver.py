"""The driver: hands checkpoints to a pool of workers and keeps the books of what comes back."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import count

from fastclip.errors import CheckpointError, EngineError, RefusalError
from fastclip.sweeper.executors.base import (
    LOGS,
    Died,
    Done,
    Event,
    Failed,
    Job,
    Lost,
    Note,
    Pool,
    Ready,
    Refused,
)
from fastclip.sweeper.executors.queue import JobQueue
from fastclip.sweeper.sweeper import Sweeper

STILLBORN = 3
"""A worker that dies so often in a row without having said that it is ready is given up."""


def jobs_of(sweeper: Sweeper) -> list[Job]:
    """What remains of a sweep, numbered."""
    numbers = count()
    return [
        Job(next(numbers), agenda.architecture, checkpoint)
        for agenda, checkpoints in sweeper.remaining()
        for checkpoint in checkpoints
    ]


class Driver:
    """One sweep by many workers."""

    def __init__(self, sweeper: Sweeper, jobs: Sequence[Job], pool: Pool) -> None:
        self.sweeper = sweeper
        sweeper.outcome.workers = len(pool.workers)
        self._queue = JobQueue(jobs, len(pool.workers))
        self._pool = pool
        self._lives: dict[str, str] = {}
        self._stillborn = dict.fromkeys(pool.workers, 0)

    def run(self) -> None:
        """Until every job is done or failed.

        Raises:
            RefusalError: no worker can work, or the only architecture cannot be measured.
            StoppedError: too many checkpoints failed.
        """
        while not self._queue.empty:
            with self._counted():
                for worker, life in sorted(self._lives.items()):
                    while (job := self._queue.next_for(worker)) is not None:
                        self._pool.send(worker, life, job)
            events = self._pool.events()
            with self._counted():
                for worker, event in events:
                    self._take(worker, event)

    @contextmanager
    def _counted(self) -> Iterator[None]:
        """Time that is the driver's own."""
        began = time.perf_counter()
        yield
        self.sweeper.outcome.driver_seconds += time.perf_counter() - began

    def _take(self, worker: str, event: Event) -> None:
        match event:
            case Ready(life):
                self._lives[worker] = life
                self._stillborn[worker] = 0
                self.sweeper.progress.prepared()
            case Note(text):
                self.sweeper.progress.note(text)
            case Done():
                self._done(worker, event)
            case Failed():
                self._failed(worker, event)
            case Died(why):
                self._died(worker, why)
            case Lost(why):
                self._lost(worker, why)
            case Refused():
                raise RefusalError(
                    f"{worker} cannot work: {event.what}", where=event.where, mend=event.mend
                )

    def _done(self, worker: str, event: Done) -> None:
        job = self._queue.finish(worker, event.number)
        if job is None:
            return
        if not event.cached:
            self.sweeper.progress.by(worker)
        self.sweeper.progress.pictures(event.pictures)
        self.sweeper.books.finish(job.checkpoint, cached=event.cached, seconds=dict(event.seconds))

    def _failed(self, worker: str, event: Failed) -> None:
        job = self._queue.finish(worker, event.number)
        if job is None:
            return
        if event.engine:
            error = EngineError(event.what, where=event.where, mend=event.mend)
            self.sweeper.give_up([job.checkpoint], error)
            return
        self.sweeper.progress.by(worker)
        told = CheckpointError(event.what, where=event.where, mend=event.mend)
        self.sweeper.books.note_failure(job.checkpoint, told)

    def _died(self, worker: str, why: str) -> None:
        if self._lives.pop(worker, None) is None:
            self._stillborn[worker] += 1
            if self._stillborn[worker] >= STILLBORN:
                raise RefusalError(
                    f"{worker} died {STILLBORN} times before it could work: {why}",
                    where=self.sweeper.config.output_dir / LOGS / f"{worker}.log",
                    mend="the log says more; one process without --processes may tell better",
                )
        self.sweeper.progress.say(f"{worker} died ({why}); its checkpoints are put back")
        for job in self._queue.bury(worker):
            self._give_up(job, f"{job.deaths} workers died while they had this checkpoint", why)

    def _lost(self, worker: str, why: str) -> None:
        self._lives.pop(worker, None)
        self.sweeper.progress.say(f"{worker} is lost ({why}); its checkpoints are put back")
        for job in self._queue.lose(worker):
            self._give_up(job, f"{job.losses} workers were lost with this checkpoint", why)

    def _give_up(self, job: Job, what: str, why: str) -> None:
        error = CheckpointError(
            f"{what}; the last: {why}",
            where=job.checkpoint.path,
            mend="sweep it alone in one process, to see what it does; memory may be short",
        )
        self.sweeper.books.fail(job.checkpoint, "worker", error)
