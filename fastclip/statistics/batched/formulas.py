"""Coefficients from sums over a resample, the same on every device."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

Float64Array = npt.NDArray[np.float64]


def spearman(sums: Float64Array, target: Float64Array) -> Float64Array:
    """Pearson's correlation of average ranks.

    Ranks are doubled and centred, so that they are integers: their squares sum to (W^3 - T) / 3
    with W the number of pictures in the resample and T the sum of cubes of the ties' lengths.

    Args:
        sums: `[2, K, B + 1]`: products of the two rankings; T of the scores.
        target: `[2, B + 1]`: W; T of the target.
    """
    products, ties = sums
    weight, target_ties = target
    cube = weight * weight * weight  # exact, which a power need not be
    return _ratio(3 * products, cube - ties, cube - target_ties)


def pearson(sums: Float64Array, target: Float64Array) -> Float64Array:
    """Covariance over deviations.

    Scores are taken relative to one of those drawn, which bounds what the subtraction below can
    lose by the number of pictures, and makes a constant's deviation exactly 0.

    Args:
        sums: `[3, K, B + 1]`: scores, their squares, their products with the centred target.
        target: `[2, B + 1]`: number of pictures; squares of the centred target.
    """
    total, squares, products = sums
    weight, target_squares = target
    with np.errstate(divide="ignore", invalid="ignore"):
        return _ratio(products, squares - total * (total / weight), target_squares)


def kendall(sums: Float64Array, target: Float64Array) -> Float64Array:
    """tau-b = (concordant - discordant) / sqrt(pairs untied in x * pairs untied in y).

    With squares of ties' lengths summing to X, Y and, for ties in both, Z, ordered pairs are
    W^2 - X - Y + Z untied in both, W^2 - X and W^2 - Y.

    Args:
        sums: `[3, K, B + 1]`: discordant pairs; X; Z.
        target: `[2, B + 1]`: number of pictures W; Y.
    """
    discordant, ties, both = sums
    weight, target_ties = target
    square = weight * weight
    untied = square - ties - target_ties + both
    return _ratio(untied - 4 * discordant, square - ties, square - target_ties)


METRICS: dict[str, Callable[[Float64Array, Float64Array], Float64Array]] = {
    "srcc": spearman,
    "plcc": pearson,
    "krcc": kendall,
}


def _ratio(product: Float64Array, x: Float64Array, y: Float64Array) -> Float64Array:
    """product / sqrt(x y), NaN where x or y is 0."""
    with np.errstate(divide="ignore", invalid="ignore"):
        value = product / np.sqrt(x * y)
    return np.clip(np.where((x > 0) & (y > 0), value, np.nan), -1, 1)
