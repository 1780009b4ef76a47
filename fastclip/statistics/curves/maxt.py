"""Max-T: many differences judged at once, by the largest of them in every resample.

For differences d_j with jackknife standard errors se_j, the studentised d_j / se_j is compared
with the distribution of the *largest* over j, so that with probability `level` no true null among
them is rejected (single-step resampling: Westfall & Young, Resampling-Based Multiple Testing,
1993; Romano & Wolf, JASA 100:94-108, 2005). How the differences depend on each other is that of
the resamples: neighbouring checkpoints of smooth training cost little.

**Few units.** Resampling C units gives deviations whose spread is too small by about
sqrt((C - 1) / C), so every difference's resamples are centred on their mean and divided by their
own standard deviation. And a standard error estimated from few units is sometimes much too
small, which the largest of many ratios seeks out. So a studentised difference t is judged as

    r = t sqrt(C / (t^2 + C - 1)),

which is the same ratio with the spread of the units taken around the null's 0 instead of around
their mean: sum d / sqrt(sum d^2), at most sqrt(C), as in a test by sign flips. It grows with t,
differs from it little where t is small, and its tails are no heavier than the normal ones of the
resamples. So with very few units nothing is certain enough: at 11 units no t passes a quantile
of 3.32. `bench/curves.py` measures what this holds.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from fastclip.statistics.curves.base import Float64Array, PairedCurve

Array = npt.NDArray[Any]

LEVEL = 0.95
SAME = 1e-9
"""Least variance of a difference beside that of its terms: two checkpoints with the same weights
differ by rounding, with a variance of the same origin."""


def deviations(curve: PairedCurve) -> Array:
    """Resamples without those undefined somewhere, minus each checkpoint's mean: `[T, b]`.

    Dropping a resample drops it for every checkpoint: the rest stays paired. float32, for speed.
    """
    complete = curve.resamples[:, np.isfinite(curve.resamples).all(axis=0)]
    if complete.shape[1] == 0:
        return complete.astype(np.float32)
    return np.asarray(complete - complete.mean(axis=1, keepdims=True), np.float32)


def spread(deviations: Array) -> Float64Array:
    """Covariance of the resamples, `[T, T]`."""
    wide = deviations.astype(np.float64)
    return np.asarray(wide @ wide.T / max(wide.shape[1] - 1, 1))


def variance(covariance: Float64Array, first: Any, second: Any) -> Float64Array:
    """Var(second - first), 0 for a checkpoint and itself, else no less than rounding leaves."""
    terms = covariance[first, first] + covariance[second, second]
    value = np.maximum(terms - 2 * covariance[first, second], SAME * terms)
    return np.where(np.equal(first, second), 0.0, value)


def studentised(difference: Float64Array, variance: Float64Array) -> Float64Array:
    """difference / sqrt(variance); without variance 0 for no difference, else infinite."""
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio = difference / np.sqrt(variance)
    return np.where(difference == 0, 0.0, ratio)


def per_spread(variance: Float64Array) -> Array:
    """1 / standard deviation as float32; 0 where the resamples never differ."""
    with np.errstate(divide="ignore"):
        return np.where(variance > 0, 1 / np.sqrt(variance), 0).astype(np.float32)


@dataclass(frozen=True)
class MaxT:
    """The distribution of the largest of a family of studentised differences.

    Attributes:
        maxima: `[b]` the largest in each resample, of deviations over their own spread.
        units: C.
    """

    maxima: Array
    units: int

    def p(self, statistics: npt.ArrayLike) -> Float64Array:
        """Adjusted p of studentised differences (absolute ones, if `maxima` are)."""
        ordered = np.sort(self.maxima)
        reached = len(ordered) - np.searchsorted(ordered, self._judged(statistics), side="left")
        return np.asarray((1 + reached) / (1 + len(ordered)))

    def critical(self, level: float = LEVEL) -> float:
        """Studentised differences beyond it have p <= 1 - level; infinite with few resamples."""
        rank = int((1 - level) * (1 + len(self.maxima)) + 1e-9)
        if rank == 0:
            return np.inf
        score = float(np.sort(self.maxima)[-rank])
        if score * score >= self.units:
            return np.inf
        return float(score * np.sqrt((self.units - 1) / (self.units - score * score)))

    def _judged(self, statistics: npt.ArrayLike) -> Float64Array:
        """r of t; sqrt(C) where t is infinite."""
        t = np.asarray(statistics, np.float64)
        with np.errstate(invalid="ignore"):
            r = t * np.sqrt(self.units / (t * t + self.units - 1))
        return np.where(np.isinf(t), np.copysign(np.sqrt(self.units), t), r)


def two_sided(deviations: Array, variances: Float64Array, units: int) -> MaxT:
    """Of |difference| over a family: deviations `[m, b]`, their variances over resamples `[m]`."""
    scaled = deviations * per_spread(variances)[:, None]
    return MaxT(np.abs(scaled).max(axis=0, initial=0), units)
