"""Max-T: many differences judged at once, by the largest of them in every resample.

For differences d_j with jackknife standard errors se_j, the studentised d_j / se_j is compared
with the distribution of the *largest* over j, so that with probability `level` no true null among
them is rejected (single-step resampling: Westfall & Young, Resampling-Based Multiple Testing,
1993; Romano & Wolf, JASA 100:94-108, 2005). How the differences depend on each other is that of
the resamples: neighbouring checkpoints of smooth training cost little.

**Few units.** Resampling C units gives deviations whose spread is too small by about
sqrt((C - 1) / C) and whose tails are those of a known, not an estimated, spread. So every
difference's resamples are centred on their mean and divided by their own standard deviation, and
a studentised difference is read as Student's t with C - 1 degrees of freedom and turned into the
normal score of equal tail probability before it meets them. (Dependence from the resamples,
margins from Student: a copula. `bench/curves.py` measures what it holds.)
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import stats

from fastclip.statistics.curves.base import Float64Array, PairedCurve

Array = npt.NDArray[Any]

LEVEL = 0.95
SAME = 1e-9
"""Differences whose variance is this small beside that of their terms are constants."""


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
    """Var(second - first); exactly 0 where the two are one but for rounding."""
    terms = covariance[first, first] + covariance[second, second]
    value = terms - 2 * covariance[first, second]
    return np.where(value > SAME * terms, value, 0.0)


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
        maxima: `[b]` normal scores, the largest in each resample.
        units: C.
    """

    maxima: Array
    units: int

    def p(self, statistics: npt.ArrayLike) -> Float64Array:
        """Adjusted p of studentised differences (absolute ones, if `maxima` are)."""
        ordered = np.sort(self.maxima)
        scores = _normal_scores(np.asarray(statistics, np.float64), self.units)
        reached = len(ordered) - np.searchsorted(ordered, scores, side="left")
        return np.asarray((1 + reached) / (1 + len(ordered)))

    def critical(self, level: float = LEVEL) -> float:
        """Studentised differences beyond it have p <= 1 - level; infinite with few resamples."""
        rank = int((1 - level) * (1 + len(self.maxima)) + 1e-9)
        if rank == 0:
            return np.inf
        score = np.sort(self.maxima)[-rank]
        return float(stats.t.isf(stats.norm.sf(score), self.units - 1))


def two_sided(deviations: Array, variances: Float64Array, units: int) -> MaxT:
    """Of |difference| over a family: deviations `[m, b]`, their variances over resamples `[m]`."""
    scaled = deviations * per_spread(variances)[:, None]
    return MaxT(np.abs(scaled).max(axis=0, initial=0), units)


def _normal_scores(statistics: Float64Array, units: int) -> Float64Array:
    """Scores with the tail of Student's t; symmetric, so that both tails are exact."""
    tails = stats.t.sf(np.abs(statistics), units - 1)
    return np.asarray(np.sign(statistics) * stats.norm.isf(tails))
