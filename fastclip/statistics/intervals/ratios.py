"""Intervals of differences and of ratios of means, over units measured on both sides.

What is lost between clean and distorted pictures is lost picture by picture: the same pictures
are decided twice, and the decisions go together. Every interval here keeps the pairs.
"""

from __future__ import annotations

from math import sqrt

import numpy as np
import numpy.typing as npt

from fastclip.statistics.intervals.base import LEVEL, Interval, no_interval
from fastclip.statistics.intervals.shares import resampled_sums

Float64Array = npt.NDArray[np.float64]

ROUNDING = 1e-12


def paired_t(differences: npt.ArrayLike) -> Interval:
    """Student's t-interval of the mean of paired differences `[N]`.

    Its limits are those of `fieller` with a denominator of 1, so a drop and a relative drop agree
    on whether anything was lost. No interval where N is below 2 or all differences are equal.
    """
    values = np.asarray(differences, np.float64)
    return _interval(values, np.ones(len(values)), "paired-t")


def fieller(numerators: npt.ArrayLike, denominators: npt.ArrayLike) -> Interval:
    """Fieller's interval (1954) of mean(numerators) / mean(denominators), `[N]` each, paired.

    The ratios r for which a t-test does not reject that mean(numerators - r denominators) is 0.
    No interval where these are unbounded (the denominators' own t-interval holds 0), where N is
    below 2 or where nothing varies.
    """
    top, bottom = np.asarray(numerators, np.float64), np.asarray(denominators, np.float64)
    return _interval(top, bottom, "fieller")


def _interval(
    top: npt.NDArray[np.float64], bottom: npt.NDArray[np.float64], method: str
) -> Interval:
    units = len(top)
    if units < 2:
        return no_interval(units)
    from scipy.special import stdtrit

    x, y = float(top.mean()), float(bottom.mean())
    (xx, xy), (_, yy) = np.cov(top, bottom) / units * stdtrit(units - 1, (1 + LEVEL) / 2) ** 2
    # (x - r y)^2 <= t^2 var(x - r y), a quadratic in r; `spread` is a quarter of its discriminant.
    squared, linear = y * y - yy, x * y - xy
    parts = y * y * xx + x * x * yy
    spread = parts - 2 * x * y * xy - (xx * yy - xy * xy)
    if squared <= 0 or spread <= ROUNDING * parts:
        return no_interval(units)
    low, high = (float(linear + sign * sqrt(spread)) / float(squared) for sign in (-1, 1))
    return Interval(low, high, method, units)


def drops(
    clean_right: npt.ArrayLike, distorted_right: npt.ArrayLike, chance: float
) -> Float64Array:
    """What is lost of the accuracy above `chance`, `[T]` from `[T, N]`; NaN at chance or below.

    mean(clean - distorted) / mean(clean - chance): `drop_rel_chance` with 1/K, `drop_rel` with 0.
    """
    lost, above = _lost(clean_right, distorted_right, chance)
    return ratio(lost.sum(axis=1), above.sum(axis=1))


def drop_replicates(
    clean_right: npt.ArrayLike,
    distorted_right: npt.ArrayLike,
    chance: float,
    resamples: int,
    seed: int,
) -> Float64Array:
    """`drops` on resampled pictures, `[T, B]`.

    Column b drew the same pictures, with their clean and distorted decisions, for every checkpoint
    and on every machine; NaN where a resample's clean accuracy is not above chance.
    """
    clean = np.asarray(clean_right, np.float32)
    distorted = np.asarray(distorted_right, np.float32)
    before, after = resampled_sums((clean, distorted), resamples, seed)
    return ratio(before - after, before - chance * clean.shape[1])


def drop_covariance(
    clean_right: npt.ArrayLike, distorted_right: npt.ArrayLike, chance: float
) -> Float64Array:
    """Covariance of `drops` over pictures, `[T, T]`, from their influence functions."""
    influence = ratio_influence(*_lost(clean_right, distorted_right, chance))
    units = influence.shape[1]
    return np.asarray(influence @ influence.T * (units / (units - 1)))


def ratio_influence(numerators: npt.ArrayLike, denominators: npt.ArrayLike) -> Float64Array:
    """What each unit adds to sum(numerators) / sum(denominators), to first order; `[T, N]` each.

    (numerator - ratio denominator) / sum(denominators), which sums to 0; NaN where the ratio is.
    """
    top, bottom = np.asarray(numerators, np.float64), np.asarray(denominators, np.float64)
    total = bottom.sum(axis=1, keepdims=True)
    parts = top - ratio(top.sum(axis=1, keepdims=True), total) * bottom
    return ratio(parts, total)


def ratio(numerators: npt.ArrayLike, denominators: npt.ArrayLike) -> Float64Array:
    """The quotients; NaN where a denominator is not above 0."""
    top, bottom = np.broadcast_arrays(
        np.asarray(numerators, np.float64), np.asarray(denominators, np.float64)
    )
    quotients = np.full(top.shape, np.nan)
    np.divide(top, bottom, out=quotients, where=bottom > 0)
    return quotients


def _lost(
    clean_right: npt.ArrayLike, distorted_right: npt.ArrayLike, chance: float
) -> tuple[Float64Array, Float64Array]:
    clean = np.asarray(clean_right, np.float64)
    return clean - np.asarray(distorted_right, np.float64), clean - chance
