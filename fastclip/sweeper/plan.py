"""What is to be done, decided before any weights are read."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from fastclip.checkpoints.base import Checkpoint
from fastclip.checkpoints.find import find
from fastclip.checkpoints.headers import header_of
from fastclip.checkpoints.names import run_folder
from fastclip.errors import CheckpointError, UsageError
from fastclip.evaluators import TASKS
from fastclip.evaluators.options import TaskOptions
from fastclip.stimuli.base import Dataset
from fastclip.stimuli.cache import cache_folder
from fastclip.sweeper.config import SweepConfig
from fastclip.towers.base import Architecture

Log = Callable[[str], None]

EMPTY_SHARE = "more shares than checkpoints: there is none for this one"


@dataclass(frozen=True)
class Group:
    """Checkpoints of one architecture, in order of run and step."""

    architecture: Architecture
    checkpoints: tuple[Checkpoint, ...]


@dataclass(frozen=True)
class Plan:
    """Checkpoints by architecture, the data sets, and what could not be planned.

    Attributes:
        groups: by architecture name, then as found.
        datasets: every data set that a task will use.
        tasks: task names in registry order.
        skipped: files that were left alone, with the reason.
        unreadable: checkpoints whose architecture could not be told, with the error.
        absent: open_clip tags that would have to be downloaded.
    """

    groups: tuple[Group, ...]
    datasets: tuple[Dataset, ...]
    tasks: tuple[str, ...]
    skipped: tuple[tuple[Path, str], ...] = ()
    unreadable: tuple[tuple[Checkpoint, CheckpointError], ...] = ()
    notes: tuple[str, ...] = field(default_factory=tuple)
    absent: tuple[str, ...] = ()

    @property
    def checkpoints(self) -> int:
        """How many checkpoints there are to measure."""
        return sum(len(group.checkpoints) for group in self.groups)


def make_plan(config: SweepConfig, options: TaskOptions, *, download: bool = True) -> Plan:
    """Find checkpoints and data sets and tell the architectures apart; reads no weights.

    Args:
        download: fetch anchors that are not on this machine.

    Raises:
        UsageError: no checkpoints, no data set, or a task that was asked for has no data.
        DataError: a data set is incomplete (without `partial`) or inconsistent.
    """
    found = find(
        config.checkpoints,
        run=config.run,
        weights=config.weights,
        samples_per_epoch=config.samples_per_epoch,
        every=config.every,
        steps=config.steps,
        epochs=config.epochs,
        download=download,
        cache_dir=cache_folder(config.cache_dir),
    )
    data = plan_data(config, options)
    groups, unreadable = group_by_architecture(config, found.checkpoints)
    cut = [(_broken(path), CheckpointError(why, where=path)) for path, why in found.cut_short]
    skipped = [skip for skip in found.skipped if skip not in found.cut_short]
    plan = replace(
        data,
        groups=groups,
        skipped=tuple(skipped),
        unreadable=(*unreadable, *cut),
        absent=tuple(found.absent),
    )
    return plan if config.shard is None else share_of(plan, *config.shard)


def share_of(plan: Plan, number: int, shards: int) -> Plan:
    """The `number`-th of `shards` equal shares of a plan's checkpoints, from 1.

    Shares are cut from the whole order, so that each has as few architectures as possible.
    """
    total = plan.checkpoints
    begin, end = (total * n // shards for n in (number - 1, number))
    groups, before = [], 0
    for group in plan.groups:
        mine = group.checkpoints[max(0, begin - before) : max(0, end - before)]
        before += len(group.checkpoints)
        if mine:
            groups.append(replace(group, checkpoints=mine))
    return replace(plan, groups=tuple(groups), unreadable=plan.unreadable[number - 1 :: shards])


def plan_data(config: SweepConfig, options: TaskOptions) -> Plan:
    """Data sets and tasks only: a plan without checkpoints, for who is handed them one by one.

    Raises:
        UsageError: no data set, or a task that was asked for has no data.
        DataError: a data set is incomplete (without `partial`) or inconsistent.
    """
    tasks, used, notes = _tasks(config, _datasets(config), options)
    return Plan((), used, tasks, notes=tuple(notes))


def _broken(path: Path) -> Checkpoint:
    """A name for a file that could not even be stamped."""
    return Checkpoint(path, run=run_folder(path).name, format="", stamp="")


def _datasets(config: SweepConfig) -> list[Dataset]:
    from fastclip.stimuli.locate import find_datasets

    return list(
        find_datasets(
            config.data_dir,
            config.data,
            higher_is_better=config.higher_is_better,
            partial=config.partial or config.limit is not None,
            limit=config.limit,
            tasks=_kinds_of(config.tasks),
        ).values()
    )


def _kinds_of(tasks: tuple[str, ...]) -> tuple[str, ...]:
    """Tasks whose data sets are wanted; diagnostics look at what others measure on."""
    return () if "embedding-diagnostics" in tasks else tasks


def _tasks(
    config: SweepConfig, datasets: Sequence[Dataset], options: TaskOptions
) -> tuple[tuple[str, ...], tuple[Dataset, ...], list[str]]:
    from fastclip.stimuli.base import PixelSpec

    tasks, used, notes = [], {}, []
    for task in TASKS:
        if config.tasks and task not in config.tasks:
            continue
        wanted = TASKS.get(task)(datasets, PixelSpec(32, 32), options)
        if wanted:
            tasks.append(task)
            used.update({e.dataset.label: e.dataset for e in wanted})
        elif task in config.tasks:
            raise UsageError(
                f"task '{task}' has no data set",
                where="--tasks",
                mend="name the folder that holds the sets with --data-dir, or a set with "
                "--data NAME=PATH; `fastclip ls datasets` lists them",
            )
        else:
            notes.append(f"task {task}: no data set found, left out")
    if not tasks:
        raise UsageError(
            "no data set found, so there is nothing to measure",
            where=config.data_dir or "--data-dir",
            mend="name the folder that holds the sets with --data-dir, or a set with "
            "--data NAME=PATH; `fastclip ls datasets` lists them, `fastclip data prepare` "
            "fetches them",
        )
    return tuple(tasks), tuple(used.values()), notes


def group_by_architecture(
    config: SweepConfig, checkpoints: Sequence[Checkpoint]
) -> tuple[tuple[Group, ...], list[tuple[Checkpoint, CheckpointError]]]:
    """Tell architectures apart, opening one file per (folder, format, size) and no more.

    A file of the same size beside one that was identified is taken for the same architecture;
    its tensor names and shapes are checked against it before any of its values is read.
    """
    known: dict[tuple[object, ...], Architecture] = {}
    members: dict[str, list[Checkpoint]] = {}
    architectures: dict[str, Architecture] = {}
    unreadable = []
    for checkpoint in checkpoints:
        key = _kinship(checkpoint)
        if key not in known:
            try:
                known[key] = identify_checkpoint(config, checkpoint)
            except CheckpointError as error:
                unreadable.append((checkpoint, error))
                continue
        architecture = known[key]
        architectures.setdefault(architecture.digest, architecture)
        members.setdefault(architecture.digest, []).append(checkpoint)
    groups = [Group(architectures[d], tuple(m)) for d, m in members.items()]
    return tuple(sorted(groups, key=lambda g: (g.architecture.name, g.architecture.digest))), (
        unreadable
    )


def identify_checkpoint(config: SweepConfig, checkpoint: Checkpoint) -> Architecture:
    """Tell one checkpoint's architecture, by its names and shapes; reads no values."""
    from fastclip.towers.identify import identify

    cache_dir = cache_folder(config.cache_dir)
    header = header_of(checkpoint, trust_pickle=config.trust_pickle, cache_dir=cache_dir)
    return identify(header, checkpoint, config.model, config.tokenizer, cache_dir)


def _kinship(checkpoint: Checkpoint) -> tuple[object, ...]:
    path = checkpoint.path
    if checkpoint.format == "huggingface":
        return (path,)  # a folder with a config of its own
    size = checkpoint.stamp.partition("-")[0]  # a stamp begins with it
    return (path.parent, checkpoint.run, checkpoint.format, checkpoint.anchor, size)
