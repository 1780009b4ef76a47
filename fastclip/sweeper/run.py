"""The sweep itself: plan, then architecture by architecture, checkpoint by checkpoint."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from itertools import zip_longest
from pathlib import Path
from typing import TYPE_CHECKING

from fastclip import __version__
from fastclip.checkpoints.base import Checkpoint
from fastclip.engines import ENGINES
from fastclip.engines.base import Engine
from fastclip.errors import (
    CheckpointError,
    EngineError,
    FastclipError,
    RefusalError,
    StoppedError,
)
from fastclip.evaluators.options import TaskOptions
from fastclip.files import write_atomic
from fastclip.machine import usable_cores
from fastclip.results.table import write_table
from fastclip.stimuli.drop import drop_pictures
from fastclip.stimuli.views import ViewStore
from fastclip.sweeper.choose import choose
from fastclip.sweeper.config import Settled, SweepConfig, agree, settle
from fastclip.sweeper.environment import write_environment
from fastclip.sweeper.ledger import Ledger
from fastclip.sweeper.load import Loaded, ReadAhead, load
from fastclip.sweeper.measure import measure, swap, timed
from fastclip.sweeper.options import task_options
from fastclip.sweeper.plan import Group, Plan, make_plan
from fastclip.sweeper.progress import Progress
from fastclip.sweeper.stage import Stage, Unit, build_evaluators
from fastclip.sweeper.trial import shapes_of
from fastclip.towers.base import Architecture, Towers
from fastclip.towers.cache import get_towers

if TYPE_CHECKING:
    import pandas as pd


@dataclass
class Outcome:
    """What a sweep did: counts of checkpoints, and the failures by name.

    `skipped` counts files that looked like checkpoints and were left alone with a word; `rows`
    is the table as it was written at the end.
    """

    done: int = 0
    already_done: int = 0
    skipped: int = 0
    failures: dict[str, str] = field(default_factory=dict)
    rows: pd.DataFrame | None = None

    @property
    def exit_code(self) -> int:
        """0 when every checkpoint is measured, 1 when some failed."""
        return 1 if self.failures else 0


def sweep(config: SweepConfig, progress: Progress | None = None) -> Outcome:
    """Measure every checkpoint that is not measured yet; rebuild the tables at the end.

    Raises:
        UsageError: nothing to measure, or options that contradict the output folder.
        RefusalError: unwritable output, bad data, an engine that failed its probe, a full disk.
    """
    progress = progress or Progress(quiet=True)
    out = config.output_dir
    claim_folder(out)
    options = task_options(config)
    plan = make_plan(config, options)
    settled, warnings = agree(config)
    for text in (*warnings, *plan.notes, *(f"{p}: skipped, {why}" for p, why in plan.skipped)):
        progress.note(text)
    sweeper = Sweeper(config, plan, options, settled, progress)
    with refuse_full_disk(out):
        try:
            sweeper.run()
        finally:
            if (out / "config.json").is_file():
                sweeper.outcome.rows = write_table(out)
    return sweeper.outcome


def threads_for(config: SweepConfig) -> int:
    """Threads of engine and decoding: `--workers`, else every core this process may use."""
    return config.workers or usable_cores()


def claim_folder(out: Path) -> None:
    """Make the output folder and prove that it can be written, before any work.

    Raises:
        RefusalError: it cannot.
    """
    try:
        out.mkdir(parents=True, exist_ok=True)
        write_atomic(out / ".fastclip", b"fastclip output folder\n")
    except OSError as error:
        raise RefusalError(
            f"the output folder cannot be written ({error.strerror})",
            where=out,
            mend="name a folder you may write with -o",
        ) from error


@contextmanager
def refuse_full_disk(out: Path) -> Iterator[None]:
    """Turn a failed write into a refusal that names the folder; what is written stays whole."""
    try:
        yield
    except OSError as error:
        raise RefusalError(
            f"writing failed ({error.strerror or error})",
            where=error.filename or out,
            mend="free some space (or choose another -o, --cache-dir) and run the same command "
            "again; every finished record is kept",
        ) from error


class Sweeper:
    """One sweep in progress; `run` goes through the groups of the plan."""

    def __init__(
        self,
        config: SweepConfig,
        plan: Plan,
        options: TaskOptions,
        settled: Settled | None,
        progress: Progress,
    ) -> None:
        self.config = config
        self.plan = plan
        self.options = options
        self.earlier = settled
        self.progress = progress
        self.outcome = Outcome(skipped=len(plan.skipped))
        self.ledger = Ledger(config)
        threads = settled.threads if settled is not None else threads_for(config)
        self.store = ViewStore(
            config.cache_dir, config.memory, threads, config.decoder, config.device
        )

    def run(self) -> None:
        """Measure everything; raises RefusalError where nothing can be measured."""
        self._check_pictures()
        self.settled = settle(self.config, self.earlier or self._choose())
        self.progress.start(self.plan.checkpoints + len(self.plan.unreadable))
        try:
            for checkpoint, error in self.plan.unreadable:
                self._fail(checkpoint, "open", error)
            self._run_groups()
        finally:
            self.progress.finish()

    def _choose(self) -> Settled:
        def towers() -> Towers:
            first = self.plan.groups[0].architecture
            evaluators = build_evaluators(first, self.plan, self.options, log=lambda _: None)
            text = any("text" in evaluator.needs for evaluator in evaluators)
            return get_towers(first, cache_dir=self.store.cache_dir, text=text)

        return choose(
            self.config,
            towers,
            threads=self.store.threads,
            version=__version__,
            log=self.progress.note,
        )

    def _run_groups(self) -> None:
        settled = self.settled
        # "cuda:1" may be another device than the one that settled the folder.
        device = settled.device if self.config.device == "auto" else self.config.device
        engine_class = ENGINES.get(settled.engine)
        reason = engine_class.unavailable(device)
        if reason is not None:
            raise RefusalError(
                f"engine '{settled.engine}' cannot run on '{device}': {reason}",
                where=self.config.output_dir,
                mend="mend that, or sweep with another engine into another -o folder",
            )
        with engine_class(
            precision=settled.precision, threads=settled.threads, device=device
        ) as engine:
            self._write_environment(engine)
            for group in self.plan.groups:
                self._run_group(group, engine)

    def _check_pictures(self) -> None:
        """Decode what was never decoded before; bad pictures stop the sweep or are left out."""
        datasets = self.plan.datasets
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

    def _run_group(self, group: Group, engine: Engine) -> None:
        try:
            stage = self._stage(group.architecture, engine)
        except (EngineError, RefusalError) as error:
            if len(self.plan.groups) == 1:
                raise
            for checkpoint in group.checkpoints:
                self._fail(checkpoint, "engine", error)
            return
        remaining = []
        for checkpoint in group.checkpoints:
            if self.ledger.is_finished(stage, checkpoint) and not self.config.rehash:
                self.outcome.already_done += 1
                self.progress.checkpoint_done(checkpoint.name, cached=True)
            else:
                remaining.append(checkpoint)
        with ReadAhead(lambda checkpoint: self._read(checkpoint, stage)) as ahead:
            for checkpoint, following in zip_longest(remaining, remaining[1:]):
                self._run_checkpoint(stage, ahead, checkpoint, following)

    def _stage(self, architecture: Architecture, engine: Engine) -> Stage:
        for guess in architecture.guessed:
            self.progress.note(f"{architecture.name}: guessed, {guess}")
        self.progress.preparing(architecture.name)
        stage = Stage(
            architecture,
            self.plan,
            self.options,
            engine=engine,
            shapes=shapes_of(type(engine), self.settled.image_batch),
            store=self.store,
            cache_dir=self.store.cache_dir,
            log=self.progress.note,
        )
        self.progress.prepared()
        return stage

    def _read(self, checkpoint: Checkpoint, stage: Stage) -> Loaded:
        return load(checkpoint, stage.towers, trust_pickle=self.config.trust_pickle)

    def _run_checkpoint(
        self, stage: Stage, ahead: ReadAhead, checkpoint: Checkpoint, following: Checkpoint | None
    ) -> None:
        step = "read"
        try:
            loaded = ahead.take(checkpoint)
            self.ledger.check_same_content(checkpoint, loaded)
            missing = self.ledger.missing(stage, loaded.checkpoint_id)
            if missing:
                step = "swap"
                logit_scale = swap(stage, loaded)
                # From here on the engine alone holds this checkpoint: there is room for the next.
                if following is not None:
                    ahead.begin(following)
                step = "measure"
                self._measure(stage, loaded, missing, logit_scale)
            self.ledger.succeed(stage, loaded)
        except (CheckpointError, EngineError) as error:
            error.where = error.where or str(checkpoint.path)
            self._fail(checkpoint, step, error)
            return
        self.outcome.done += bool(missing)
        self.outcome.already_done += not missing
        self.progress.checkpoint_done(checkpoint.name, cached=not missing, seconds=loaded.seconds)

    def _measure(
        self, stage: Stage, loaded: Loaded, missing: list[Unit], logit_scale: float | None
    ) -> None:
        earlier = self.ledger.earlier_scores(stage, loaded.checkpoint_id, missing)
        for measured in measure(stage, missing, logit_scale, earlier, loaded.seconds):
            with timed(loaded.seconds, "write"):
                self.ledger.write(stage, loaded, measured, self.settled)
            self.progress.pictures(measured.pictures)

    def _fail(self, checkpoint: Checkpoint, step: str, error: FastclipError) -> None:
        self.ledger.fail(checkpoint, step, error)
        self.outcome.failures[checkpoint.name] = str(error)
        self.progress.checkpoint_failed(checkpoint.name, str(error))
        limit = self.config.max_failures
        if limit is not None and len(self.outcome.failures) > limit:
            raise StoppedError(
                f"more than {limit} checkpoints failed; the last: {error.what}",
                where=error.where,
                mend="mend the checkpoints or raise --max-failures; finished ones are kept",
            )
