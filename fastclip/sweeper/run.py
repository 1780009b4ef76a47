"""The sweep itself: plan, then architecture by architecture, checkpoint by checkpoint."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import Self

from fastclip import __version__
from fastclip.checkpoints.base import Checkpoint
from fastclip.engines import ENGINES
from fastclip.engines.base import Engine
from fastclip.errors import EngineError, FastclipError, RefusalError
from fastclip.evaluators.options import TaskOptions
from fastclip.evaluators.primary import primary_endpoints
from fastclip.files import locked
from fastclip.parity.base import screening_note
from fastclip.results.table import table_is_current, write_table
from fastclip.stimuli.drop import drop_pictures
from fastclip.stimuli.views import ViewStore
from fastclip.sweeper.agenda import Agenda, build_evaluators, make_agenda, requests_of
from fastclip.sweeper.choose import choose, device_of, refuse_absent, unused_gpu
from fastclip.sweeper.config import Settled, SweepConfig, agree, read_settled, settle
from fastclip.sweeper.contest import Work
from fastclip.sweeper.environment import write_environment
from fastclip.sweeper.executors import EXECUTORS
from fastclip.sweeper.group import Books, GroupSweep, Outcome
from fastclip.sweeper.guards import claim_folder, refuse_full_disk, refuse_lost_device
from fastclip.sweeper.ledger import Ledger
from fastclip.sweeper.options import task_options
from fastclip.sweeper.plan import Plan, make_plan
from fastclip.sweeper.profile import Profile
from fastclip.sweeper.progress import Progress
from fastclip.sweeper.source import Source
from fastclip.sweeper.stage import Stage, passes_without
from fastclip.sweeper.trial import shapes_of
from fastclip.towers.base import Architecture
from fastclip.towers.cache import get_towers


def sweep(
    config: SweepConfig, progress: Progress | None = None, profile: Profile | None = None
) -> Outcome:
    """Measure every checkpoint that is not measured yet; rebuild the tables at the end.

    Args:
        progress: silent by default.
        profile: goes on with one that has counted something already.

    Raises:
        UsageError: nothing to measure, or options that contradict the output folder.
        RefusalError: unwritable output, bad data, an engine that failed its probe, a full disk.
    """
    progress = progress or Progress(quiet=True)
    profile = profile or Profile()
    out = config.output_dir
    with profile.phase("plan"):
        settled, warnings = agree(config)
        options = task_options(config)
        plan = make_plan(config, options)
        claim_folder(out)
        refuse_absent(config, settled)
    if config.address and config.executor != "ray":
        warnings.append("--address has no effect without --executor ray")
    for text in (*warnings, *plan.notes, *(f"{p}: skipped, {why}" for p, why in plan.skipped)):
        progress.note(text)
    sweeper = Sweeper(config, plan, options, settled, progress, profile)
    if not (plan.checkpoints or plan.unreadable):
        progress.note("more shares than checkpoints: there is none for this one")
        return sweeper.outcome
    with refuse_full_disk(out), refuse_lost_device(out):
        try:
            sweeper.run()
        finally:
            if not _write_current_table(out, wait=config.shard is None):
                progress.note("another share writes the table now, and will with these rows, too")
    return sweeper.outcome


def threads_for(config: SweepConfig) -> int:
    """Threads of engine and decoding: `--workers`, else what the executor has for each worker."""
    return config.workers or EXECUTORS.get(config.executor).threads(config)


def _write_current_table(out: Path, *, wait: bool) -> bool:
    """Write the tables, unless they are current or nothing is settled; False where another does.

    Where another sweep of this folder writes them just now, it will write them once more with what
    is there by then: whoever cannot `wait` need not.
    """
    if not (out / "config.json").is_file():
        return True
    wanted = out / ".table.wanted"
    wanted.touch()
    while wanted.exists():
        with locked(out / ".table.lock", wait=wait) as held:
            if not held:
                return False
            wanted.unlink(missing_ok=True)
            if not table_is_current(out):
                write_table(out)
    return True


class Sweeper:
    """One sweep in progress. Once it is settled it is a context: leaving closes the engine."""

    def __init__(
        self,
        config: SweepConfig,
        plan: Plan,
        options: TaskOptions,
        settled: Settled | None,
        progress: Progress,
        profile: Profile,
    ) -> None:
        self.config = config
        self.plan = plan
        self.options = options
        self.earlier = settled
        self.progress = progress
        self.profile = profile
        self.outcome = Outcome(skipped=len(plan.skipped), profile=profile)
        self.ledger = Ledger(config)
        threads = settled.threads if settled is not None else threads_for(config)
        self.store = ViewStore(
            config.cache_dir, config.memory, threads, config.decoder, config.device
        )

    def run(self) -> None:
        """Measure everything; raises RefusalError where nothing can be measured."""
        self.check_pictures()
        with self.profile.phase("trial"):
            settled = settle(self.config, self.earlier or self._choose())
        self.settle(settled)
        self.progress.start(self.plan.checkpoints + len(self.plan.unreadable))
        try:
            for checkpoint, error in self.plan.unreadable:
                self.books.fail(checkpoint, "open", error)
            with self:
                EXECUTORS.get(self.config.executor)(self.config).run(self)
        finally:
            self.progress.finish()

    def settle(self, settled: Settled) -> None:
        """From here on there are books, which say what measures."""
        self.books = Books(self.config, settled, self.ledger, self.progress, self.outcome)

    def __enter__(self) -> Self:
        self._opened = ExitStack()
        return self

    def __exit__(self, *_: object) -> None:
        self._opened.close()

    def _choose(self) -> Settled:
        settled = choose(
            self.config,
            self._works,
            threads=self.store.threads,
            version=__version__,
            cache_dir=self.store.cache_dir,
            log=self.progress.note,
        )
        before = read_settled(self.config.output_dir)  # there with --rescore
        declared = before.primary if before else None
        return replace(
            settled,
            without=self.config.without,
            primary=declared or primary_endpoints(self.options),
        )

    def _works(self) -> list[Work]:
        """What there is to do on each architecture; those that cannot be measured fail later."""
        works = []
        for group in self.plan.groups:
            try:
                evaluators = build_evaluators(
                    group.architecture, self.plan, self.options, log=lambda _: None
                )
                with self.profile.phase("graph"):
                    towers = get_towers(
                        group.architecture,
                        cache_dir=self.store.cache_dir,
                        text=any("text" in evaluator.needs for evaluator in evaluators),
                        passes=passes_without(self.config.without),
                    )
            except (EngineError, RefusalError):
                if len(self.plan.groups) == 1:
                    raise
                continue
            pictures = sum(view.rows for view in self.store.plan(requests_of(evaluators)))
            works.append(Work(towers, len(group.checkpoints), pictures))
        return works

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
