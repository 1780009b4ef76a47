"""From the items of many checkpoints to one paired curve: the same resamples for all of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from fastclip.statistics.batched import correlate
from fastclip.statistics.correlation import partial
from fastclip.statistics.curves.base import PairedCurve, to_scale
from fastclip.statistics.intervals.correlations import members_of
from fastclip.statistics.intervals.ratios import (
    drop_covariance,
    drop_replicates,
    drops,
    ratio,
    ratio_influence,
)
from fastclip.statistics.intervals.shares import accuracy_covariance, accuracy_replicates
from fastclip.statistics.intervals.two_way import TwoWayBootstrap

Float64Array = npt.NDArray[np.float64]
BoolArray = npt.NDArray[np.bool_]

FLOOR = 1e-9
"""Correlations are kept this far from +-1, where Fisher's z ends."""


@dataclass(frozen=True)
class Resampling:
    """B resamples from `seed`; the numbers behind every set, band and test."""

    resamples: int = 1000
    seed: int = 0
    threads: int = 0


def correlation_curves(
    metric: str,
    scores: Float64Array,
    target: npt.ArrayLike,
    groups: Sequence[npt.ArrayLike],
    clusters: npt.ArrayLike,
    how: Resampling,
) -> list[PairedCurve]:
    """Correlations of `scores` `[T, N]` with `target` `[N]`, a curve per group, on Fisher's z.

    Args:
        groups: index lists into N.
        clusters: `[N]`, pictures of one reference are drawn together.
    """
    drawn, left_out = _coefficients(metric, scores, target, groups, clusters, how)
    # Leaving out a cluster without members in the group leaves the data's own coefficient.
    present = members_of(groups, clusters)
    return [
        _fisher_curve(drawn[:, g], left_out[:, g, 1:][:, present[g]]) for g in range(len(groups))
    ]


def partial_curve(
    scores: Float64Array,
    target: npt.ArrayLike,
    given: npt.ArrayLike,
    clusters: npt.ArrayLike,
    how: Resampling,
) -> PairedCurve:
    """The curve of the partial Spearman correlation of `scores` and `target` given `given` `[N]`,
    in every resample (`statistics.correlation.partial`).
    """
    every = [np.arange(scores.shape[1])]
    third = np.asarray(target, np.float64)[None]
    with_target = _coefficients("srcc", scores, target, every, clusters, how)
    with_given = _coefficients("srcc", scores, given, every, clusters, how)
    between = _coefficients("srcc", third, given, every, clusters, how)
    drawn, left_out = map(partial, with_target, with_given, between)
    return _fisher_curve(drawn[:, 0], left_out[:, 0, 1:])


def shape_bias_curve(
    metric: str,
    is_shape: BoolArray,
    is_texture: BoolArray,
    shape_exemplar: npt.NDArray[np.str_],
    texture_exemplar: npt.NDArray[np.str_],
    how: Resampling,
) -> PairedCurve:
    """The curve of "shape_bias" or "cue_accuracy" over conflict pictures; decisions `[T, N]`.

    Both kinds of exemplar are drawn (`TwoWayBootstrap`); the rarer kind counts the units.
    """
    bootstrap = TwoWayBootstrap(shape_exemplar, texture_exemplar, how.resamples, how.seed)
    cue = is_shape | is_texture
    part, whole = {"shape_bias": (is_shape, cue), "cue_accuracy": (cue, np.ones_like(cue))}[metric]
    return _share_curve(
        ratio(bootstrap.sums(part), bootstrap.sums(whole)),
        bootstrap.covariance(ratio_influence(part, whole)),
        bootstrap.units,
        edge=0.5 / cue.shape[1],
    )


def accuracy_curve(right: BoolArray, how: Resampling) -> PairedCurve:
    """The curve of accuracy; decisions right or wrong `[T, N]`, pictures are drawn."""
    count = right.shape[1]
    drawn = accuracy_replicates(right, how.resamples, how.seed)
    values = np.concatenate([right.mean(axis=1, keepdims=True), drawn], axis=1)
    return _share_curve(values, accuracy_covariance(right), count, edge=0.5 / count)


def drop_curve(
    clean: BoolArray, distorted: BoolArray, chance: float, how: Resampling
) -> PairedCurve:
    """The curve of the drop relative to clean accuracy above chance, pictures are drawn."""
    return PairedCurve(
        drops(clean, distorted, chance),
        drop_replicates(clean, distorted, chance, how.resamples, how.seed),
        drop_covariance(clean, distorted, chance),
        clean.shape[1],
    )


def _coefficients(
    metric: str,
    scores: Float64Array,
    target: npt.ArrayLike,
    groups: Sequence[npt.ArrayLike],
    clusters: npt.ArrayLike,
    how: Resampling,
) -> tuple[Float64Array, Float64Array]:
    """Of the data and B resamples, `[T, G, 1 + B]`; of the data and the jackknife, with 1 + C."""

    def values(resamples: int | Literal["jackknife"]) -> Float64Array:
        return correlate(
            metric, scores, target, groups, clusters=clusters,
            resamples=resamples, seed=how.seed, threads=how.threads,
        ).values  # fmt: skip

    return values(how.resamples), values("jackknife")


def _fisher_curve(drawn: Float64Array, left_out: Float64Array) -> PairedCurve:
    """From coefficients `[T, 1 + B]` and those without each cluster, `[T, C]`.

    A point that some cluster leaves without a coefficient has no standard error: NaN.
    """
    z = to_scale(np.clip(drawn, FLOOR - 1, 1 - FLOOR), "fisher")
    without = to_scale(np.clip(left_out, FLOOR - 1, 1 - FLOOR), "fisher")
    units = left_out.shape[1]
    centred = without - without.mean(axis=1, keepdims=True)
    covariance = centred @ centred.T * (units - 1) / units
    return PairedCurve(z[:, 0], z[:, 1:], covariance, units, "fisher")


def _share_curve(
    drawn: Float64Array, covariance: Float64Array, units: int, edge: float
) -> PairedCurve:
    """A share of the data and its resamples `[T, 1 + B]` on log odds, kept `edge` from 0 and 1."""
    inside = np.clip(drawn, edge, 1 - edge)
    slopes = 1 / (inside[:, 0] * (1 - inside[:, 0]))
    scaled = to_scale(inside, "logit")
    return PairedCurve(
        scaled[:, 0],
        scaled[:, 1:],
        covariance * np.multiply.outer(slopes, slopes),
        units,
        "logit",
    )
