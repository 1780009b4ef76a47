"""What an executor is, and what workers are handed and answer."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Self

from fastclip.checkpoints.base import Checkpoint
from fastclip.towers.base import Architecture

if TYPE_CHECKING:
    from fastclip.sweeper.config import SweepConfig
    from fastclip.sweeper.sweeper import Sweeper


LOGS = "logs"
"""Folder of the output folder: what each worker says."""


class Executor(ABC):
    """Measures what remains of a sweep.

    Args:
        config: the sweep's.

    Raises:
        UsageError: an option that it cannot obey.
        RefusalError: what it needs is not installed.
    """

    def __init__(self, config: SweepConfig) -> None:
        self.config = config

    def threads(self) -> int:
        """Threads of one worker, where `--workers` does not say."""
        from fastclip.machine import usable_cores

        return usable_cores()

    @abstractmethod
    def run(self, sweeper: Sweeper) -> None:
        """Measure everything in `sweeper.remaining()`.

        Raises:
            RefusalError: nothing can be measured.
            StoppedError: too many checkpoints failed.
        """


@dataclass(frozen=True)
class Job:
    """One checkpoint on its way to a worker: path and stamp, no weights.

    Attributes:
        number: tells jobs apart; the same when it is handed out again.
        deaths: measuring processes that died while they had it.
        losses: workers that were lost with it, whoever ended them.
    """

    number: int
    architecture: Architecture
    checkpoint: Checkpoint
    deaths: int = 0
    losses: int = 0

    def after_a_death(self) -> Job:
        """The same, to be handed out again."""
        return replace(self, deaths=self.deaths + 1)

    def after_a_loss(self) -> Job:
        """The same, to be handed out again."""
        return replace(self, losses=self.losses + 1)


@dataclass(frozen=True)
class Done:
    """A checkpoint is measured, or was before (`cached`); its records are in the output folder."""

    number: int
    cached: bool = False
    pictures: int = 0
    seconds: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Failed:
    """A checkpoint cannot be measured, which is on record.

    `engine` where its whole architecture cannot: then nothing is on record.
    """

    number: int
    what: str
    where: str | None = None
    mend: str | None = None
    engine: bool = False


@dataclass(frozen=True)
class Ready:
    """A worker can be handed checkpoints; `life` tells its process from the one before."""

    life: str


@dataclass(frozen=True)
class Refused:
    """A worker cannot work at all."""

    what: str
    where: str | None = None
    mend: str | None = None


@dataclass(frozen=True)
class Note:
    """What a user should know, once."""

    text: str


@dataclass(frozen=True)
class Died:
    """A measuring process died, maybe of its checkpoint; another takes its place."""

    why: str


@dataclass(frozen=True)
class Lost:
    """A worker's machine or minder is gone or out of reach; another takes its place."""

    why: str


Event = Ready | Done | Failed | Refused | Note | Died | Lost


class Pool(ABC):
    """Workers that are started once, and again where one dies. Leaving ends them all.

    Attributes:
        workers: their names; at most so many work at a time.
    """

    workers: Sequence[str]

    @abstractmethod
    def send(self, worker: str, life: str, job: Job) -> None:
        """Hand a job to a worker that is ready; one that dies is told by `events`.

        Args:
            life: of its last `Ready`; a process with another one forgets the job.
        """

    @abstractmethod
    def events(self) -> Sequence[tuple[str, Event]]:
        """What happened since, by worker, in each worker's order; waits for something."""

    @abstractmethod
    def __enter__(self) -> Self: ...

    @abstractmethod
    def __exit__(self, *_: object) -> None: ...
