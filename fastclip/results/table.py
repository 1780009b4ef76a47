"""The tidy table: a view over records and sightings, one column per factor, missing = NA."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain, islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fastclip import __version__
from fastclip.checkpoints.names import natural_key
from fastclip.errors import RefusalError, UsageError
from fastclip.evaluators import TASKS
from fastclip.evaluators.base import Score
from fastclip.files import atomic_path, digest_of, write_json
from fastclip.parity.base import SCREENING, SCREENING_FLAG
from fastclip.results.record import Record, newest_revisions, read_records_of
from fastclip.results.sightings import Sighting, read_sightings

if TYPE_CHECKING:
    import pandas as pd

TEXT = "string"
INTEGER = "Int64"
NUMBER = "float64"

COLUMNS: dict[str, str] = {
    "run": TEXT,
    "checkpoint_id": TEXT,
    "checkpoint": TEXT,
    "arch": TEXT,
    "weights": TEXT,
    "step": INTEGER,
    "epoch": INTEGER,
    "samples_seen": INTEGER,
    "task": TEXT,
    "dataset": TEXT,
    "subset": TEXT,
    "distance": TEXT,
    "layer": TEXT,
    "distortion": TEXT,
    "level": NUMBER,
    "noise_at": TEXT,
    "noise_seed": INTEGER,
    "prompts": TEXT,
    "category": TEXT,
    "metric": TEXT,
    "value": NUMBER,
    "ci_low": NUMBER,
    "ci_high": NUMBER,
    "ci_method": TEXT,
    "n": INTEGER,
    "n_units": INTEGER,
    "flag": TEXT,
    "partial": TEXT,
    "protocol_id": TEXT,
    "engine": TEXT,
    "precision": TEXT,
    "seconds": NUMBER,
    "fastclip_version": TEXT,
}
"""Column -> pandas dtype, in the order of the table. `seconds` is the only timing."""

REVISION = 1
"""Raised whenever other rows would be made of the same records: a table is then made anew."""

FLAG_SEPARATOR = ";"
"""Between the flags of one row, in the `flag` column: `at_chance;screening`."""

TABLE_MARK = ".table"
"""In the output folder: what the tables were made of, so that they are not made in vain."""

PART = 50_000
"""Rows that are made at a time."""

AXES = ("samples_seen", "step", "epoch")
"""Columns that say where in training a checkpoint is, the preferred first."""


@dataclass(frozen=True)
class Measurement:
    """One record of one checkpoint: the rows and the items that share a protocol."""

    sighting: Sighting
    record: Record


def read_config(out: Path) -> dict[str, Any]:
    """What `config.json` of an output folder settled.

    Raises:
        UsageError: `out` holds no sweep.
        RefusalError: the file cannot be read.
    """
    path = out / "config.json"
    if not path.is_file():
        raise UsageError("this folder holds no sweep", where=out, mend="name a sweep's -o folder")
    try:
        return dict(json.loads(path.read_bytes()))
    except ValueError as error:
        raise RefusalError(
            f"config.json cannot be read ({error})", where=path, mend="sweep into a new -o folder"
        ) from error


def measurements(out: Path) -> Iterator[Measurement]:
    """Every measurement that the table of an output folder shows, in its order, one by one.

    Records of another engine or precision than `config.json` settled (there are some after
    `--rescore`) and those that a newer evaluator revision supersedes are left out. Equal weights
    under two names are measurements of both.

    Raises:
        UsageError: `out` holds no sweep.
    """
    settled = read_config(out)
    ours = (settled["engine"], settled["precision"])
    for sighting in _one_per_name(read_sightings(out)):
        records = read_records_of(out, sighting.checkpoint_id)
        kept = [record for record in records if (record.engine, record.precision) == ours]
        for record in sorted(newest_revisions(kept), key=_record_order):
            yield Measurement(sighting, record)


def join(sightings: Sequence[Sighting], records: Sequence[Record]) -> list[Measurement]:
    """Records with the checkpoints that they are of, in the order of the table."""
    by_id: dict[str, list[Record]] = {}
    for record in records:
        by_id.setdefault(record.checkpoint_id, []).append(record)
    return [
        Measurement(sighting, record)
        for sighting in _one_per_name(sightings)
        for record in sorted(by_id.get(sighting.checkpoint_id, ()), key=_record_order)
    ]


def build_table(out: Path) -> pd.DataFrame:
    """All rows of an output folder: what `results.csv` and `results.parquet` hold.

    Raises:
        UsageError: `out` holds no sweep.
    """
    return rows_of(measurements(out))


def rows_of(measured: Iterable[Measurement]) -> pd.DataFrame:
    """One row per score of these measurements, columns as in `COLUMNS`."""
    import pandas as pd

    return pd.concat(list(_parts(measured)), ignore_index=True)


def _parts(measured: Iterable[Measurement]) -> Iterator[pd.DataFrame]:
    """The rows, so many at a time, as those of ten thousand checkpoints would fill the memory."""
    import pandas as pd

    rows = (_row(m.sighting, m.record, score) for m in measured for score in m.record.scores)
    part = list(islice(rows, PART))
    while True:
        yield pd.DataFrame.from_records(part, columns=list(COLUMNS)).astype(COLUMNS)
        if not (part := list(islice(rows, PART))):
            return


def write_table(out: Path, measured: Iterable[Measurement] | None = None) -> None:
    """Rebuild `results.csv` and `results.parquet`.

    Args:
        measured: what to show, in place of the folder's `measurements`.
    """
    import pyarrow as pa
    from pyarrow import parquet

    mark = out / TABLE_MARK
    mark.unlink(missing_ok=True)
    made_of = _made_of(out)
    parts = _parts(measurements(out) if measured is None else measured)
    first = next(parts)
    schema = pa.Schema.from_pandas(first, preserve_index=False)
    with (
        atomic_path(out / "results.csv") as csv,
        atomic_path(out / "results.parquet") as binary,
        parquet.ParquetWriter(binary, schema) as writer,
    ):
        for part in chain([first], parts):
            header = part is first
            part.to_csv(csv, mode="a", header=header, index=False, na_rep="NA", lineterminator="\n")
            writer.write_table(pa.Table.from_pandas(part, schema, preserve_index=False))
    if measured is None:
        write_json(mark, {"made_of": made_of, "files": _stamps(out)})


def table_is_current(out: Path) -> bool:
    """Whether `write_table(out)` would write what is there; reads no record.

    Every file of an output folder is renamed into place, so the folders' times of change tell
    whether anything was added, replaced or removed since. A file edited in place is not noticed:
    `fastclip table` rebuilds whatever the times say.
    """
    try:
        mark = json.loads((out / TABLE_MARK).read_bytes())
        return bool(mark == {"made_of": _made_of(out), "files": _stamps(out)})
    except (OSError, ValueError):
        return False


def read_table(
    out: Path, columns: Sequence[str] | None = None, filters: Sequence[Any] | None = None
) -> pd.DataFrame:
    """The rows as they were written last, or some of them; none where none were ever written.

    Args:
        filters: as `pandas.read_parquet` takes them.
    """
    import pandas as pd

    path = out / "results.parquet"
    if not path.is_file():
        return rows_of(())
    return pd.read_parquet(path, columns=list(columns or COLUMNS), filters=filters)


def _made_of(out: Path) -> str:
    """Digest of what the rows depend on: columns, settings, and when each folder changed."""
    folders = [folder for folder in (out / "checkpoints", out / "records") if folder.is_dir()]
    changed = [(folder.name, folder.stat().st_mtime_ns) for folder in folders]
    if (out / "records").is_dir():
        of_checkpoints = os.scandir(out / "records")
        changed += sorted((entry.name, entry.stat().st_mtime_ns) for entry in of_checkpoints)
    made_by = [__version__, REVISION, list(COLUMNS.items())]
    return digest_of([made_by, (out / "config.json").read_text(), changed])


def _stamps(out: Path) -> list[list[int]]:
    stats = [(out / name).stat() for name in ("results.csv", "results.parquet")]
    return [[stat.st_size, stat.st_mtime_ns] for stat in stats]


def _one_per_name(sightings: Sequence[Sighting]) -> list[Sighting]:
    distinct = {(s.arch, s.run, s.name, s.weights, s.checkpoint_id): s for s in sightings}
    return sorted(distinct.values(), key=_sighting_order)


def _sighting_order(sighting: Sighting) -> tuple[Any, ...]:
    place = sighting.step if sighting.step is not None else sighting.epoch
    return (
        sighting.arch,
        natural_key(sighting.run),
        place is None,
        place or 0,
        natural_key(sighting.name),
        sighting.weights,
    )


def _record_order(record: Record) -> tuple[Any, ...]:
    distortion = record.protocol.get("distortion") or {}
    return (
        list(TASKS).index(record.task) if record.task in TASKS else len(list(TASKS)),
        record.dataset,
        str(distortion.get("kind", "")),
        float(distortion.get("level", 0.0)),
        int(distortion.get("seed", 0)),
        record.protocol_id,
    )


def _flags(record: Record, score: Score) -> str:
    """What to mind of a number: the evaluator's own flags first, then that of the precision."""
    screening = SCREENING_FLAG if record.precision in SCREENING else ""
    return FLAG_SEPARATOR.join(flag for flag in (score.flag, screening) if flag)


def _row(sighting: Sighting, record: Record, score: Score) -> dict[str, Any]:
    return {
        "run": sighting.run,
        "checkpoint_id": sighting.checkpoint_id,
        "checkpoint": sighting.name,
        "arch": sighting.arch,
        "weights": sighting.weights,
        "step": sighting.step,
        "epoch": sighting.epoch,
        "samples_seen": sighting.samples_seen,
        "task": record.task,
        "dataset": record.dataset,
        "subset": score.subset,
        "distance": score.distance,
        "layer": score.layer,
        "distortion": score.distortion,
        "level": score.level,
        "noise_at": score.noise_at,
        "noise_seed": score.noise_seed,
        "prompts": score.prompts,
        "category": score.category,
        "metric": score.metric,
        "value": score.value,
        "ci_low": score.ci_low,
        "ci_high": score.ci_high,
        "ci_method": score.ci_method,
        "n": score.n,
        "n_units": score.n_units,
        "flag": _flags(record, score) or None,
        "partial": record.partial or None,
        "protocol_id": record.protocol_id,
        "engine": record.engine,
        "precision": record.precision,
        "seconds": record.seconds,
        "fastclip_version": record.fastclip_version,
    }
