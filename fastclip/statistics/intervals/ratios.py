"""Intervals of differences and of ratios of means, over units measured on both sides.

What is lost between clean and distorted pictures is lost picture by picture: the same pictures
are decided twice, and the decisions go together. Every interval here keeps the pairs.
"""

from __future__ import annotations

from math import sqrt

import numpy as np
import numpy.typing as npt
from scipy.special import stdtrit

from fastclip.statistics.intervals.base import LEVEL, Interval, no_interval

ROUNDING = 1e-12


def paired_t(differences: npt.ArrayLike) -> Interval:
    """Student's t-interval of the mean of paired differences `[N]`.

    Its limits are those of `fieller` with a denominator of 1, so a drop and a relative drop agree
    on whether anything was lost. No interval where N is below 2 or all differences are equal.
    """
    values = np.asarray(differences, np.float64)
    return _ratio(values, np.ones(len(values)), "paired-t")


def fieller(numerators: npt.ArrayLike, denominators: npt.ArrayLike) -> Interval:
    """Fieller's interval (1954) of mean(numerators) / mean(denominators), `[N]` each, paired.

    The ratios r for which a t-test does not reject that mean(numerators - r denominators) is 0.
    No interval where these are unbounded (the denominators' own t-interval holds 0), where N is
    below 2 or where nothing varies.
    """
    top, bottom = np.asarray(numerators, np.float64), np.asarray(denominators, np.float64)
    return _ratio(top, bottom, "fieller")


def _ratio(top: npt.NDArray[np.float64], bottom: npt.NDArray[np.float64], method: str) -> Interval:
    units = len(top)
    if units < 2:
        return no_interval(units)
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
