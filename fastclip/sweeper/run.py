"""A sweep from its options to its table."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from fastclip import __version__
from fastclip.errors import EngineError, RefusalError
from fastclip.evaluators.primary import primary_endpoints
from fastclip.files import locked
from fastclip.results.table import table_is_current, write_table
from fastclip.sweeper.agenda import build_evaluators, requests_of
from fastclip.sweeper.choose import choose, refuse_absent
from fastclip.sweeper.config import Settled, SweepConfig, agree, read_settled, settle
from fastclip.sweeper.contest import Work
from fastclip.sweeper.executors import EXECUTORS
from fastclip.sweeper.executors.base import Executor
from fastclip.sweeper.group import Outcome
from fastclip.sweeper.guards import claim_folder, refuse_full_disk, refuse_lost_device
from fastclip.sweeper.options import task_options
from fastclip.sweeper.plan import EMPTY_SHARE, make_plan
from fastclip.sweeper.profile import Profile
from fastclip.sweeper.progress import Progress
from fastclip.sweeper.stage import passes_without
from fastclip.sweeper.sweeper import Sweeper
from fastclip.towers.cache import get_towers


def sweep(
    config: SweepConfig,
    progress: Progress | None = None,
    profile: Profile | None = None,
    *,
    wait: bool = True,
) -> Outcome:
    """Measure every checkpoint that is not measured yet; rebuild the tables at the end.

    Args:
        progress: silent by default.
        profile: goes on with one that has counted something already.
        wait: for the tables, where another sweep of this folder writes them.

    Raises:
        UsageError: nothing to measure, or options that contradict the output folder.
        RefusalError: unwritable output, bad data, an engine that failed its probe, a full disk.
    """
    progress = progress or Progress(quiet=True)
    profile = profile or Profile()
    executor = EXECUTORS.get(config.executor)(config)
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
    threads = settled.threads if settled is not None else config.workers or executor.threads()
    sweeper = Sweeper(config, plan, options, threads, progress, profile)
    if not (plan.checkpoints or plan.unreadable):
        progress.note(EMPTY_SHARE)
        return sweeper.outcome
    with refuse_full_disk(out), refuse_lost_device(out):
        try:
            _measure(sweeper, settled, executor)
        finally:
            if not _write_current_table(out, wait=wait):
                progress.note(
                    "another share is writing the table, and will write it with these rows; should "
                    f"it die, `fastclip table {out}`"
                )
    return sweeper.outcome


def _measure(sweeper: Sweeper, settled: Settled | None, executor: Executor) -> None:
    """Everything that remains; raises RefusalError where nothing can be measured."""
    config, plan = sweeper.config, sweeper.plan
    sweeper.check_pictures()
    if plan.groups:
        with sweeper.profile.phase("trial"):
            sweeper.books.settled = settle(config, settled or _choose(sweeper))
    sweeper.progress.start(plan.checkpoints + len(plan.unreadable))
    try:
        for checkpoint, error in plan.unreadable:
            sweeper.books.fail(checkpoint, "open", error)
        if plan.groups:
            with sweeper:
                executor.run(sweeper)
    finally:
        sweeper.progress.finish()


def _choose(sweeper: Sweeper) -> Settled:
    """By trial, unless the options say."""
    config = sweeper.config
    settled = choose(
        config,
        lambda: _works(sweeper),
        threads=sweeper.store.threads,
        version=__version__,
        cache_dir=sweeper.store.cache_dir,
        log=sweeper.progress.note,
    )
    before = read_settled(config.output_dir)  # there with --rescore
    declared = before.primary if before else None
    return replace(
        settled,
        without=config.without,
        primary=declared or primary_endpoints(sweeper.options),
    )


def _works(sweeper: Sweeper) -> list[Work]:
    """What there is to do on each architecture; those that cannot be measured fail later."""
    plan, works = sweeper.plan, []
    for group in plan.groups:
        try:
            evaluators = build_evaluators(
                group.architecture, plan, sweeper.options, log=lambda _: None
            )
            with sweeper.profile.phase("graph"):
                towers = get_towers(
                    group.architecture,
                    cache_dir=sweeper.store.cache_dir,
                    text=any("text" in evaluator.needs for evaluator in evaluators),
                    passes=passes_without(sweeper.config.without),
                )
        except (EngineError, RefusalError):
            if len(plan.groups) == 1:
                raise
            continue
        pictures = sum(view.rows for view in sweeper.store.plan(requests_of(evaluators)))
        works.append(Work(towers, len(group.checkpoints), pictures))
    return works


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
