"""One row per checkpoint, one column per number."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from fastclip.evaluators.base import Score
from fastclip.exports.base import Export, Options, Selection
from fastclip.exports.tables import check_suffix, write_dictionary, write_frame
from fastclip.results.dictionary import PLACE, ROWS, Column, metric_column
from fastclip.results.protocols import condition
from fastclip.results.record import Record
from fastclip.results.sightings import Sighting

ENDS = ("ci_low", "ci_high")


@dataclass(frozen=True)
class WideRow:
    """One checkpoint: its `sighting`, its `place` and its `numbers` by name (None is NA)."""

    sighting: Sighting
    records: list[Record]
    place: dict[str, Any]
    numbers: dict[str, float | None]


def column_name(record: Record, score: Score) -> str:
    """The same name for the same number in every folder: `iqa.tid2013.srcc.cosine.pooled`."""
    factors = (score.distance, score.subset, score.layer, score.category)
    where = condition(record) or _own_condition(score)
    parts = (record.task, record.dataset, score.metric, *factors, where)
    return ".".join(part for part in parts if part)


def wide_rows(selection: Selection, intervals: bool = False) -> Iterator[WideRow]:
    """The checkpoints of a selection, which holds one protocol per number."""
    for sighting, records in selection.checkpoints():
        place = {name: getattr(sighting, name) for name in PLACE if name != "checkpoint"}
        place["checkpoint"] = sighting.name
        numbers: dict[str, float | None] = {}
        for record in records:
            for score in record.scores:
                name = column_name(record, score)
                numbers[name] = score.value
                if intervals:
                    numbers |= {f"{name}.{end}": getattr(score, end) for end in ENDS}
        yield WideRow(sighting, records, place, numbers)


def write(selection: Selection, target: Path, options: Options) -> str:
    """One row per checkpoint; CSV or Parquet by the target's suffix."""
    import pandas as pd

    suffix = check_suffix(target)
    rows = list(wide_rows(selection, options.intervals))
    names = dict.fromkeys(name for row in rows for name in row.numbers)
    frame = pd.DataFrame.from_records(
        [row.place | row.numbers for row in rows], columns=[*PLACE, *names]
    ).astype({name: ROWS[name].dtype for name in PLACE} | dict.fromkeys(names, "float64"))
    write_frame(frame, target, suffix)
    dictionary = write_dictionary(target, _columns(selection, options.intervals))
    return (
        f"{len(frame)} checkpoints, {len(names)} numbers each: {target}; columns explained in "
        f"{dictionary.name}"
    )


def _own_condition(score: Score) -> str:
    level = "" if score.level is None else f"level{score.level:g}"
    return ".".join(part for part in (score.distortion or "", level) if part)


def _columns(selection: Selection, intervals: bool) -> dict[str, Column]:
    columns = {name: ROWS[name] for name in PLACE}
    for m in selection.measured:
        for score in m.record.scores:
            name = column_name(m.record, score)
            columns[name] = metric_column(m.record.task, score.metric)
            for end in ENDS if intervals else ():
                columns[f"{name}.{end}"] = replace(ROWS[end], unit=columns[name].unit)
    return columns


EXPORT = Export("wide.csv", write, options=frozenset({"intervals"}))
