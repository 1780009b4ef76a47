"""Bands that hold a whole curve, and false discoveries among many."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from fastclip.statistics.curves.base import Float64Array, PairedCurve
from fastclip.statistics.curves.maxt import LEVEL, deviations, spread, two_sided


def simultaneous_band(
    curve: PairedCurve, level: float = LEVEL
) -> tuple[Float64Array, Float64Array]:
    """Low and high, `[T]` each, in units of the quantity: hold all T population scores at once.

    z_t +- c se_t on the scale of inference, c from the largest |deviation| over checkpoints
    (`maxt`), then back: so within the quantity's range. With fewer than two units all of it.
    """
    errors = np.sqrt(np.diag(curve.covariance))
    critical = np.inf
    if curve.units > 1:
        moved = deviations(curve)
        critical = two_sided(moved, np.diag(spread(moved)), curve.units).critical(level)
    margin = np.where(errors > 0, critical, 0.0) * np.where(errors > 0, errors, 1.0)
    if curve.units < 2:
        margin = np.full(len(curve), np.inf)
    return curve.value(curve.estimates - margin), curve.value(curve.estimates + margin)


def benjamini_hochberg(p: npt.ArrayLike) -> Float64Array:
    """q: the smallest false discovery rate at which each is still a discovery, `[m]`.

    q_(i) = min over j >= i of m p_(j) / j (Benjamini & Hochberg, Journal of the Royal Statistical
    Society B 57:289-300, 1995), for p in [0, 1] that are independent or positively dependent.
    """
    values = np.asarray(p, np.float64)
    order = np.argsort(values)
    scaled = values[order] * len(values) / np.arange(1, len(values) + 1)
    q = np.empty_like(scaled)
    q[order] = np.minimum.accumulate(scaled[::-1])[::-1]
    return q
