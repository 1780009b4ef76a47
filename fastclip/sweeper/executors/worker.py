"""A worker: holds an engine and pictures, and measures the checkpoints it is handed."""

from __future__ import annotations

import queue
import secrets
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace

from fastclip.checkpoints.base import Checkpoint
from fastclip.errors import FastclipError, RefusalError
from fastclip.files import digest_of
from fastclip.sweeper.config import Settled, SweepConfig, read_settled
from fastclip.sweeper.executors.base import Done, Event, Failed, Job, Note, Ready
from fastclip.sweeper.executors.queue import DEPTH
from fastclip.sweeper.group import Books
from fastclip.sweeper.options import task_options
from fastclip.sweeper.plan import plan_data
from fastclip.sweeper.profile import Profile
from fastclip.sweeper.progress import Progress
from fastclip.sweeper.source import Source
from fastclip.sweeper.sweeper import Sweeper
from fastclip.towers.base import Architecture

Emit = Callable[[Event], None]


def digest_of_settled(settled: Settled) -> str:
    """What must be equal for the driver and all its workers."""
    return digest_of(asdict(settled))


class Inbox:
    """Jobs on their way to a worker's engine.

    Attributes:
        life: tells this process from the worker's one before.
    """

    def __init__(self) -> None:
        self.life = secrets.token_hex(8)
        self._queue: queue.Queue[Job] = queue.Queue()
        self._next: deque[Job] = deque()

    def put(self, life: str, job: Job) -> None:
        """From any thread; a job that was sent to the process before is handed out anew."""
        if life == self.life:
            self._queue.put(job)

    def peek(self, *, wait: bool) -> Job | None:
        """The next job, left where it is; None where there is none yet."""
        if not self._next:
            try:
                self._next.append(self._queue.get(block=wait))
            except queue.Empty:
                return None
        return self._next[0]

    def take(self) -> Job:
        """The job that was peeked at."""
        return self._next.popleft()


class FromInbox(Source):
    """An inbox's checkpoints up to the first of another architecture."""

    depth = DEPTH

    def __init__(self, inbox: Inbox, architecture: Architecture, numbers: Numbers) -> None:
        self._inbox = inbox
        self._architecture = architecture
        self._numbers = numbers

    def arrived(self, *, wait: bool) -> Sequence[Checkpoint]:
        """Empty, too, where the next is of another architecture."""
        arrived: list[Checkpoint] = []
        while True:
            job = self._inbox.peek(wait=wait and not arrived)
            if job is None or job.architecture.digest != self._architecture.digest:
                return arrived
            arrived.append(self._numbers.note(self._inbox.take()))


class Numbers:
    """The number under which each checkpoint in hand was handed out."""

    def __init__(self) -> None:
        self._numbers: dict[Checkpoint, int] = {}

    def note(self, job: Job) -> Checkpoint:
        """Remember a job's number; returns its checkpoint."""
        self._numbers[job.checkpoint] = job.number
        return job.checkpoint

    def of(self, checkpoint: Checkpoint) -> int:
        """The checkpoint's, which then is forgotten."""
        return self._numbers.pop(checkpoint)


class Messages(Progress):
    """What a sweep would print goes to the worker's log; notes go to the driver as well."""

    def __init__(self, emit: Emit) -> None:
        super().__init__(live=False, verbose=True)
        self._emit = emit
        self.encoded = 0

    def say(self, text: str) -> None:
        """Noted by the driver too, once for all workers."""
        super().say(text)
        self._emit(Note(text))

    def pictures(self, count: int) -> None:
        """Told with the checkpoint."""
        super().pictures(count)
        self.encoded += count


@dataclass
class WorkerBooks(Books):
    """Puts results on record as any sweep does, and tells the driver."""

    emit: Emit
    numbers: Numbers

    def note_failure(self, checkpoint: Checkpoint, error: FastclipError) -> None:
        """The driver counts failures, and knows when there are too many."""
        self.progress.checkpoint_failed(checkpoint.name, str(error))
        number = self.numbers.of(checkpoint)
        self.emit(Failed(number, error.what, error.where, error.mend))

    def finish(self, checkpoint: Checkpoint, *, cached: bool, seconds: dict[str, float]) -> None:
        """Tell what the checkpoint took."""
        super().finish(checkpoint, cached=cached, seconds=seconds)
        assert isinstance(self.progress, Messages)
        pictures, self.progress.encoded = self.progress.encoded, 0
        self.emit(Done(self.numbers.of(checkpoint), cached, pictures, seconds))


class Worker:
    """Made in the worker's process, which ends when its driver hangs up.

    Args:
        config: the driver's; the worker finds the data sets itself, checkpoints are handed to it.
        settled: digest of the driver's `Settled`.
        workers: how many share this machine.

    Raises:
        RefusalError: the output folder, as seen from here, has settled something else.
    """

    def __init__(self, config: SweepConfig, settled: str, workers: int, emit: Emit) -> None:
        here = read_settled(config.output_dir)
        if here is None or digest_of_settled(here) != settled:
            found = "no config.json" if here is None else "another config.json"
            raise RefusalError(
                f"this worker finds {found} than the driver's in the output folder",
                where=config.output_dir / "config.json",
                mend="all workers must see the driver's output folder under the same path: put "
                "it on a shared file system",
            )
        self._emit = emit
        self._numbers = Numbers()
        self._progress = Messages(emit)
        self._refusals: dict[str, FastclipError] = {}
        # One copy for all workers of a machine, in the page cache.
        memory = "mapped" if config.memory == "auto" else config.memory
        options = task_options(config)
        self._sweeper = Sweeper(
            replace(config, memory=memory),
            plan_data(config, options),
            options,
            here.threads,
            self._progress,
            Profile(),
        )
        self._sweeper.check_pictures()
        sweeper = self._sweeper
        books = WorkerBooks(
            config, sweeper.ledger, self._progress, sweeper.outcome, emit, self._numbers
        )
        books.settled, books.workers = here, workers
        sweeper.books = books

    def run(self, inbox: Inbox) -> None:
        """One architecture after another, as they come."""
        self._emit(Ready(inbox.life))
        with self._sweeper:
            while (job := inbox.peek(wait=True)) is not None:
                if job.architecture.digest not in self._refusals:
                    self._measure(job.architecture, inbox)
                self._refuse(job.architecture, inbox)

    def _measure(self, architecture: Architecture, inbox: Inbox) -> None:
        try:
            stage = self._sweeper.stage(self._sweeper.agenda(architecture))
        except RefusalError as error:
            self._refusals[architecture.digest] = error
            return
        self._sweeper.measure(stage, FromInbox(inbox, architecture, self._numbers))

    def _refuse(self, architecture: Architecture, inbox: Inbox) -> None:
        """Answer for all that comes of an architecture that cannot be measured here."""
        error = self._refusals.get(architecture.digest)
        while error is not None:
            job = inbox.peek(wait=False)
            if job is None or job.architecture.digest != architecture.digest:
                return
            inbox.take()
            self._emit(Failed(job.number, error.what, error.where, error.mend, engine=True))
