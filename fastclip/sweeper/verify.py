"""What an engine or a precision costs: a few checkpoints of each run, measured twice."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from fastclip.checkpoints.base import Checkpoint
from fastclip.engines import engine_name
from fastclip.errors import UsageError
from fastclip.evaluators.base import Score
from fastclip.files import digest_of
from fastclip.results.record import Record, read_items, record_path
from fastclip.results.sightings import Sighting
from fastclip.results.table import measurements
from fastclip.sweeper.config import Settled, SweepConfig, read_settled
from fastclip.sweeper.options import task_options
from fastclip.sweeper.plan import Plan, make_plan
from fastclip.sweeper.progress import Progress
from fastclip.sweeper.run import sweep

LEAST = 1000
"""Pictures of a set below which its figures say little of the precision."""

LIMIT = 1200
"""Pictures taken of each set where no limit is given: of TID2013, ten references' pairs."""

TASKS = ("iqa", "shape-bias", "robustness")

QUIET = partial(Progress, quiet=True)

SRCC, SHARE, ALIKE = "srcc", "share", "alike"


@dataclass(frozen=True)
class Number:
    """One number of one checkpoint, by the reference and by what is verified.

    Attributes:
        kind: `SRCC`, `SHARE` (shape bias, accuracies, drops) or `ALIKE`: the share of pictures
            for which both decide alike, whose `reference` is 1.
        reference, found: None where undefined.
    """

    dataset: str
    name: str
    kind: str
    reference: float | None
    found: float | None

    @property
    def shift(self) -> float | None:
        """What was found less the reference; None where one of them is undefined."""
        if self.reference is None or self.found is None:
            return None
        return self.found - self.reference


@dataclass(frozen=True)
class Verified:
    """One checkpoint, measured by both.

    Attributes:
        place: "first", "middle" or "last" of its run; "" for open_clip's published weights.
        relative_l2: of the embeddings of the canary's pictures and prompts to open_clip's module
            (the largest), for what is verified; None where nothing was kept.
    """

    checkpoint: str
    run: str
    arch: str
    weights: str
    place: str
    step: int | None
    epoch: int | None
    relative_l2: float | None
    numbers: tuple[Number, ...]


@dataclass(frozen=True)
class Verification:
    """All that was compared.

    Attributes:
        reference: the engine that ran in fp32.
        pictures: data set -> how many of its pictures were used.
        failures: checkpoint -> why one of the two could not measure it.
    """

    engine: str
    precision: str
    device: str
    reference: str
    pictures: Mapping[str, int]
    checkpoints: tuple[Verified, ...]
    failures: Mapping[str, str]

    @property
    def runs(self) -> list[tuple[Verified, ...]]:
        """The checkpoints of each run and architecture, in order of training."""
        runs: dict[tuple[str, str, str], list[Verified]] = {}
        for one in self.checkpoints:
            runs.setdefault((one.run, one.arch, one.weights), []).append(one)
        return [tuple(run) for run in runs.values()]


def verify(
    config: SweepConfig,
    *,
    reference: str = "torch",
    progress: Callable[[], Progress] = QUIET,
) -> Verification:
    """Measure the first, a middle and the last checkpoint of each run twice, and compare.

    Two sweeps into folders that are deleted afterwards: one as `config` asks for, one with the
    reference engine in fp32. Pictures are decoded once, into the cache.

    Args:
        config: what to verify; `output_dir` is not used. Without a limit, `LIMIT` pictures of
            each set are taken; without tasks, image quality, shape bias and robustness.
        reference: the engine to compare with.
        progress: makes one for each of the sweeps.

    Raises:
        UsageError: nothing to measure, or the reference would be compared with itself.
        RefusalError: as `sweep`; also where the engine fails its probe.
    """
    config = replace(config, limit=config.limit or LIMIT)
    plan = make_plan(config, task_options(config))
    chosen = dict(choose_checkpoints(plan))
    config = replace(
        config,
        checkpoints=tuple(c.anchor or str(c.path.absolute()) for c in chosen),
        tasks=tuple(task for task in plan.tasks if task in TASKS) or plan.tasks,
        every=1,
        steps=None,
        epochs=None,
    )
    with tempfile.TemporaryDirectory(prefix="fastclip-verify-") as folder:
        found, expected = Path(folder, "found"), Path(folder, "reference")
        failures = sweep(replace(config, output_dir=found), progress()).failures
        settled = read_settled(found)
        assert settled is not None  # a sweep that returns has settled its folder
        other = _reference(config, reference, settled)
        telling = progress()
        telling.note(f"now the same by the reference, {other.engine} fp32")
        failures |= sweep(replace(other, output_dir=expected), telling).failures
        places = {str(c.path.absolute()): place for c, place in chosen.items()}
        checkpoints = tuple(compare(expected, found, places))
    return Verification(
        settled.engine,
        settled.precision,
        settled.device,
        other.engine,
        {dataset.label: len(dataset.pictures) for dataset in plan.datasets},
        checkpoints,
        failures,
    )


def choose_checkpoints(plan: Plan) -> Iterator[tuple[Checkpoint, str]]:
    """First, middle and last of each run and architecture with their place; every anchor."""
    for group in plan.groups:
        runs: dict[str, list[Checkpoint]] = {}
        for checkpoint in group.checkpoints:
            if checkpoint.anchor is not None:
                yield checkpoint, ""
            else:
                runs.setdefault(checkpoint.run, []).append(checkpoint)
        for run in runs.values():
            # Of one checkpoint, "first" stays; of two, first and last.
            rows = {len(run) // 2: "middle", len(run) - 1: "last", 0: "first"}
            yield from ((run[row], rows[row]) for row in sorted(rows))


def _reference(config: SweepConfig, reference: str, settled: Settled) -> SweepConfig:
    device = settled.device if config.device == "auto" else config.device
    name = engine_name(reference, device)
    if (settled.engine, settled.precision) == (name, "fp32"):
        raise UsageError(
            f"{name} fp32 is the reference itself",
            where="--engine",
            mend="name another --engine or --precision, or another --reference; "
            "`fastclip ls engines` lists them",
        )
    return replace(config, engine=name, precision="fp32", device=device)


def compare(expected: Path, found: Path, places: Mapping[str, str]) -> Iterator[Verified]:
    """Every checkpoint that both folders have, in order of training.

    Args:
        places: a checkpoint file's path -> its place in its run; others are passed over.
    """
    twins = {_key(m.sighting, m.record): m.record for m in measurements(expected)}
    numbers: dict[str, list[Number]] = {}
    sightings: dict[str, Sighting] = {}
    for m in measurements(found):
        twin = twins.get(_key(m.sighting, m.record))
        if twin is not None and m.sighting.path in places:
            sightings[m.sighting.path] = m.sighting
            mine = numbers.setdefault(m.sighting.path, [])
            mine += _scores(twin, m.record)
            mine += _decisions(expected, twin, found, m.record)
    for path, s in sightings.items():
        figures = [v for name, v in s.canary.items() if name.endswith("relative_l2")]
        yield Verified(
            s.name,
            s.run,
            s.arch,
            s.weights,
            places[path],
            s.step,
            s.epoch,
            max(figures, default=None),
            tuple(numbers[path]),
        )


def _key(sighting: Sighting, record: Record) -> tuple[str, ...]:
    """What two measurements share that differ in engine and precision only."""
    apart = ("engine", "precision")
    protocol = {k: v for k, v in record.protocol.items() if k not in apart}
    return sighting.path, sighting.weights, record.task, digest_of(protocol)


def _scores(expected: Record, found: Record) -> Iterator[Number]:
    others = {_factors(score): score.value for score in found.scores}
    for score in expected.scores:
        named = _name(expected.task, score)
        other = others.get(_factors(score))
        if named and (score.value is not None or other is not None):
            yield Number(expected.dataset, *named, score.value, other)


def _factors(score: Score) -> tuple[Any, ...]:
    return (
        score.metric,
        score.subset,
        score.distance,
        score.distortion,
        score.level,
        score.noise_seed,
        score.category,
    )


def _name(task: str, score: Score) -> tuple[str, str] | None:
    """What a score is called here, and its kind; None for those that are not compared."""
    if task == "iqa" and (score.metric, score.subset) == ("srcc", "pooled"):
        # The other two are the same whatever the engine.
        kept = score.distance not in ("psnr", "human_ceiling")
        return (f"SRCC, {score.distance}", SRCC) if kept else None
    if task == "shape-bias" and score.category is None:
        title = {"shape_bias": "shape bias", "cue_accuracy": "cue accuracy"}.get(score.metric)
        return (title, SHARE) if title else None
    if task == "robustness":
        title = {"acc1": "accuracy", "drop_rel_chance": "drop"}.get(score.metric)
        condition = _condition(score.distortion, score.level, score.noise_seed)
        return (f"{title}, {condition}", SHARE) if title else None
    return None


def _decisions(expected: Path, one: Record, found: Path, other: Record) -> Iterator[Number]:
    """The share of pictures for which both decide alike."""
    if one.task not in ("shape-bias", "robustness"):
        return
    first, second = (
        read_items(
            record_path(out, record.checkpoint_id, record.task, record.protocol_id),
            ["decision"],
            record.items_digest,
        )["decision"]
        for out, record in ((expected, one), (found, other))
    )
    name = "decisions alike"
    if one.task == "robustness":
        distortion = one.protocol.get("distortion") or {}
        keys = ("kind", "level", "seed")
        name += f", {_condition(*(distortion.get(key) for key in keys))}"
    yield Number(one.dataset, name, ALIKE, 1.0, float(np.mean(first == second)))


def _condition(kind: str | None, level: float | None, seed: int | None) -> str:
    if kind in (None, "none"):
        return "clean"
    draw = f", seed {seed}" if seed else ""
    return f"{str(kind).replace('_', ' ')} {level:g}{draw}"
