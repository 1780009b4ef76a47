"""All per-picture items of one task in one tidy table, written as a stream."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, Protocol

from fastclip.errors import RefusalError
from fastclip.exports.base import Export, Options, Selection
from fastclip.exports.tables import check_suffix, write_dictionary
from fastclip.files import atomic_path
from fastclip.results.dictionary import CONDITION, PLACE, ROWS, Column, item_columns
from fastclip.results.record import Record, read_items
from fastclip.results.sightings import Sighting

if TYPE_CHECKING:
    import pyarrow as pa

ROWS_AT_ONCE = 100_000
"""Rows of one Parquet row group: what is held in memory at a time."""

ARROW = {"string": "string", "Int64": "int64", "float64": "double"}


class _Writer(Protocol):
    def write_table(self, table: Any) -> None: ...


def write(selection: Selection, target: Path, options: Options) -> str:
    """One row per picture (or pair) and checkpoint; CSV or Parquet by the target's suffix."""
    suffix = check_suffix(target)
    task = selection.tasks[0]
    schema = _schema(selection)
    open_writer = _parquet if suffix == ".parquet" else _csv
    rows = 0
    with atomic_path(target) as temporary, open_writer(temporary, schema) as writer:
        for table in _in_groups(_tables(selection, schema)):
            writer.write_table(table)
            rows += len(table)
    described = item_columns(task)
    columns = {name: described.get(name, Column("", "", name)) for name in schema.names}
    dictionary = write_dictionary(target, columns)
    return f"{rows} {task} items: {target}; columns explained in {dictionary.name}"


def _schema(selection: Selection) -> pa.Schema:
    """Factors, then every column that any of the items has; strings as dictionaries."""
    import pyarrow as pa

    files = dict.fromkeys(selection.record_file(m.record) for m in selection.measured)
    items = pa.unify_schemas([_schema_of_items(file) for file in files])
    fields = [
        pa.field(name, ARROW[ROWS[name].dtype]) for name in _factors(selection.measured[0].record)
    ]
    words = pa.dictionary(pa.int32(), pa.string())
    return pa.schema(
        pa.field(field.name, words if pa.types.is_string(field.type) else field.type)
        for field in [*fields, pa.field("item", pa.int64()), *items]
    )


def _schema_of_items(record: Path) -> pa.Schema:
    from pyarrow import parquet

    path = record.with_suffix(".items.parquet")
    try:
        return parquet.read_schema(path).remove_metadata()
    except (OSError, ValueError) as error:
        raise RefusalError(
            f"the items of a record cannot be read ({error})",
            where=path,
            mend="delete the record beside it; the next sweep measures it again",
        ) from error


def _factors(record: Record) -> tuple[str, ...]:
    distorts = CONDITION if "distortion" in record.protocol else ()
    return (*PLACE, "dataset", *distorts, "protocol_id")


def _tables(selection: Selection, schema: pa.Schema) -> Iterator[pa.Table]:
    """One table per checkpoint and record, each with all columns of the schema."""
    import numpy as np
    import pyarrow as pa

    for m in selection.measured:
        items = read_items(selection.record_file(m.record))
        rows = len(next(iter(items.values())))
        values = {name: pa.repeat(v, rows) for name, v in _place(m.sighting, m.record).items()}
        values |= {"item": pa.array(np.arange(rows)), **{k: pa.array(v) for k, v in items.items()}}
        yield pa.table(
            [
                values[f.name].cast(f.type) if f.name in values else pa.nulls(rows, f.type)
                for f in schema
            ],
            schema=schema,
        )


def _place(sighting: Sighting, record: Record) -> dict[str, pa.Scalar]:
    import pyarrow as pa

    first = record.scores[0]
    values = {
        "checkpoint": sighting.name,
        "dataset": record.dataset,
        "protocol_id": record.protocol_id,
        **{name: getattr(sighting, name) for name in PLACE if name != "checkpoint"},
        # All scores of a record under one distortion share these factors.
        **{name: getattr(first, name) for name in CONDITION},
    }
    return {name: pa.scalar(values[name], ARROW[ROWS[name].dtype]) for name in _factors(record)}


def _in_groups(tables: Iterator[pa.Table]) -> Iterator[pa.Table]:
    import pyarrow as pa

    group: list[pa.Table] = []
    for table in tables:
        group.append(table)
        if sum(map(len, group)) >= ROWS_AT_ONCE:
            yield pa.concat_tables(group)
            group = []
    if group:
        yield pa.concat_tables(group)


@contextmanager
def _parquet(path: Path, schema: pa.Schema) -> Iterator[_Writer]:
    from pyarrow import parquet

    with parquet.ParquetWriter(path, schema, compression="zstd") as writer:
        yield writer


@contextmanager
def _csv(path: Path, schema: pa.Schema) -> Iterator[_Writer]:
    with path.open("w", newline="") as file:
        file.write(",".join(schema.names) + "\n")
        yield _CsvWriter(file)


@dataclass(frozen=True)
class _CsvWriter:
    file: IO[str]

    def write_table(self, table: pa.Table) -> None:
        """Append rows. R takes TRUE for a truth value, and not True; pandas takes both."""
        import pyarrow as pa

        frame = table.to_pandas(integer_object_nulls=True)
        for field in table.schema:
            if pa.types.is_boolean(field.type):
                frame[field.name] = frame[field.name].map({True: "TRUE", False: "FALSE"})
        frame.to_csv(self.file, index=False, header=False, na_rep="NA", lineterminator="\n")


EXPORT = Export("items-{task}.parquet", write, one_task=True)
