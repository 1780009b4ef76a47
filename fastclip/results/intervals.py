"""Other intervals of correlations than those on record, from the stored items."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path

from fastclip.evaluators.base import Score
from fastclip.evaluators.iqa_scores import score_items
from fastclip.results.record import read_items, record_path
from fastclip.results.table import Measurement
from fastclip.statistics.intervals.correlations import RESAMPLES

RECORDED = "jackknife-t"
"""What a sweep computes; `fastclip.statistics.intervals.correlations.METHODS` has the others."""


def with_intervals(
    out: Path, measured: Iterable[Measurement], method: str, *, resamples: int = RESAMPLES
) -> Iterator[Measurement]:
    """The same measurements, image quality's with intervals by another method.

    Nothing is encoded: distances and scores of all pairs are in the items.

    Raises:
        RefusalError: a record's items are not there.
    """
    for m in measured:
        if m.record.task == "iqa" and method != RECORDED:
            yield replace(m, record=replace(m.record, scores=_scores(out, m, method, resamples)))
        else:
            yield m


def _scores(out: Path, m: Measurement, method: str, resamples: int) -> tuple[Score, ...]:
    record = m.record
    path = record_path(out, record.checkpoint_id, record.task, record.protocol_id)
    return score_items(
        read_items(path),
        higher_is_better=bool(record.protocol["higher_is_better"]),
        method=method,
        resamples=resamples,
        threads=0,
    )
