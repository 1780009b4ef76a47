"""Correlation coefficients: scipy's, with undefined values named instead of NaN.

scipy.stats is imported with the first coefficient: that takes longer than a sweep of many
checkpoints needs to know that nothing is left to do.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt


@dataclass(frozen=True)
class Correlation:
    """A coefficient in [-1, 1], or None with the reason: "constant" or "fewer_than_2"."""

    value: float | None
    reason: str = ""


def srcc(x: npt.ArrayLike, y: npt.ArrayLike) -> Correlation:
    """Spearman's rank correlation of `x` and `y`, `[N]` each; ties get average ranks.

    Raises:
        ValueError: `x` or `y` holds NaN; names which and where.
    """
    return _correlate("spearmanr", x, y)


def plcc(x: npt.ArrayLike, y: npt.ArrayLike) -> Correlation:
    """Pearson's linear correlation of `x` and `y`, `[N]` each; no logistic fit before it.

    Raises:
        ValueError: `x` or `y` holds NaN; names which and where.
    """
    return _correlate("pearsonr", x, y)


def krcc(x: npt.ArrayLike, y: npt.ArrayLike) -> Correlation:
    """Kendall's tau-b of `x` and `y`, `[N]` each: corrected for ties on both sides.

    Raises:
        ValueError: `x` or `y` holds NaN; names which and where.
    """
    return _correlate("kendalltau", x, y)  # its default variant is b


CORRELATIONS: dict[str, Callable[[npt.ArrayLike, npt.ArrayLike], Correlation]] = {
    "srcc": srcc,
    "plcc": plcc,
    "krcc": krcc,
}


def partial(
    xy: npt.NDArray[np.float64], xz: npt.NDArray[np.float64], yz: npt.NDArray[np.float64]
) -> npt.NDArray[np.float64]:
    """Correlation of x and y given z, from their three correlations, which broadcast.

    (xy - xz yz) / sqrt((1 - xz^2) (1 - yz^2)); of ranks, Spearman's partial correlation. NaN
    where z alone gives x or y (Kendall and Stuart, The advanced theory of statistics, 27.5).
    """
    left = (1 - np.square(xz)) * (1 - np.square(yz))
    with np.errstate(divide="ignore", invalid="ignore"):
        value = np.where(left > 0, (xy - xz * yz) / np.sqrt(left), np.nan)
    return np.clip(value, -1, 1)


def _correlate(coefficient: str, x: npt.ArrayLike, y: npt.ArrayLike) -> Correlation:
    from scipy import stats

    columns = {"x": np.asarray(x, np.float64), "y": np.asarray(y, np.float64)}
    for name, values in columns.items():
        if np.isnan(values).any():
            raise ValueError(f"{name} holds NaN at index {int(np.isnan(values).argmax())}")
    if columns["x"].size < 2:
        return Correlation(None, "fewer_than_2")
    if any((values == values[0]).all() for values in columns.values()):
        return Correlation(None, "constant")
    with warnings.catch_warnings():
        # Nearly constant input is a fact about an early checkpoint, not a mistake.
        warnings.simplefilter("ignore", stats.NearConstantInputWarning)
        found = getattr(stats, coefficient)(columns["x"], columns["y"])
        return Correlation(float(found.statistic))
