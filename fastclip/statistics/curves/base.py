"""A curve whose points were measured on the same units, and resampled together."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.special import expit, logit

Float64Array = npt.NDArray[np.float64]


@dataclass(frozen=True)
class PairedCurve:
    """One quantity at T checkpoints in order of training, measured on the same units.

    Everything is on `scale`; `value` goes back.

    Attributes:
        estimates: `[T]` finite.
        resamples: `[T, B]`: the estimates on B resamples of the units. Column b drew the same
            units for every checkpoint, so differences between checkpoints are paired. NaN where
            undefined in a resample.
        covariance: `[T, T]` of the estimates (jackknife over units; includes what checkpoints
            share by being measured on the same units).
        units: independent units resampled (references, exemplars, pictures).
        scale: "fisher", "logit" or "identity".
    """

    estimates: Float64Array
    resamples: Float64Array
    covariance: Float64Array
    units: int
    scale: str = "identity"

    def __len__(self) -> int:
        return len(self.estimates)

    def value(self, scaled: npt.ArrayLike) -> Float64Array:
        """Back from the scale of inference to the quantity's own."""
        return from_scale(scaled, self.scale)

    def natural(self) -> PairedCurve:
        """The same curve on the quantity's own scale, its covariance by the delta method.

        With v = g(z) and D the diagonal of g'(z), the covariance of v is D Cov(z) D.
        """
        slopes = _SLOPES[self.scale](self.value(self.estimates))
        return PairedCurve(
            self.value(self.estimates),
            self.value(self.resamples),
            self.covariance * np.multiply.outer(slopes, slopes),
            self.units,
        )

    def subset(self, rows: npt.ArrayLike) -> PairedCurve:
        """The same curve at some of its checkpoints."""
        rows = np.asarray(rows)
        covariance = self.covariance[rows][:, rows]
        return PairedCurve(
            self.estimates[rows], self.resamples[rows], covariance, self.units, self.scale
        )


def to_scale(values: npt.ArrayLike, scale: str) -> Float64Array:
    """Values on the scale of inference; +-inf at the ends of the range."""
    return _FUNCTIONS[scale][0](np.asarray(values, np.float64))


def from_scale(scaled: npt.ArrayLike, scale: str) -> Float64Array:
    """The inverse of `to_scale`."""
    return _FUNCTIONS[scale][1](np.asarray(scaled, np.float64))


def _atanh(values: Float64Array) -> Float64Array:
    with np.errstate(divide="ignore"):
        return np.asarray(np.arctanh(values))


def _tanh(scaled: Float64Array) -> Float64Array:
    return np.asarray(np.tanh(scaled))


def _same(values: Float64Array) -> Float64Array:
    return values


_FUNCTIONS: dict[str, tuple[Callable[[Float64Array], Float64Array], ...]] = {
    "fisher": (_atanh, _tanh),
    "logit": (logit, expit),
    "identity": (_same, _same),
}

_SLOPES: dict[str, Callable[[Float64Array], Float64Array]] = {
    "fisher": lambda value: 1 - value * value,
    "logit": lambda value: value * (1 - value),
    "identity": np.ones_like,
}
# dvalue / dscaled, in terms of the value.

SCALES = tuple(_FUNCTIONS)
"""Scales on which inference is made: atanh for correlations, log odds for shares, as it is."""
