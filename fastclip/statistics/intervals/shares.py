"""Intervals of a share: k of n pictures."""

from __future__ import annotations

from collections.abc import Sequence
from math import sqrt

import numpy as np
import numpy.typing as npt

from fastclip.statistics.intervals.base import LEVEL, Interval, no_interval

Float64Array = npt.NDArray[np.float64]

BLOCK = 64
"""Resamples drawn at a time."""


def wilson(count: int, total: int) -> Interval:
    """Wilson's score interval (1927) of `count` of `total` independent units.

    The shares that a normal test with the share's own variance does not reject; within [0, 1],
    never of zero width. No interval where `total` is 0.
    """
    if not total:
        return no_interval(0)
    from scipy.special import ndtri

    z = float(ndtri((1 + LEVEL) / 2))
    share = count / total
    shrink = 1 + z**2 / total
    centre = (share + z**2 / (2 * total)) / shrink
    half = z / shrink * sqrt(share * (1 - share) / total + z**2 / (4 * total**2))
    # At 0 and 1 the end is the share itself, but for rounding.
    return Interval(
        0.0 if count == 0 else centre - half,
        1.0 if count == total else centre + half,
        "wilson",
        total,
    )


def accuracy_replicates(right: npt.ArrayLike, resamples: int, seed: int) -> Float64Array:
    """Shares of right decisions `[T, N]` on resampled pictures, `[T, B]`.

    Column b drew the same pictures for every checkpoint and on every machine; with one seed, clean
    and distorted accuracies differ by the drop on these pictures.
    """
    columns = np.asarray(right, np.float32)
    (sums,) = resampled_sums((columns,), resamples, seed)
    return np.divide(sums, columns.shape[1])


def accuracy_covariance(right: npt.ArrayLike) -> Float64Array:
    """Covariance of shares of right decisions `[T, N]` over pictures, `[T, T]`."""
    columns = np.asarray(right, np.float64)
    return np.divide(np.atleast_2d(np.cov(columns)), columns.shape[1])


def resampled_sums(
    columns: Sequence[npt.NDArray[np.float32]], resamples: int, seed: int
) -> list[Float64Array]:
    """Sums of `[T, N]` columns of 0 and 1 over resampled units, `[T, B]` each.

    Sums of whole numbers below 2^24 are exact in float32, in whatever order.
    """
    from fastclip.statistics.batched.resamples import resample_blocks

    sums = [np.empty((len(column), resamples)) for column in columns]
    for place, drawn in resample_blocks(columns[0].shape[1], resamples, seed, BLOCK):
        weights = drawn.T.astype(np.float32)
        for column, found in zip(columns, sums, strict=True):
            found[:, place] = column @ weights
    return sums
