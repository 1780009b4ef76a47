"""Whether two curves of a run move together.

Curves that both rise and level off correlate over checkpoints, related or not; so do their
increments, both large early. Both are facts about training, not about a link. What is tested is
whether an increment that is large *among those around it* goes with one in the other curve:

1. increments per doubling of samples seen, u_i = (a_(i+1) - a_i) / log2(x_(i+1) / x_i);
2. local ranks: how many of the two before and the two after u_i are below it less how many are
   above, halved (-2 to 2). A trend shared by all increments, and a spread that changes along
   training (noise per doubling grows as doublings hold more checkpoints), leave no mark on them;
3. r, the correlation of the two curves' local ranks, against the same with one of them shifted
   around in a circle by every possible number of steps. Shifts keep what each curve is like in
   itself, its autocorrelation too, and break what ties one to the other (Lancaster, Iatsenko,
   Pidde, Ticcinelli & Stefanovska, Physics Reports 748:1-60, 2018, on such surrogates).

`bench/links.py` measures how often unrelated curves pass.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import stats

from fastclip.statistics.curves.base import Float64Array

AROUND = 2
"""Increments on either side of one that it is ranked among."""
CHECKPOINTS = 25
"""Fewest for a test: 24 increments have 20 local ranks, so 20 shifts, so p may reach 1 / 20."""
RUNS = 5
RUN_CHECKPOINTS = 12
"""Fewest runs, and fewest checkpoints in each, for a test over runs."""
LAG_CHECKPOINTS = 20
"""Fewest for correlations at lags."""
ROUNDING = 1e-9


@dataclass(frozen=True)
class Moves:
    """How the increments of two curves go together.

    Attributes:
        r: correlation of local ranks, what is tested; of one run, or the mean over runs (back
            from Fisher's z). None where `reason`.
        low, high: of the mean over runs, 95 %; None with one run.
        spearman: rank correlation of the increments themselves, trend and all: descriptive.
        p: two-sided; None where `reason`.
        n: local ranks, or runs.
        method: "circular-shift" or "runs-t".
        reason: why there is no p: "too_few_checkpoints", "too_few_runs", "constant", or "".
    """

    r: float | None
    low: float | None
    high: float | None
    spearman: float | None
    p: float | None
    n: int
    method: str
    reason: str = ""


@dataclass(frozen=True)
class Lags:
    """Correlations of local ranks at lags, exploratory: no p, and the largest is picked.

    Attributes:
        lags: in checkpoints; positive where the second curve follows the first.
        r: one per lag; NaN where undefined.
        largest: the lag with the largest |r|; None where `reason`.
        reason: "too_few_checkpoints", "constant" or "".
    """

    lags: tuple[int, ...]
    r: tuple[float, ...]
    largest: int | None
    reason: str = ""


def level_correlation(curves: npt.ArrayLike) -> Float64Array:
    """Spearman's correlations over checkpoints, `[Q, T]` -> `[Q, Q]`: descriptive, never tested.

    NaN marks points left out, pair by pair; a coefficient is NaN below 3 common points or where
    a curve is constant.
    """
    values = np.asarray(curves, np.float64)
    matrix = np.full((len(values), len(values)), np.nan)
    for i, first in enumerate(values):
        for j, second in enumerate(values[: i + 1]):
            both = np.isfinite(first) & np.isfinite(second)
            if both.sum() >= 3:
                matrix[i, j] = matrix[j, i] = _spearman(first[both], second[both])
    return matrix


def increments_link(samples: npt.ArrayLike, a: npt.ArrayLike, b: npt.ArrayLike) -> Moves:
    """Tests whether two curves of one run move together beyond their trends.

    Args:
        samples: `[T]` samples seen, increasing; checkpoints at 0 (untrained) are left out.
        a, b: `[T]` the curves; checkpoints with NaN in either are left out.

    p = (1 + shifts with |r| at least as large) / (1 + shifts), over all shifts but none.

    Raises:
        ValueError: samples seen do not increase.
    """
    increments = _increments(samples, a, b)
    first, second = (local_ranks(each) for each in increments)
    spearman = _spearman(*increments) if len(increments[0]) > 2 else np.nan
    described = None if np.isnan(spearman) else spearman
    count, reason = len(first), ""
    if len(increments[0]) + 1 < CHECKPOINTS:
        reason = "too_few_checkpoints"
    elif np.ptp(first) == 0 or np.ptp(second) == 0:
        reason = "constant"
    if reason:
        return Moves(None, None, None, described, None, count, "circular-shift", reason)
    shifted = _circular(first, second)
    reached = int((np.abs(shifted[1:]) >= abs(shifted[0]) - ROUNDING).sum())
    p = (1 + reached) / count
    return Moves(float(shifted[0]), None, None, described, p, count, "circular-shift")


def link_over_runs(
    runs: Sequence[tuple[npt.ArrayLike, npt.ArrayLike, npt.ArrayLike]],
) -> Moves:
    """Tests over independent runs, each `(samples, a, b)` as `increments_link` takes them.

    Student's t of Fisher's z of each run's r, against 0: runs, not checkpoints, are the units.
    Runs with fewer than 12 usable checkpoints, or whose local ranks are constant, do not count;
    at least 5 must. |r| is kept within 1 - 1 / n of its n local ranks, so that z is finite.

    Raises:
        ValueError: samples seen do not increase in some run.
    """
    scores, described = [], []
    for samples, a, b in runs:
        increments = _increments(samples, a, b)
        first, second = (local_ranks(each) for each in increments)
        if len(increments[0]) + 1 < RUN_CHECKPOINTS or np.ptp(first) == 0 or np.ptp(second) == 0:
            continue
        most = 1 - 1 / len(first)
        scores.append(np.arctanh(np.clip(_circular(first, second)[0], -most, most)))
        described.append(_spearman(*increments))
    count, method = len(scores), "runs-t"
    spearman = float(np.mean(described)) if described else None
    if count < RUNS:
        return Moves(None, None, None, spearman, None, count, method, "too_few_runs")
    mean, error = float(np.mean(scores)), float(stats.sem(scores))
    half = float(stats.t.ppf(0.975, count - 1)) * error
    if error <= ROUNDING:
        return Moves(None, None, None, spearman, None, count, method, "constant")
    p = float(stats.ttest_1samp(scores, 0).pvalue)
    r, low, high = np.tanh([mean, mean - half, mean + half])
    return Moves(float(r), float(low), float(high), spearman, p, count, method)


def lagged(samples: npt.ArrayLike, a: npt.ArrayLike, b: npt.ArrayLike) -> Lags:
    """Correlations of local ranks at lags up to a quarter of the increments; exploratory.

    Arguments and errors as of `increments_link`. Lags count usable checkpoints, whatever lies
    between them. Local ranks know nothing of changes slower than a few checkpoints.
    """
    first, second = (local_ranks(each) for each in _increments(samples, a, b))
    if len(first) + 2 * AROUND + 1 < LAG_CHECKPOINTS:
        return Lags((), (), None, "too_few_checkpoints")
    most = len(first) // 4
    lags = range(-most, most + 1)
    r = []
    for lag in lags:
        x = first[max(0, -lag) : len(first) - max(0, lag)]
        y = second[max(0, lag) : len(second) - max(0, -lag)]
        r.append(float(_circular(x, y)[0]) if np.ptp(x) > 0 and np.ptp(y) > 0 else np.nan)
    if np.isnan(r).all():
        return Lags((), (), None, "constant")
    return Lags(tuple(lags), tuple(r), lags[int(np.nanargmax(np.abs(r)))])


def local_ranks(increments: Float64Array) -> Float64Array:
    """`[n]` -> `[n - 4]` (none below 5): the place of each among two before and two after it."""
    width = 2 * AROUND + 1
    if len(increments) < width:
        return np.empty(0)
    near = np.lib.stride_tricks.sliding_window_view(increments, width)
    middle = near[:, AROUND : AROUND + 1]
    return np.asarray(((near < middle).sum(axis=1) - (near > middle).sum(axis=1)) / 2)


def _increments(
    samples: npt.ArrayLike, a: npt.ArrayLike, b: npt.ArrayLike
) -> tuple[Float64Array, Float64Array]:
    """Increments per doubling of both curves between usable checkpoints."""
    x, first, second = (np.asarray(each, np.float64) for each in (samples, a, b))
    usable = (x > 0) & np.isfinite(x) & np.isfinite(first) & np.isfinite(second)
    x, first, second = x[usable], first[usable], second[usable]
    if (np.diff(x) <= 0).any():
        raise ValueError("samples seen must increase from checkpoint to checkpoint")
    doublings = np.diff(np.log2(x))
    return np.diff(first) / doublings, np.diff(second) / doublings


def _circular(first: Float64Array, second: Float64Array) -> Float64Array:
    """Pearson's correlation with the second shifted by 0, 1, ... n - 1 steps, `[n]`."""
    x, y = first - first.mean(), second - second.mean()
    products = np.fft.irfft(np.fft.rfft(x) * np.conj(np.fft.rfft(y)), len(x))
    return np.asarray(products / np.sqrt((x @ x) * (y @ y)))


def _spearman(first: Float64Array, second: Float64Array) -> float:
    """NaN where either is constant."""
    if np.ptp(first) == 0 or np.ptp(second) == 0:
        return float("nan")
    return float(stats.spearmanr(first, second).statistic)
