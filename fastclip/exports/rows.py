"""The tidy rows, to a file of the user's choice."""

from __future__ import annotations

from functools import partial
from pathlib import Path

from fastclip.exports.base import Export, Options, Selection
from fastclip.exports.tables import write_dictionary, write_frame
from fastclip.results.dictionary import ROWS
from fastclip.results.table import rows_of


def write(suffix: str, selection: Selection, target: Path, options: Options) -> str:
    """One row per number, columns as in `fastclip.results.table.COLUMNS`."""
    frame = rows_of(selection.measured)
    write_frame(frame, target, suffix)
    dictionary = write_dictionary(target, ROWS)
    return f"{len(frame)} rows: {target}; columns explained in {dictionary.name}"


CSV = Export("rows.csv", partial(write, ".csv"), one_protocol=False)
PARQUET = Export("rows.parquet", partial(write, ".parquet"), one_protocol=False)
