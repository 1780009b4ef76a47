"""The data dictionary covers what there is, and the document is made from it."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest
from pyarrow import parquet
from shared_data import ROOT

from fastclip.evaluators import TASKS
from fastclip.results.dictionary import ITEMS, METRICS, ROWS, markdown
from fastclip.results.table import COLUMNS


def test_every_column_of_the_rows() -> None:
    assert {name: column.dtype for name, column in ROWS.items()} == COLUMNS
    assert list(ROWS) == list(COLUMNS)
    assert list(ITEMS) == list(METRICS) == list(TASKS)


@pytest.mark.parametrize("task", ITEMS)
def test_every_column_of_the_items(swept: Path, task: str) -> None:
    arrow = {"string": "string", "int32": "int32", "int64": "int64", "bool": "bool",
             "float": "float32", "double": "float64", "large_string": "string"}  # fmt: skip
    files = list(swept.glob(f"records/*/{task}-*.items.parquet"))
    assert files
    for file in files:
        schema = parquet.read_schema(file)
        found = {field.name: arrow[str(field.type)] for field in schema}
        described = {name: column.dtype for name, column in ITEMS[task].items()}
        assert found == described


def test_every_metric(rows: pd.DataFrame) -> None:
    for task, metrics in METRICS.items():
        assert set(rows.loc[rows["task"] == task, "metric"]) == set(metrics)


def test_columns_that_hold_na_say_what_it_means(rows: pd.DataFrame) -> None:
    assert {name for name in COLUMNS if rows[name].isna().any()} <= {
        name for name, column in ROWS.items() if column.missing
    }


def test_the_document_is_made_from_the_code() -> None:
    document = (ROOT / "docs" / "data-dictionary.md").read_text()
    assert document == markdown(), "python -m fastclip.results.dictionary > docs/data-dictionary.md"
