"""Intervals of a share: k of n pictures."""

from __future__ import annotations

from math import sqrt

from scipy.special import ndtri

from fastclip.statistics.intervals.base import LEVEL, Interval, no_interval

Z = float(ndtri((1 + LEVEL) / 2))


def wilson(count: int, total: int) -> Interval:
    """Wilson's score interval (1927) of `count` of `total` independent units.

    The shares that a normal test with the share's own variance does not reject; within [0, 1],
    never of zero width. No interval where `total` is 0.
    """
    if not total:
        return no_interval(0)
    share = count / total
    shrink = 1 + Z**2 / total
    centre = (share + Z**2 / (2 * total)) / shrink
    half = Z / shrink * sqrt(share * (1 - share) / total + Z**2 / (4 * total**2))
    # At 0 and 1 the end is the share itself, but for rounding.
    return Interval(
        0.0 if count == 0 else centre - half,
        1.0 if count == total else centre + half,
        "wilson",
        total,
    )
