"""Distances between embeddings, in float64 whatever comes in."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
import numpy.typing as npt

Embeddings = npt.NDArray[np.floating]
Float64Array = npt.NDArray[np.float64]

BLOCK = 1024
"""Pairs converted to float64 at a time; bounds memory, changes no value by more than rounding."""


def unit(embeddings: Embeddings) -> Float64Array:
    """Rows `[N, D]` divided by their norm, float64; a row of zeros stays one."""
    rows = embeddings.astype(np.float64)
    norms = np.linalg.norm(rows, axis=1, keepdims=True)
    np.divide(rows, norms, out=rows, where=norms > 0)
    return rows


def cosine(a: Embeddings, b: Embeddings) -> Float64Array:
    """Half the squared Euclidean distance of unit vectors, row by row: `[P, D]` twice -> `[P]`.

    Equal to 1 - cos, in [0, 2], but exactly 0 for equal rows and never below. NaN where a row
    has no direction (norm 0).
    """
    distance = np.empty(len(a))
    for rows in _blocks(len(a)):
        left, right = unit(a[rows]), unit(b[rows])
        distance[rows] = np.square(left - right).sum(axis=1) / 2
        distance[rows][~(left.any(axis=1) & right.any(axis=1))] = np.nan
    return distance


def rmse(a: Embeddings, b: Embeddings) -> Float64Array:
    """Root mean squared difference of raw embeddings over dimensions: `[P, D]` twice -> `[P]`."""
    distance = np.empty(len(a))
    for rows in _blocks(len(a)):
        distance[rows] = np.sqrt(_squares(a[rows], b[rows]).mean(axis=1))
    return distance


def rmse_dimnorm(a: Embeddings, b: Embeddings) -> Float64Array:
    """As `rmse`, each dimension's squared difference divided by its mean over all the pairs.

    The measure of Hernández-Cámara et al. (Re-Align workshop, ICLR 2024). It depends on the
    whole set of pairs. Dimensions in which no pair differs are left out; where that is all of
    them, every distance is 0. `[P, D]` twice -> `[P]`.
    """
    total = np.zeros(a.shape[1])
    for rows in _blocks(len(a)):
        total += _squares(a[rows], b[rows]).sum(axis=0)
    used = total > 0
    weights = np.zeros_like(total)
    weights[used] = len(a) / total[used] / used.sum()
    distance = np.empty(len(a))
    for rows in _blocks(len(a)):
        # Elementwise, not a BLAS product: a row's value must not depend on its neighbours.
        distance[rows] = np.sqrt((_squares(a[rows], b[rows]) * weights).sum(axis=1))
    return distance


DISTANCES: dict[str, Callable[[Embeddings, Embeddings], Float64Array]] = {
    "cosine": cosine,
    "rmse": rmse,
    "rmse_dimnorm": rmse_dimnorm,
}


def _squares(a: Embeddings, b: Embeddings) -> Float64Array:
    return np.square(a.astype(np.float64) - b)


def _blocks(count: int) -> Iterator[slice]:
    for low in range(0, count, BLOCK):
        yield slice(low, low + BLOCK)
