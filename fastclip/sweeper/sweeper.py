"""A sweep in progress: what measures, what is on record, what remains."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import replace
from functools import cached_property
from typing import Self

from fastclip.checkpoints.base import Checkpoint
from fastclip.engines import ENGINES
from fastclip.engines.base import Engine
from fastclip.errors import EngineError, FastclipError, RefusalError
from fastclip.evaluators.options import TaskOptions
from fastclip.parity.base import screening_note
from fastclip.stimuli.drop import drop_pictures
from fastclip.stimuli.views import ViewStore
from fastclip.sweeper.agenda import Agenda, make_agenda
from fastclip.sweeper.choose import device_of, unused_gpu
from fastclip.sweeper.config import SweepConfig
from fastclip.sweeper.environment import write_environment
from fastclip.sweeper.group import Books, GroupSweep, Outcome
from fastclip.sweeper.ledger import Ledger
from fastclip.sweeper.plan import Plan
from fastclip.sweeper.profile import Profile
from fastclip.sweeper.progress import Progress
from fastclip.sweeper.source import Source
from fastclip.sweeper.stage import Stage
from fastclip.sweeper.trial import shapes_of
from fastclip.towers.base import Architecture


class Sweeper:
    """One sweep in progress, of the driver or of one of its workers.

    Once it is settled it is a context: leaving closes the engine.

    Args:
        plan: a worker's has no checkpoints, which it is handed one by one.
        threads: of decoding.
    """

    def __init__(
        self,
        config: SweepConfig,
        plan: Plan,
        options: TaskOptions,
        threads: int,
        progress: Progress,
        profile: Profile,
    ) -> None:
        self.config = config
        self.plan = plan
        self.options = options
        self.progress = progress
        self.profile = profile
        self.outcome = Outcome(skipped=len(plan.skipped), profile=profile)
        self.ledger = Ledger(config)
        self.books = Books(config, self.ledger, progress, self.outcome)
        self.store = ViewStore(
            config.cache_dir, config.memory, threads, config.decoder, config.device
        )

    def __enter__(self) -> Self:
        self._opened = ExitStack()
        return self

    def __exit__(self, *_: object) -> None:
        self._opened.close()

    @cached_property
    def _engine(self) -> Engine:
        """The engine, opened for the first checkpoint that has to be measured."""
        settled = self.books.settled
        device = device_of(self.config, settled)
        self.progress.note(
            f"engine {settled.engine} {settled.precision} on {device}, "
            f"batches of {settled.image_batch}{unused_gpu(device)}"
        )
        if note := screening_note(settled.precision):
            self.progress.note(note)
        engine = self._opened.enter_context(
            ENGINES.get(settled.engine)(
                precision=settled.precision, threads=settled.threads, device=device
            )
        )
        self._write_environment(engine)
        return engine

    def check_pictures(self) -> None:
        """Decode what was never decoded before; bad pictures stop the sweep or are left out."""
        datasets = self.plan.datasets
        with self.profile.phase("pictures"):
            checks = self.store.check_pictures(
                [dataset.pictures for dataset in datasets], skip_bad=self.config.skip_bad_pictures
            )
        kept = []
        for dataset, check in zip(datasets, checks, strict=True):
            for reason in check.bad.values():
                self.progress.note(f"{dataset.name}: left out, {reason}")
            if check.not_rgb:
                note = (
                    f"{len(check.not_rgb)} pictures are not RGB; they are converted before "
                    "resizing, where open_clip converts after"
                )
                self.progress.note(f"{dataset.name}: {note}")
                dataset = replace(dataset, notes=(*dataset.notes, note))
            kept.append(drop_pictures(dataset, list(check.bad)))
        self.plan = replace(self.plan, datasets=tuple(kept))

    def _write_environment(self, engine: Engine) -> None:
        digests = {
            dataset.label: self.store.pictures_digest(dataset.pictures)
            for dataset in self.plan.datasets
        }
        write_environment(self.config.output_dir, self.plan.datasets, digests, engine.describe())

    def remaining(self) -> Iterator[tuple[Agenda, Sequence[Checkpoint]]]:
        """By architecture, the checkpoints that have to be read; all others are counted.

        Raises:
            RefusalError: the only architecture cannot be measured.
        """
        for group in self.plan.groups:
            try:
                agenda = self.agenda(group.architecture)
            except (EngineError, RefusalError) as error:
                self.give_up(group.checkpoints, error)
                continue
            if checkpoints := self._unfinished(agenda, group.checkpoints):
                yield agenda, checkpoints

    def measure(self, stage: Stage, source: Source) -> None:
        """Measure what comes of an architecture."""
        GroupSweep(self.books, stage).run(source)

    def give_up(self, checkpoints: Sequence[Checkpoint], error: FastclipError) -> None:
        """An architecture that cannot be measured: the end of a sweep that has no other."""
        if len(self.plan.groups) == 1:
            raise error
        for checkpoint in checkpoints:
            self.books.fail(checkpoint, "engine", error)

    def agenda(self, architecture: Architecture) -> Agenda:
        """What there is to measure of an architecture."""
        settled = self.books.settled
        return make_agenda(
            architecture,
            self.plan,
            self.options,
            engine_family=ENGINES.get(settled.engine).family,
            precision=settled.precision,
            store=self.store,
            log=self.progress.note,
        )

    def _unfinished(self, agenda: Agenda, checkpoints: Sequence[Checkpoint]) -> list[Checkpoint]:
        """Those that have to be read; the others are counted."""
        remaining = []
        for checkpoint in checkpoints:
            if self.ledger.is_finished(agenda, checkpoint) and not self.config.rehash:
                self.books.finish(checkpoint, cached=True, seconds={})
            else:
                remaining.append(checkpoint)
        return remaining

    def stage(self, agenda: Agenda) -> Stage:
        """The engine and the pictures, ready for an architecture's checkpoints.

        Raises:
            EngineError: the engine does not compute what open_clip computes.
            RefusalError: a view cannot be made.
        """
        architecture = agenda.architecture
        for guess in architecture.guessed:
            self.progress.note(f"{architecture.name}: guessed, {guess}")
        self.progress.preparing(architecture.name)
        stage = Stage(
            agenda,
            engine=self._engine,
            shapes=shapes_of(type(self._engine), self.books.settled.image_batch),
            store=self.store,
            cache_dir=self.store.cache_dir,
            without=self.books.settled.without,
            profile=self.profile,
        )
        self.profile.group(stage.towers, stage.engine, stage.shapes.image_batch)
        self.progress.prepared()
        return stage
