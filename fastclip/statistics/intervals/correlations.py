"""Intervals of correlations whose pictures come in clusters: those of one reference.

A score follows its reference: pairs of one reference are not independent, and resampling pairs as
if they were gives intervals that are far too short. What is left out, or drawn, is the cluster.
All inference is on Fisher's z = atanh(r).

- "jackknife-t": z -+ t(C - 1) * se, with the delete-one-cluster jackknife's
  se^2 = (C - 1) / C * sum (z_c - mean z)^2 (Efron and Tibshirani 1993, chapter 11).
- "bootstrap": percentiles of the cluster bootstrap (Davison and Hinkley 1997, sections 3.8, 5.3).
- "bca": the same, corrected for bias and for acceleration, which is the cluster jackknife's
  (Efron 1987, doi 10.1080/01621459.1987.10478410).

For a group, clusters without members there do not count.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial as having
from typing import Any, Literal, Protocol

import numpy as np
import numpy.typing as npt

from fastclip.statistics.batched import correlate
from fastclip.statistics.correlation import partial
from fastclip.statistics.intervals.base import LEVEL, Interval, no_interval

Float64Array = npt.NDArray[np.float64]
BoolArray = npt.NDArray[np.bool_]
Bounds = tuple[Float64Array, Float64Array]

FEWEST = 3
"""Clusters that an interval needs."""
UNDEFINED = 0.05
"""Share of a bootstrap's resamples that may be without a coefficient."""
RESAMPLES = 2000


class Drawn(Protocol):
    """Coefficients `[..., columns]` with the data's in column 0, of a number of resamples or of
    "jackknife", as `statistics.batched` has them."""

    def __call__(self, resamples: int | Literal["jackknife"]) -> Float64Array: ...


@dataclass(frozen=True)
class Estimates:
    """Coefficients with their intervals.

    Attributes:
        values: `[K, G]`; NaN where undefined.
        low, high: `[K, G]`; NaN where there is no interval.
        units: `[G]`, clusters with members in the group.
        reasons: `[K, G]` strings, see `BatchedCorrelations`.
        method: of the intervals.
    """

    values: Float64Array
    low: Float64Array
    high: Float64Array
    units: npt.NDArray[np.int64]
    reasons: npt.NDArray[np.str_]
    method: str

    def interval(self, row: int, group: int) -> Interval:
        """The interval of one coefficient."""
        low, high = float(self.low[row, group]), float(self.high[row, group])
        units = int(self.units[group])
        return no_interval(units) if np.isnan(low) else Interval(low, high, self.method, units)


def estimate(
    metric: str,
    scores: npt.ArrayLike,
    target: npt.ArrayLike,
    groups: Sequence[npt.ArrayLike] | None = None,
    *,
    clusters: npt.ArrayLike,
    method: str = "jackknife-t",
    resamples: int = RESAMPLES,
    seed: int = 0,
    threads: int = 0,
) -> Estimates:
    """Correlates each of `scores` with `target` in every group, with intervals over clusters.

    Args:
        metric, scores, target, groups, clusters, seed, threads: see `batched.correlate`.
        method: a name in `METHODS`.
        resamples: of the bootstraps.

    Raises:
        ValueError: an unknown method, and what `batched.correlate` raises.
    """
    scores = np.asarray(scores, np.float64)
    members = [np.arange(scores.shape[-1])] if groups is None else [np.asarray(g) for g in groups]
    present = members_of(members, clusters)
    reasons = np.empty(0, np.str_)

    def drawn(resamples: int | Literal["jackknife"]) -> Float64Array:
        nonlocal reasons
        found = correlate(
            metric,
            scores,
            target,
            members,
            resamples=resamples,
            clusters=clusters,
            seed=seed,
            threads=threads,
        )
        reasons = found.reasons
        return found.values

    values, (low, high) = bounds(method, drawn, present, resamples)
    return Estimates(values, low, high, present.sum(axis=1), reasons, method)


def estimate_partial(
    metric: str,
    scores: npt.ArrayLike,
    target: npt.ArrayLike,
    given: npt.ArrayLike,
    *,
    clusters: npt.ArrayLike,
    method: str = "jackknife-t",
    resamples: int = RESAMPLES,
    seed: int = 0,
    threads: int = 0,
) -> Estimates:
    """Correlations of each of `scores` `[K, N]` with `target` given `given`, `[N]` each.

    See `estimate`; there is one group, of all, and "collinear" is a reason too: `given` alone
    gives the scores or the target.
    """
    scores = np.asarray(scores, np.float64)
    columns = np.concatenate([scores, [np.asarray(given, np.float64)]])
    present = members_of([np.arange(scores.shape[-1])], clusters)
    reasons = np.empty((len(scores), 1), "<U12")

    def drawn(resamples: int | Literal["jackknife"]) -> Float64Array:
        options: dict[str, Any] = {
            "resamples": resamples,
            "clusters": clusters,
            "seed": seed,
            "threads": threads,
        }
        with_target = correlate(metric, columns, target, **options)
        with_given = correlate(metric, scores, given, **options).values
        found, last = with_target.reasons[:-1], with_target.reasons[-1:]
        reasons[:] = np.where(found == "", last, found)
        return partial(with_target.values[:-1], with_given, with_target.values[-1:])

    values, (low, high) = bounds(method, drawn, present, resamples)
    reasons[np.isnan(values) & (reasons == "")] = "collinear"
    return Estimates(values, low, high, present.sum(axis=1), reasons, method)


def bounds(
    method: str, drawn: Drawn, present: BoolArray, resamples: int = RESAMPLES
) -> tuple[Float64Array, Bounds]:
    """Coefficients `[..., G]` and their lower and upper bounds, by one of `METHODS`.

    Args:
        drawn: see `Drawn`; `[..., G, columns]`.
        present: `[G, C]`, whether the group has members of the cluster.

    Raises:
        ValueError: an unknown method.
    """
    if method not in METHODS:
        raise ValueError(f"unknown method {method!r}; known: {', '.join(METHODS)}")
    return METHODS[method](drawn, present, resamples)


def members_of(groups: Sequence[npt.ArrayLike], clusters: npt.ArrayLike) -> BoolArray:
    """`[G, C]`: whether the group has members of the cluster; labels in sorted order."""
    labels, codes = np.unique(np.asarray(clusters), return_inverse=True)
    present = np.zeros((len(groups), len(labels)), np.bool_)
    for row, group in zip(present, groups, strict=True):
        row[codes[np.asarray(group, np.int64)]] = True
    return present


def mean_t(coefficients: Float64Array) -> Interval:
    """The interval of the mean of independent coefficients `[n]`, by Student's t, within +-1."""
    units = len(coefficients)
    if units < FEWEST:
        return no_interval(units)
    from scipy import stats

    error = coefficients.std(ddof=1) / np.sqrt(units)
    half = stats.t.ppf((1 + LEVEL) / 2, units - 1) * error
    low, high = np.clip(coefficients.mean() + np.array([-half, half]), -1, 1)
    return Interval(float(low), float(high), "t", units)


def jackknife_t(replicates: Float64Array, present: BoolArray) -> Bounds:
    """Bounds `[..., G]` from `[..., G, C + 1]`: the data, then without each cluster.

    NaN where fewer than three clusters have members, or where the coefficient is undefined or
    +-1 for the data or without one of its clusters.
    """
    from scipy import stats

    z, counted = _fisher(replicates), present.sum(axis=-1)
    deviation = _deviations(z[..., 1:], present)
    with np.errstate(divide="ignore", invalid="ignore"):
        error = np.sqrt((counted - 1) / counted * np.square(deviation).sum(axis=-1))
        half = np.where(counted >= FEWEST, stats.t.ppf((1 + LEVEL) / 2, counted - 1), np.nan)
    half = half * error
    return np.tanh(z[..., 0] - half), np.tanh(z[..., 0] + half)


def percentile(replicates: Float64Array, present: BoolArray) -> Bounds:
    """Bounds `[..., G]` from `[..., G, B + 1]`: the data, then bootstrap resamples."""
    tails = np.array([(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    shape = (*replicates.shape[:-1], 2)
    return _quantiles(replicates, np.broadcast_to(tails, shape), present)


def bca(bootstrapped: Float64Array, jackknifed: Float64Array, present: BoolArray) -> Bounds:
    """Bounds `[..., G]` from `[..., G, B + 1]` and `[..., G, C + 1]`."""
    from scipy import special

    data = bootstrapped[..., :1]
    below = (bootstrapped[..., 1:] < data).sum(axis=-1) + (bootstrapped[..., 1:] <= data).sum(-1)
    defined = (~np.isnan(bootstrapped[..., 1:])).sum(axis=-1)
    deviation = _deviations(_fisher(jackknifed)[..., 1:], present)
    with np.errstate(divide="ignore", invalid="ignore"):
        bias = special.ndtri(below / (2 * defined))[..., None]
        squares = np.square(deviation).sum(axis=-1)
        skewness = np.power(deviation, 3).sum(axis=-1) / squares**1.5 / 6
        z = bias + special.ndtri([(1 - LEVEL) / 2, (1 + LEVEL) / 2])
        tails = special.ndtr(bias + z / (1 - skewness[..., None] * z))
    return _quantiles(bootstrapped, tails, present)


def _fisher(coefficients: Float64Array) -> Float64Array:
    """atanh, NaN for +-1: there is no deviation from infinity."""
    with np.errstate(divide="ignore", invalid="ignore"):
        z = np.arctanh(coefficients)
    return np.where(np.isinf(z), np.nan, z)


def _deviations(z: Float64Array, present: BoolArray) -> Float64Array:
    """The jackknife replicates' mean minus each; 0 where the cluster is not present."""
    kept = np.where(present, z, 0.0)
    with np.errstate(divide="ignore", invalid="ignore"):
        mean = (kept.sum(axis=-1) / present.sum(axis=-1))[..., None]
    return np.where(present, mean - kept, 0.0)


def _quantiles(replicates: Float64Array, tails: Float64Array, present: BoolArray) -> Bounds:
    """Quantiles `[..., G]` at `tails` `[..., G, 2]` of bootstrap coefficients, on z."""
    with np.errstate(divide="ignore"):
        z = np.sort(np.arctanh(replicates[..., 1:]), axis=-1)  # NaN comes last
    defined = (~np.isnan(z)).sum(axis=-1)
    usable = (
        (defined >= (1 - UNDEFINED) * z.shape[-1])
        & (defined > 0)
        & (present.sum(axis=-1) >= FEWEST)
        & ~np.isnan(replicates[..., 0])
        & ~np.isnan(tails).any(axis=-1)
    )
    place = np.where(usable[..., None], tails * np.maximum(defined - 1, 0)[..., None], 0.0)
    floor = np.floor(place).astype(np.int64)
    low = np.take_along_axis(z, floor, axis=-1)
    high = np.take_along_axis(z, np.ceil(place).astype(np.int64), axis=-1)
    with np.errstate(invalid="ignore"):
        between = np.where((low == high) | np.isinf(low), low, low + (place - floor) * (high - low))
    found = np.where(usable[..., None], np.tanh(between), np.nan)
    return found[..., 0], found[..., 1]


Method = Callable[[Drawn, BoolArray, int], tuple[Float64Array, Bounds]]


def _by_jackknife(drawn: Drawn, present: BoolArray, resamples: int) -> tuple[Float64Array, Bounds]:
    replicates = drawn("jackknife")
    return replicates[..., 0], jackknife_t(replicates, present)


def _by_bootstrap(
    corrected: bool, drawn: Drawn, present: BoolArray, resamples: int
) -> tuple[Float64Array, Bounds]:
    replicates = drawn(resamples)
    if corrected:
        return replicates[..., 0], bca(replicates, drawn("jackknife"), present)
    return replicates[..., 0], percentile(replicates, present)


METHODS: dict[str, Method] = {
    "jackknife-t": _by_jackknife,
    "bootstrap": having(_by_bootstrap, False),
    "bca": having(_by_bootstrap, True),
}
"""By the name in the `ci_method` column; the first is the default."""
