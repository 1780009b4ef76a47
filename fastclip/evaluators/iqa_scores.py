"""From the distances of pairs to rows of the table: coefficients and their intervals."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from fastclip.evaluators.base import Score
from fastclip.statistics.batched import METRICS, BatchedCorrelations, correlate
from fastclip.statistics.ceiling import ceiling
from fastclip.statistics.intervals.base import no_interval
from fastclip.statistics.intervals.correlations import (
    RESAMPLES,
    Estimates,
    estimate,
    estimate_partial,
    mean_t,
)

Float64Array = npt.NDArray[np.float64]
BoolArray = npt.NDArray[np.bool_]
Column = npt.NDArray[Any] | Sequence[str]

ERROR = "score_error"
FACTS = ("reference", "distorted", "type", "level", "score", ERROR)
"""Columns of the items that say what a pair is, the last where known; others are measures of it."""
PSNR = "psnr"
"""The measure that is higher for better pictures; all others are distances."""
HUMAN_CEILING = "human_ceiling"
"""In the place of a distance: what a perfect predictor of the true scores would reach."""
ZERO_NORM, SIZES_DIFFER = "zero_norm_embedding", "sizes_differ"


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
        items: the columns of `FACTS` and one or more measures, `[P]` each. With standard errors
            of the scores there are rows of the human ceiling too.
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
        self._error = np.asarray(facts[ERROR], np.float64) if ERROR in facts else None
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
        options: dict[str, Any] = {
            "clusters": self._references,
            "method": method,
            "resamples": resamples,
            "seed": seed,
            "threads": threads,
        }
        found = {
            metric: estimate(metric, columns, self._quality, self._groups, **options)
            for metric in METRICS
        }
        within = {
            metric: correlate(metric, columns, self._quality, self._within, threads=threads)
            for metric in METRICS
        }
        names, given_psnr = list(measured), {}
        if PSNR in measured:
            psnr = names.index(PSNR)
            partial = estimate_partial("srcc", columns, self._quality, columns[psnr], **options)
            given_psnr = {"srcc_partial_psnr": partial}
        rows: list[Score] = []
        for row, name in enumerate(names):
            lost = {SIZES_DIFFER if name == PSNR else ZERO_NORM: missing[row]}
            rows.extend(self._in_groups(row, name, lost, found, len(self._groups)))
            rows.extend(self._within_reference(row, name, lost, within))
            if name != PSNR and given_psnr:
                lost[SIZES_DIFFER] = missing[psnr]
                rows.extend(self._in_groups(row, name, lost, given_psnr, 1))
        return (*rows, *self._ceiling)

    @cached_property
    def _ceiling(self) -> tuple[Score, ...]:
        """Rows of a perfect predictor of the true scores, where the observed ones' errors are
        known; without intervals."""
        if self._error is None or np.isnan(self._error).any():
            return ()
        rows = []
        for metric in METRICS:
            found = ceiling(metric, self._quality, self._error, threads=1)
            units = len(self._within)
            score = Score(metric, found.value, len(self._quality), units, found.reason)
            rows.append(replace(score, subset="pooled", distance=HUMAN_CEILING))
        return tuple(rows)

    def _in_groups(
        self,
        row: int,
        name: str,
        lost: Mapping[str, BoolArray],
        found: Mapping[str, Estimates],
        groups: int,
    ) -> Iterator[Score]:
        """Rows of one measure in the first groups; the first of all is that of all pairs.

        Args:
            lost: reason -> pairs `[P]` without the measure, or what else is needed.
        """
        for g, pairs in enumerate(self._groups[:groups]):
            missing = next((why for why, gone in lost.items() if gone[pairs].any()), "")
            for metric, estimates in found.items():
                reason = missing or str(estimates.reasons[row, g])
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
        self,
        row: int,
        name: str,
        lost: Mapping[str, BoolArray],
        found: Mapping[str, BatchedCorrelations],
    ) -> Iterator[Score]:
        ((why, missing),) = lost.items()
        for metric, coefficients in found.items():
            reasons = [
                why if missing[pairs].any() else str(reason)
                for pairs, reason in zip(self._within, coefficients.reasons[row], strict=True)
            ]
            defined = np.flatnonzero([not reason for reason in reasons])
            values = coefficients.values[row, defined, 0]
            interval = mean_t(values)
            yield Score(
                metric,
                float(values.mean()) if len(values) else None,
                sum(len(self._within[g]) for g in defined),
                len(values),
                _left_out(reasons),
                interval.low,
                interval.high,
                interval.method or None,
                subset="within-reference",
                distance=name,
            )


def _left_out(reasons: Sequence[str]) -> str:
    left = [reason for reason in reasons if reason]
    return f"{'+'.join(sorted(set(left)))} in {len(left)} references" if left else ""
