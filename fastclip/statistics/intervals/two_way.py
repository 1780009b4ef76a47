"""Ratios of decisions over pictures that cross two kinds of exemplars, resampled both ways.

A cue-conflict picture is one shape exemplar in the texture of another, and each exemplar is in
many pictures: pictures are not independent, and treating them so makes intervals too narrow. The
two-way ("pigeonhole") bootstrap draws shape exemplars and texture exemplars, each with
replacement; a picture counts as often as its shape was drawn times its texture was drawn (McCullagh
2000; Owen 2007, "The pigeonhole bootstrap", Annals of Applied Statistics 1:386-411). It never
understates the variance of a mean: each picture's own part counts three times.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property

import numpy as np
import numpy.typing as npt

from fastclip.statistics.intervals.base import LEVEL, Interval, no_interval

RESAMPLES = 2000
SEED = 0
TEXTURES = 1 << 32
"""Added to the seed for texture exemplars: draws of their own, whatever the seed."""

UNDEFINED = (1 - LEVEL) / 2
"""Share of resamples in which a ratio may be undefined before it has no interval: as many as lie
beyond one end."""

Float32Array = npt.NDArray[np.float32]
Names = Sequence[str] | npt.NDArray[np.str_]
Float64Array = npt.NDArray[np.float64]


class TwoWayBootstrap:
    """The same resamples of crossed exemplars, for any decisions on N pictures.

    Draws depend on the exemplars' sorted names and the seed alone, so every checkpoint and every
    machine has the same.

    Args:
        shape_exemplar, texture_exemplar: `[N]` names.
        resamples: B.
        seed: of `fastclip.statistics.batched.resamples`, below 2^63.
    """

    def __init__(
        self,
        shape_exemplar: Names,
        texture_exemplar: Names,
        resamples: int = RESAMPLES,
        seed: int = SEED,
    ) -> None:
        self.shapes, self._shape = _codes(shape_exemplar)
        self.textures, self._texture = _codes(texture_exemplar)
        self.resamples = resamples
        self._seed = seed

    @property
    def units(self) -> int:
        """Exemplars of the rarer kind: what a statement rests on."""
        return min(self.shapes, self.textures)

    @property
    def defined(self) -> bool:
        """Whether there are two exemplars or more of each kind."""
        return self.shapes > 1 and self.textures > 1

    @cached_property
    def weights(self) -> Float32Array:
        """How often each picture counts, `[N, B + 1]`; whole numbers, column 0 all ones."""
        from fastclip.statistics.batched.resamples import multiplicities

        shape = multiplicities(self.shapes, self.resamples, self._seed)
        texture = multiplicities(self.textures, self.resamples, self._seed + TEXTURES)
        weights = shape[self._shape].astype(np.float32)
        weights *= texture[self._texture]
        return weights

    def sums(self, columns: npt.ArrayLike) -> Float64Array:
        """Sums of 0/1 columns `[K, N]`, as they are and in each resample: `[K, B + 1]`.

        Sums of whole numbers below 2^24 are exact in float32, in whatever order.
        """
        return np.asarray(np.asarray(columns, np.float32) @ self.weights, np.float64)

    def covariance(self, influence: Float64Array) -> Float64Array:
        """Covariance over resamples, `[T, T]`, of statistics whose influence is `[T, N]`.

        To first order: a picture's weight is a product, so sums over shapes, over textures and
        over pictures of both the same each add their products (Owen 2007).
        """
        shape, texture = influence @ _members(self._shape), influence @ _members(self._texture)
        _, both = np.unique(self._shape * self.textures + self._texture, return_inverse=True)
        cell = influence @ _members(both)
        # E[w w'] of multiplicities among C is 1 - 1/C, and 1 more where the two exemplars are one.
        return np.asarray(
            cell @ cell.T
            + shape @ shape.T * (1 - 1 / self.textures)
            + texture @ texture.T * (1 - 1 / self.shapes)
        )

    def interval(self, replicates: Float64Array) -> Interval:
        """The percentile interval of a ratio from its `[B]` resamples, NaN where undefined.

        No interval below two exemplars of either kind; where more than `UNDEFINED` of the
        resamples are undefined; where all agree, as they do when every decision is of one kind:
        exemplars that never differ say nothing of those that were not drawn.
        """
        known = replicates[~np.isnan(replicates)]
        few = len(known) < (1 - UNDEFINED) * len(replicates)
        if not self.defined or few or known.min() == known.max():
            return no_interval(self.units)
        low, high = np.quantile(known, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
        return Interval(float(low), float(high), "two-way-bootstrap", self.units)


def _codes(names: Names) -> tuple[int, npt.NDArray[np.int64]]:
    distinct, codes = np.unique(np.asarray(names, np.str_), return_inverse=True)
    return len(distinct), codes


def _members(codes: npt.NDArray[np.int64]) -> Float64Array:
    """1 where a picture has an exemplar, `[N, exemplars]`."""
    return np.eye(codes.max(initial=-1) + 1)[codes]
