"""Curves of means over units, drawn anew: what statements on them hold can be counted."""

from __future__ import annotations

import numpy as np

from fastclip.statistics.curves import PairedCurve, to_scale


def of_units(
    values: np.ndarray, scale: str = "identity", resamples: int = 399, seed: int = 0
) -> PairedCurve:
    """The curve of means of `values` `[T, C]`, with its jackknife and bootstrap over C."""
    units = values.shape[1]
    rng = np.random.default_rng(seed)
    drawn = rng.multinomial(units, np.full(units, 1 / units), resamples).T / units
    without = (values.sum(axis=1, keepdims=True) - values) / (units - 1)
    jackknifed = to_scale(without, scale)
    covariance = np.cov(jackknifed) * (units - 1) ** 2 / units
    return PairedCurve(
        to_scale(values.mean(axis=1), scale),
        to_scale(values @ drawn, scale),
        np.atleast_2d(covariance),
        units,
        scale,
    )


def units(
    rng: np.random.Generator, signal: np.ndarray, count: int, kept: float = 0.0
) -> np.ndarray:
    """`[T, C]` around `signal`: what a unit keeps throughout, and an AR(1) over checkpoints."""
    moving = rng.normal(size=(len(signal), count))
    for t in range(1, len(signal)):
        moving[t] = kept * moving[t - 1] + np.sqrt(1 - kept * kept) * moving[t]
    return signal[:, None] + 0.15 * rng.normal(size=count) + 0.1 * moving
