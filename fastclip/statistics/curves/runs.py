"""Several runs as one curve: aligned by samples seen, or by how accurate they are."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import stats

from fastclip.statistics.curves.base import Float64Array

RUNS = 3
"""Fewest for an interval."""
POINTS = 50

Run = tuple[npt.ArrayLike, npt.ArrayLike]


@dataclass(frozen=True)
class MeanCurve:
    """The mean over runs.

    Attributes:
        x: `[P]` samples seen or accuracy; empty where the runs have no range in common.
        mean: `[P]`.
        low, high: `[P]` 95 %, Student's t over runs, at each x alone; None below 3 runs.
        runs: how many.
    """

    x: Float64Array
    mean: Float64Array
    low: Float64Array | None
    high: Float64Array | None
    runs: int


def by_samples(runs: Sequence[Run], points: int = POINTS) -> MeanCurve:
    """Runs `(samples, values)` at common samples seen.

    Values are interpolated linearly in log(samples) at `points` places, evenly spaced in it over
    the range that all runs cover: nothing is extrapolated. Checkpoints at 0 samples and NaN are
    left out. Where all runs have the same checkpoints, those are the places.

    Raises:
        ValueError: samples seen do not increase in some run.
    """
    cleaned = []
    for samples, values in runs:
        x, y = _finite(samples, values)
        x, y = x[x > 0], y[x > 0]
        if (np.diff(x) <= 0).any():
            raise ValueError("samples seen must increase from checkpoint to checkpoint")
        cleaned.append((np.log2(x), y))
    grid, columns = _interpolated(cleaned, points)
    return _mean(np.exp2(grid), columns)


def by_accuracy(runs: Sequence[Run], points: int = POINTS) -> MeanCurve:
    """Runs `(accuracy, values)`, in order of training, at matched clean accuracy.

    A run is at an accuracy when it *first reaches* it: only checkpoints that surpass every one
    before them count, and values are interpolated linearly in accuracy between them. What
    happens while accuracy stalls or falls has no place on this axis. Places are evenly spaced
    over the range that all runs cover; NaN is left out.
    """
    cleaned = []
    for accuracy, values in runs:
        x, y = _finite(accuracy, values)
        first = np.concatenate(([True], x[1:] > np.maximum.accumulate(x)[:-1]))[: len(x)]
        cleaned.append((x[first], y[first]))
    return _mean(*_interpolated(cleaned, points))


def _finite(x: npt.ArrayLike, y: npt.ArrayLike) -> tuple[Float64Array, Float64Array]:
    wide, values = np.asarray(x, np.float64), np.asarray(y, np.float64)
    usable = np.isfinite(wide) & np.isfinite(values)
    return wide[usable], values[usable]


def _interpolated(
    runs: Sequence[tuple[Float64Array, Float64Array]], points: int
) -> tuple[Float64Array, Float64Array]:
    """Places `[P]` within the common range, and values there, `[runs, P]`."""
    nothing = np.empty(0), np.empty((len(runs), 0))
    if not runs or any(len(x) == 0 for x, _ in runs):
        return nothing
    if all(np.array_equal(x, runs[0][0]) for x, _ in runs):
        return runs[0][0], np.array([y for _, y in runs])
    low, high = max(x[0] for x, _ in runs), min(x[-1] for x, _ in runs)
    if low > high:
        return nothing
    grid = np.linspace(low, high, points) if low < high else np.array([low])
    return grid, np.array([np.interp(grid, x, y) for x, y in runs])


def _mean(x: Float64Array, values: Float64Array) -> MeanCurve:
    count = len(values)
    mean = values.mean(axis=0) if count else np.empty(0)
    if count < RUNS:
        return MeanCurve(x, mean, None, None, count)
    half = stats.t.ppf(0.975, count - 1) * values.std(axis=0, ddof=1) / np.sqrt(count)
    return MeanCurve(x, mean, mean - half, mean + half, count)
