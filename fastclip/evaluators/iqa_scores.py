"""From the distances of pairs to rows of the table: coefficients and their intervals."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from fastclip.evaluators.base import Score
from fastclip.statistics.batched import METRICS, BatchedCorrelations, correlate
from fastclip.statistics.intervals.base import no_interval
from fastclip.statistics.intervals.correlations import RESAMPLES, Estimates, estimate, mean_t

Float64Array = npt.NDArray[np.float64]
BoolArray = npt.NDArray[np.bool_]
Column = npt.NDArray[Any] | Sequence[str]

FACTS = ("reference", "distorted", "type", "level", "score")
"""Columns of the items that say what a pair is; every other is a measure of it."""
PSNR = "psnr"
MISSING = {PSNR: "sizes_differ"}
"""Measure -> why it is NaN for a pair; of embeddings it is that one has no direction."""
ZERO_NORM = "zero_norm_embedding"


def score_items(
    items: Mapping[str, Column],
    *,
    higher_is_better: bool,
    method: str = "jackknife-t",
    resamples: int = RESAMPLES,
    seed: int = 0,
    threads: int = 1,
) -> tuple[Score, ...]:
    """All rows of an image-quality record from its items, which may be those of its file.

    Args:
        items: the columns of `FACTS` and one or more measures, `[P]` each.
        higher_is_better: polarity of `score`; in the record's protocol under the same name.
        method: "jackknife-t", "bootstrap" or "bca", of every interval but those of means over
            references.
        resamples, seed: of the bootstraps.
    """
    return ScoredPairs(items, higher_is_better=higher_is_better).scores(
        {name: np.asarray(items[name]) for name in items if name not in FACTS},
        method=method,
        resamples=resamples,
        seed=seed,
        threads=threads,
    )


class ScoredPairs:
    """Pairs with a human score, in the groups that get coefficients.

    Args:
        facts: the columns of `FACTS`, `[P]` each; others are ignored.
        higher_is_better: polarity of `score`.
    """

    def __init__(self, facts: Mapping[str, Column], *, higher_is_better: bool) -> None:
        score = np.asarray(facts["score"], np.float64)
        self._quality = score if higher_is_better else -score
        names, self._references = np.unique(np.asarray(facts["reference"]), return_inverse=True)
        types = np.asarray(facts["type"])
        self._kinds = [str(kind) for kind in np.unique(types[types != ""])]
        self._groups = [
            np.arange(len(score)),
            *(np.flatnonzero(types == kind) for kind in self._kinds),
        ]
        self._within = [np.flatnonzero(self._references == row) for row in range(len(names))]

    def scores(
        self,
        measured: Mapping[str, Float64Array],
        *,
        method: str = "jackknife-t",
        resamples: int = RESAMPLES,
        seed: int = 0,
        threads: int = 1,
    ) -> tuple[Score, ...]:
        """Rows of every measure `[P]`, measure by measure; see `iqa.ImageQuality`."""
        columns = np.stack([v if name == PSNR else -v for name, v in measured.items()])
        missing = np.isnan(columns)
        columns[missing] = 0
        found = {
            metric: estimate(
                metric,
                columns,
                self._quality,
                self._groups,
                clusters=self._references,
                method=method,
                resamples=resamples,
                seed=seed,
                threads=threads,
            )
            for metric in METRICS
        }
        within = {
            metric: correlate(metric, columns, self._quality, self._within, threads=threads)
            for metric in METRICS
        }
        return tuple(
            score
            for row, name in enumerate(measured)
            for score in (
                *self._in_groups(row, name, missing[row], found),
                *self._within_reference(row, name, missing[row], within),
            )
        )

    def _in_groups(
        self, row: int, name: str, missing: BoolArray, found: Mapping[str, Estimates]
    ) -> Iterator[Score]:
        for g, pairs in enumerate(self._groups):
            lost = MISSING.get(name, ZERO_NORM) if missing[pairs].any() else ""
            for metric, estimates in found.items():
                reason = lost or str(estimates.reasons[row, g])
                units = int(estimates.units[g])
                interval = no_interval(units) if reason else estimates.interval(row, g)
                yield Score(
                    metric,
                    None if reason else float(estimates.values[row, g]),
                    len(pairs),
                    units,
                    reason,
                    interval.low,
                    interval.high,
                    interval.method or None,
                    subset=None if g else "pooled",
                    distance=name,
                    distortion=self._kinds[g - 1] if g else None,
                )

    def _within_reference(
        self, row: int, name: str, missing: BoolArray, found: Mapping[str, BatchedCorrelations]
    ) -> Iterator[Score]:
        lost = [bool(missing[pairs].any()) for pairs in self._within]
        why = MISSING.get(name, ZERO_NORM)
        for metric, coefficients in found.items():
            reasons = [
                why if gone else str(reason)
                for gone, reason in zip(lost, coefficients.reasons[row], strict=True)
            ]
            defined = np.flatnonzero([not reason for reason in reasons])
            values = coefficients.values[row, defined, 0]
            interval = mean_t(values)
            left_out = sorted({reason for reason in reasons if reason})
            yield Score(
                metric,
                float(values.mean()) if len(values) else None,
                sum(len(self._within[g]) for g in defined),
                len(values),
                f"{'+'.join(left_out)} in {len(reasons) - len(values)} references"
                if left_out
                else "",
                interval.low,
                interval.high,
                interval.method or None,
                subset="within-reference",
                distance=name,
            )
