"""One architecture's checkpoints: read ahead, swapped in, encoded; scored in the background."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from functools import partial

from fastclip.checkpoints.base import Checkpoint
from fastclip.checkpoints.memory import Memory
from fastclip.errors import CheckpointError, EngineError, FastclipError, StoppedError
from fastclip.evaluators.base import Result
from fastclip.sweeper.background import Background
from fastclip.sweeper.config import Settled, SweepConfig
from fastclip.sweeper.ledger import Ledger
from fastclip.sweeper.load import Loaded, load
from fastclip.sweeper.measure import (
    CanaryError,
    Encoded,
    encode_proven,
    prepare,
    prompt_rows,
    score,
    swap,
    timed,
)
from fastclip.sweeper.profile import Profile
from fastclip.sweeper.progress import Progress
from fastclip.sweeper.read_ahead import InTurn, ReadAhead, memories_for, room_to_prepare
from fastclip.sweeper.source import Source
from fastclip.sweeper.stage import Stage, Unit


@dataclass
class Outcome:
    """What a sweep did: counts of checkpoints, and the failures by name.

    `skipped` counts files that looked like checkpoints and were left alone with a word; `profile`
    says where the time went. `workers` is how many other processes measured, 0 where this one
    did; `driver_seconds` what handing out checkpoints to them took, waiting left out.
    """

    done: int = 0
    already_done: int = 0
    skipped: int = 0
    failures: dict[str, str] = field(default_factory=dict)
    profile: Profile = field(default_factory=Profile)
    workers: int = 0
    driver_seconds: float = 0.0

    @property
    def exit_code(self) -> int:
        """0 when every checkpoint is measured, 1 when some failed."""
        return 1 if self.failures else 0


@dataclass
class Books:
    """Where a sweep's results and events go; written by one thread at a time.

    `settled` is what measures, once that is known; `workers` how many share this machine and its
    memory.
    """

    config: SweepConfig
    ledger: Ledger
    progress: Progress
    outcome: Outcome
    settled: Settled = field(init=False)
    workers: int = field(default=1, init=False)

    def fail(self, checkpoint: Checkpoint, step: str, error: FastclipError) -> None:
        """Put a failure on record; raises StoppedError after too many."""
        self.ledger.fail(checkpoint, step, error)
        self.note_failure(checkpoint, error)

    def note_failure(self, checkpoint: Checkpoint, error: FastclipError) -> None:
        """Count a failure that is on record; raises StoppedError after too many."""
        self.outcome.failures[checkpoint.name] = str(error)
        self.progress.checkpoint_failed(checkpoint.name, str(error))
        limit = self.config.max_failures
        if limit is not None and len(self.outcome.failures) > limit:
            raise StoppedError(
                f"more than {limit} checkpoints failed; the last: {error.what}",
                where=error.where,
                mend="mend the checkpoints or raise --max-failures; finished ones are kept",
            )

    def finish(self, checkpoint: Checkpoint, *, cached: bool, seconds: dict[str, float]) -> None:
        """Count a checkpoint that is measured, or was before (`cached`)."""
        self.outcome.done += not cached
        self.outcome.already_done += cached
        self.progress.checkpoint_done(checkpoint.name, cached=cached, seconds=seconds)


@dataclass
class Work:
    """One checkpoint on its way from the reader through the engine to the ledger.

    `seconds` is what the background spends; `loaded.seconds` the rest. `pictures` and `prompts`
    are how many were encoded.
    """

    checkpoint: Checkpoint
    loaded: Loaded | None = None
    step: str = "read"
    measured: bool = False
    logit_scale: float | None = None
    earlier: dict[str, Result] = field(default_factory=dict)
    seconds: dict[str, float] = field(default_factory=dict)
    pictures: int = 0
    prompts: int = 0
    error: FastclipError | None = None


class GroupSweep:
    """Takes checkpoint after checkpoint over one stage.

    The engine's thread swaps and encodes; a second one scores and writes, so that a device is not
    idle while correlations are computed; others read ahead.
    """

    def __init__(self, books: Books, stage: Stage) -> None:
        self.books = books
        self.stage = stage
        self._last_id = ""

    def run(self, source: Source) -> None:
        """Measure all; what the records have of them is left out once their weights are read."""
        with self._reader(source.depth) as reader, Background() as self.background:
            waiting: deque[Checkpoint] = deque()
            while True:
                if not waiting:
                    self.background.wait()  # what it raised would not be heard while we wait
                arrived = source.arrived(wait=not waiting)
                reader.add(arrived)
                waiting.extend(arrived)
                if not waiting:
                    return
                self._take(reader, waiting.popleft())

    def _reader(self, checkpoints: int) -> ReadAhead | InTurn:
        engine, towers, note = self.stage.engine, self.stage.towers, self.books.progress.note
        workers = self.books.workers
        memories = memories_for(engine, towers, checkpoints, workers=workers)
        if "read-ahead" in self.books.settled.without:
            return InTurn(self._read, memories[0])
        read = self._read
        if engine.prepares_ahead and not engine.takes_stored and checkpoints > 1:
            if room_to_prepare(towers, workers):
                read = self._read_and_prepare
            else:
                note("no memory for two checkpoints: the next is read ahead, but not prepared")
        return ReadAhead(read, memories, note)

    def _read(self, checkpoint: Checkpoint, memory: Memory) -> Loaded:
        trust_pickle = self.books.config.trust_pickle
        return load(checkpoint, self.stage.towers, memory, trust_pickle=trust_pickle)

    def _read_and_prepare(self, checkpoint: Checkpoint, memory: Memory) -> Loaded:
        loaded = self._read(checkpoint, memory)
        # The first may be encoded before there is a canary, for which preparing would wait.
        missing = self.books.ledger.missing(self.stage.agenda, loaded.checkpoint_id)
        if missing and self.stage.can_prove:
            prepare(self.stage, loaded)
        return loaded

    def _take(self, reader: ReadAhead | InTurn, checkpoint: Checkpoint) -> None:
        work = Work(checkpoint)
        try:
            with reader.take(checkpoint) as loaded:
                work.loaded = loaded
                self.books.ledger.check_same_content(checkpoint, loaded)
                missing = self._missing(loaded)
                if missing:
                    work.step = "swap"
                    work.logit_scale = swap(self.stage, loaded)
                    self._measure(work, loaded, missing)
        except (CheckpointError, EngineError) as error:
            if isinstance(error, CanaryError):
                work.step = "swap"
            work.error = error.with_traceback(None)
        self.background.submit(partial(self._conclude, work))

    def _missing(self, loaded: Loaded) -> list[Unit]:
        # The same weights under another name may be in the background still.
        if loaded.checkpoint_id == self._last_id:
            self.background.wait()
        self._last_id = loaded.checkpoint_id
        return self.books.ledger.missing(self.stage.agenda, loaded.checkpoint_id)

    def _measure(self, work: Work, loaded: Loaded, missing: list[Unit]) -> None:
        work.step = "measure"
        work.measured = True
        work.prompts = len(prompt_rows(missing))
        work.earlier = self.books.ledger.earlier_results(
            self.stage.agenda, loaded.checkpoint_id, missing
        )
        for encoded in encode_proven(self.stage, missing, loaded):
            spent = dict(loaded.seconds)
            self.background.submit(partial(self._score, work, loaded, encoded, spent))

    def _score(self, work: Work, loaded: Loaded, encoded: Encoded, spent: dict[str, float]) -> None:
        """Score and write one unit; in the background."""
        if work.error is not None:
            return
        try:
            measured = score(self.stage, encoded, work.logit_scale, work.earlier, work.seconds)
        except (CheckpointError, EngineError) as error:
            work.error = error
            return
        with timed(work.seconds, "write"):
            self.books.ledger.write(
                self.stage.agenda, loaded, measured, self.books.settled, spent | work.seconds
            )
        work.pictures += measured.pictures
        self.books.progress.pictures(measured.pictures)

    def _conclude(self, work: Work) -> None:
        """Note how it ended; in the background, after the checkpoint's units."""
        if work.error is not None:
            work.error.where = work.error.where or str(work.checkpoint.path)
            self.books.fail(work.checkpoint, work.step, work.error)
            return
        assert work.loaded is not None
        self.books.ledger.succeed(self.stage.agenda, work.loaded)
        seconds = work.loaded.seconds | work.seconds
        if work.measured:
            self.books.outcome.profile.checkpoint(
                seconds, work.pictures, work.prompts, work.loaded.nbytes
            )
        self.books.finish(work.checkpoint, cached=not work.measured, seconds=seconds)
