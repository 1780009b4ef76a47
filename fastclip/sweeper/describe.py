"""`--dry-run`: what a sweep would do, from names, sizes and tables; no weights are read."""

from __future__ import annotations

from collections.abc import Iterator

from fastclip.results.sightings import SightingIndex
from fastclip.stimuli.cache import size_text
from fastclip.stimuli.views import PlannedView, ViewStore
from fastclip.sweeper.agenda import build_evaluators, requests_of
from fastclip.sweeper.choose import likely
from fastclip.sweeper.config import SweepConfig
from fastclip.sweeper.estimate import seconds_per_checkpoint
from fastclip.sweeper.options import task_options
from fastclip.sweeper.plan import EMPTY_SHARE, Group, Plan, make_plan

RUNS = 6
"""That are named; a series may have thousands."""


def describe_plan(config: SweepConfig) -> Iterator[str]:
    """Lines that say what would be measured, on what, and what it would take."""
    options = task_options(config)
    notes: list[str] = []
    plan = make_plan(config, options, download=False)
    yield f"output      {config.output_dir}"
    yield f"tasks       {', '.join(plan.tasks)}"
    for dataset in plan.datasets:
        pictures, rows = len(dataset.pictures), dataset.found
        yield f"data        {dataset.label}: {pictures:,} pictures, {rows:,} rows"
    store = ViewStore(
        config.cache_dir, config.memory, config.workers, config.decoder, config.device
    )
    index = SightingIndex(config.output_dir)
    for group in plan.groups:
        yield from _describe_group(config, plan, group, store, index, notes)
    if config.shard is not None and not plan.checkpoints:
        yield f"note        {EMPTY_SHARE}"
    for anchor in plan.absent:
        yield f"absent      {anchor}: a sweep downloads it first"
    for checkpoint, error in plan.unreadable:
        yield f"unreadable  {checkpoint.name}: {error.what}"
    for path, reason in plan.skipped:
        yield f"skipped     {path}: {reason}"
    for note in dict.fromkeys((*plan.notes, *notes)):
        yield f"note        {note}"


def _describe_group(
    config: SweepConfig,
    plan: Plan,
    group: Group,
    store: ViewStore,
    index: SightingIndex,
    notes: list[str],
) -> Iterator[str]:
    architecture = group.architecture
    evaluators = build_evaluators(architecture, plan, task_options(config), notes.append)
    views = store.plan(requests_of(evaluators))
    request = config.request
    known = sum(index.find(c, request) is not None for c in group.checkpoints)
    runs = sorted({checkpoint.run for checkpoint in group.checkpoints})
    yield (
        f"arch        {architecture.name} (from {architecture.source}): "
        f"{len(group.checkpoints)} checkpoints of {', '.join(runs[:RUNS])}"
        f"{f' and {len(runs) - RUNS} more runs' if len(runs) > RUNS else ''}, "
        f"{known} seen by an earlier sweep"
    )
    for guess in architecture.guessed:
        yield f"  guessed   {guess}"
    pictures = sum(view.rows for view in views)
    prompts = len({prompt for evaluator in evaluators for prompt in evaluator.prompts()})
    for view in views:
        yield f"  view      {_view_line(view)}"
    yield f"  forwards  {pictures:,} pictures and {prompts:,} prompts per checkpoint"
    cost = size_text(sum(view.bytes for view in views))
    disk = size_text(sum(view.bytes for view in views if not view.cached))
    yield f"  memory    {cost} of pictures; {disk} still to be written to the cache"
    device, precision = likely(config)
    each, source = seconds_per_checkpoint(
        config.output_dir, architecture, pictures, prompts, device=device, precision=precision
    )
    if each is None:
        yield f"  time      not known: {source}"
    else:
        minutes = each * (len(group.checkpoints) - known) / 60
        by = " by one worker" if config.processes > 1 or config.executor != "local" else ""
        total = f"{minutes:.1f} min in all{by}"
        yield f"  time      about {each:.3g} s per checkpoint, {total} ({source})"


def _view_line(view: PlannedView) -> str:
    state = "cached" if view.cached else "to be made"
    return f"{view.title}: {view.rows:,} pictures, {size_text(view.bytes)}, {view.mode}, {state}"
