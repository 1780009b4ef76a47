"""Tables on disk, each with its data dictionary beside it."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping
from dataclasses import astuple
from pathlib import Path
from typing import TYPE_CHECKING

from fastclip.errors import UsageError
from fastclip.files import atomic_path, write_atomic
from fastclip.results.dictionary import Column

if TYPE_CHECKING:
    import pandas as pd

SUFFIXES = (".csv", ".parquet")


def check_suffix(target: Path) -> str:
    """The suffix, which decides the format.

    Raises:
        UsageError: neither .csv nor .parquet.
    """
    if target.suffix not in SUFFIXES:
        raise UsageError(
            f"'{target.suffix}' is no table format",
            where=target,
            mend=f"let the name end with one of: {', '.join(SUFFIXES)}",
        )
    return target.suffix


def write_frame(frame: pd.DataFrame, target: Path, suffix: str) -> None:
    """Write a table as `suffix` says, in place of what was there."""
    with atomic_path(target) as temporary:
        if suffix == ".csv":
            frame.to_csv(temporary, index=False, na_rep="NA", lineterminator="\n")
        else:
            frame.to_parquet(temporary, index=False)


def write_dictionary(target: Path, columns: Mapping[str, Column]) -> Path:
    """Write `<name>.dictionary.csv` beside `target`; returns its path."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["column", "dtype", "unit", "description", "missing"])
    writer.writerows([name, *astuple(column)] for name, column in columns.items())
    path = target.with_name(f"{target.stem}.dictionary.csv")
    write_atomic(path, text.getvalue().encode())
    return path
