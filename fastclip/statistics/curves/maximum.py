"""Which checkpoints may have the highest population score."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from fastclip.statistics.curves.base import PairedCurve
from fastclip.statistics.curves.maxt import (
    LEVEL,
    MaxT,
    deviations,
    per_spread,
    spread,
    studentised,
    variance,
)


def best_set(curve: PairedCurve, level: float = LEVEL) -> npt.NDArray[np.bool_]:
    """The confidence set for the checkpoint with the highest population score, `[T]` bool.

    Checkpoint t leaves when some s beats it: with T_t = max_s (v_s - v_t) / se_st, v on the
    quantity's own scale, when T_t is beyond the quantile `level` of the same maximum over
    resamples (`maxt`). Each checkpoint has its own test at `level`, so one with the highest
    population score stays with at least that probability, whichever it is; sets of several tied
    ones need not stay together. The highest estimate always stays. Not necessarily an interval.

    The inversion of one max-T test per candidate is that of Mogstad, Romano, Shaikh & Wilhelm,
    Review of Economic Studies 91:476-518, 2024, for the best of several populations; compare
    the model confidence set of Hansen, Lunde & Nason, Econometrica 79:453-497, 2011, which
    covers all of the best jointly.

    Takes T^2 B steps and memory for 3 T B float32. With fewer than two units, all stay.
    """
    if len(curve) < 2 or curve.units < 2:
        return np.ones(len(curve), np.bool_)
    curve = curve.natural()
    moved = deviations(curve)
    between = spread(moved)
    p = [_beaten_p(curve, moved, between, t) for t in range(len(curve))]
    return np.asarray(p) > 1 - level


def beaten_p(curve: PairedCurve, checkpoint: int) -> float:
    """Adjusted p of "some checkpoint is above this one"; the set holds those above 1 - level."""
    curve = curve.natural()
    moved = deviations(curve)
    return _beaten_p(curve, moved, spread(moved), checkpoint)


def _beaten_p(
    curve: PairedCurve,
    moved: npt.NDArray[np.float32],
    between: npt.NDArray[np.float64],
    t: int,
) -> float:
    every = np.arange(len(curve))
    spreads = variance(between, t, every)
    largest = ((moved - moved[t]) * per_spread(spreads)[:, None]).max(axis=0)
    above = studentised(curve.estimates - curve.estimates[t], variance(curve.covariance, t, every))
    return float(MaxT(largest, curve.units).p(above.max()))
