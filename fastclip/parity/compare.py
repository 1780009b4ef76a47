"""Figures of how far embeddings are from the reference's."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt

from fastclip.parity.base import ParityReport

Embeddings = npt.NDArray[np.float32]


def relative_l2(found: Embeddings, reference: Embeddings) -> float:
    """Largest ‖found - reference‖ / ‖reference‖ over the rows, in float64; NaN stays NaN."""
    a, b = found.astype(np.float64), reference.astype(np.float64)
    with np.errstate(invalid="ignore"):
        return float(np.max(np.linalg.norm(a - b, axis=1) / np.linalg.norm(b, axis=1)))


def pair_distances(embeddings: Embeddings) -> npt.NDArray[np.float64]:
    """½‖a-b‖² of unit vectors between row i of the first half and row i of the second."""
    rows = embeddings.astype(np.float64)
    with np.errstate(invalid="ignore"):
        unit = rows / np.linalg.norm(rows, axis=1, keepdims=True)
    first, second = np.split(unit, 2)
    distances: npt.NDArray[np.float64] = 0.5 * np.sum((first - second) ** 2, axis=1)
    return distances


def report(
    figures: Mapping[str, float], bounds: Mapping[str, float], seconds: float
) -> ParityReport:
    """Passed where every figure is a number within its bound."""
    passed = all(value <= bounds[name] for name, value in figures.items())
    return ParityReport(passed, dict(figures), dict(bounds), seconds)
