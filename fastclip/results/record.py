"""Records: immutable files, written whole or not at all."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from hashlib import blake2b
from pathlib import Path
from typing import Any

import numpy.typing as npt

from fastclip.errors import RefusalError
from fastclip.evaluators.base import Result, Score
from fastclip.files import atomic_path, write_json

SCHEMA = 1


@dataclass(frozen=True)
class Record:
    """One evaluator's result for one checkpoint, with its whole protocol.

    `partial` is "found/expected" for an incomplete data set, "" for a complete one. `timings`
    are seconds per stage of the visit that made the record (read, pack, swap, canary, encode,
    score); `seconds` is this evaluator's own encoding and scoring.
    """

    checkpoint_id: str
    arch: str
    task: str
    dataset: str
    partial: str
    protocol_id: str
    family: str
    protocol: Mapping[str, Any]
    engine: str
    precision: str
    scores: tuple[Score, ...]
    items: str
    items_digest: str
    timings: Mapping[str, float]
    seconds: float
    fastclip_version: str


def record_path(out: Path, checkpoint_id: str, task: str, protocol_id: str) -> Path:
    """Where this record lies, whether it exists or not."""
    return out / "records" / checkpoint_id / f"{task}-{protocol_id}.json"


def write_items(path: Path, result: Result) -> str:
    """Write per-picture items as Parquet; returns the BLAKE2b hex digest of the file."""
    import pyarrow as pa
    from pyarrow import parquet

    with atomic_path(path) as temporary:
        parquet.write_table(pa.table(dict(result.items)), temporary, compression="zstd")
        data = temporary.read_bytes()
    return _digest(data)


def write_record(out: Path, record: Record) -> Path:
    """Write the record's JSON (its items must be there already); returns its path."""
    path = record_path(out, record.checkpoint_id, record.task, record.protocol_id)
    scores = [
        {key: value for key, value in asdict(score).items() if value is not None}
        for score in record.scores
    ]
    body = {"schema": SCHEMA, **asdict(record), "scores": scores}
    write_json(path, body)
    return path


def read_record(path: Path) -> Record:
    """Read a record.

    Raises:
        RefusalError: the file is no record of this schema.
    """
    try:
        body = json.loads(path.read_bytes())
        if body.pop("schema") != SCHEMA:
            raise KeyError("schema")
        scores = tuple(Score(**{"value": None, **score}) for score in body.pop("scores"))
        return Record(scores=scores, **body)
    except (ValueError, KeyError, TypeError) as error:
        raise RefusalError(
            f"not a record of this version of fastclip ({error})",
            where=path,
            mend="delete the file; the next sweep measures it again",
        ) from error


def read_items(
    path: Path, columns: Sequence[str] | None = None, digest: str | None = None
) -> dict[str, npt.NDArray[Any]]:
    """The per-picture items beside the record at `path`, or some columns of them.

    Args:
        digest: `Record.items_digest`, to be compared with the file's.

    Raises:
        RefusalError: the items are not there, lack a column, or are not those of the record.
    """
    import pyarrow as pa
    from pyarrow import parquet

    items = path.with_suffix(".items.parquet")
    try:
        data = items.read_bytes()
        if digest is not None and _digest(data) != digest:
            raise ValueError("not the bytes that the record was written with")
        table = parquet.read_table(
            pa.BufferReader(data), columns=None if columns is None else list(columns)
        )
        return {name: table.column(name).to_numpy() for name in columns or table.column_names}
    except (OSError, ValueError, KeyError) as error:
        raise RefusalError(
            f"the items of a record cannot be read ({error})",
            where=items,
            mend="delete the record beside it; the next sweep measures it again",
        ) from error


def _digest(data: bytes) -> str:
    return blake2b(data, digest_size=16).hexdigest()


def read_result(path: Path) -> Result:
    """Scores and items of the record at `path`."""
    return Result(read_record(path).scores, read_items(path))


def read_records(out: Path) -> Iterator[Record]:
    """All records of an output folder, in path order."""
    for checkpoint_id in sorted(_ids(out)):
        yield from read_records_of(out, checkpoint_id)


def read_records_of(out: Path, checkpoint_id: str) -> Iterator[Record]:
    """All records of one checkpoint, in path order; none where it has none."""
    for name in sorted(_names_of(out, checkpoint_id)):
        yield read_record(out / "records" / checkpoint_id / name)


def sample_records(out: Path, checkpoints: int) -> Iterator[Record]:
    """The records of so many checkpoints at most, spread evenly over their ids."""
    ids = sorted(_ids(out))
    step = max(1, -(-len(ids) // checkpoints))
    for checkpoint_id in ids[::step]:
        yield from read_records_of(out, checkpoint_id)


def existing_records(out: Path) -> set[tuple[str, str, str]]:
    """(checkpoint_id, task, protocol_id) of every record on disk, from file names alone."""
    found = set()
    for checkpoint_id, name in _names(out):
        task, _, protocol = name.removesuffix(".json").rpartition("-")
        found.add((checkpoint_id, task, protocol))
    return found


def _names(out: Path) -> Iterator[tuple[str, str]]:
    """(checkpoint_id, file name) of finished records.

    A killed writer's temporary files have names that begin with a dot.
    """
    for checkpoint_id in _ids(out):
        for name in _names_of(out, checkpoint_id):
            yield checkpoint_id, name


def _ids(out: Path) -> list[str]:
    try:
        return os.listdir(out / "records")  # noqa: PTH208 (names only; there may be thousands)
    except FileNotFoundError:
        return []


def _names_of(out: Path, checkpoint_id: str) -> list[str]:
    try:
        names = os.listdir(f"{out}/records/{checkpoint_id}")  # noqa: PTH208
    except (FileNotFoundError, NotADirectoryError):
        return []
    return [name for name in names if name.endswith(".json") and name[0] != "."]


def newest_revisions(records: Sequence[Record]) -> list[Record]:
    """Drop records that a newer evaluator revision of the same protocol supersedes."""
    newest: dict[tuple[str, str], int] = {}
    for record in records:
        key = (record.checkpoint_id, record.family)
        newest[key] = max(newest.get(key, 0), int(record.protocol["revision"]))
    return [
        record
        for record in records
        if int(record.protocol["revision"]) == newest[record.checkpoint_id, record.family]
    ]
