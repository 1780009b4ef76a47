"""Rows, wide tables and items: nothing lost, nothing invented."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from pyarrow import parquet

from fastclip.exports import items as items_module
from fastclip.exports.base import Options
from fastclip.exports.run import export
from fastclip.results.dictionary import ITEMS, PLACE, ROWS, item_columns
from fastclip.results.table import COLUMNS


def names_of(dictionary: Path) -> list[str]:
    frame = pd.read_csv(dictionary, keep_default_na=False)
    assert list(frame.columns) == ["column", "dtype", "unit", "description", "missing"]
    assert (frame["description"] != "").all()
    return frame["column"].tolist()


def test_rows_are_the_table(swept: Path, rows: pd.DataFrame, tmp_path: Path) -> None:
    said = export(swept, "csv", tmp_path / "mine.csv")
    assert str(tmp_path / "mine.csv") in said
    assert (tmp_path / "mine.csv").read_bytes() == (swept / "results.csv").read_bytes()
    export(swept, "parquet", tmp_path / "mine.parquet")
    pd.testing.assert_frame_equal(pd.read_parquet(tmp_path / "mine.parquet"), rows)
    assert names_of(tmp_path / "mine.dictionary.csv") == list(COLUMNS)


def test_rows_of_one_task(swept: Path, rows: pd.DataFrame, tmp_path: Path) -> None:
    export(swept, "parquet", tmp_path / "iqa.parquet", task="iqa")
    wanted = rows[rows["task"] == "iqa"].reset_index(drop=True)
    pd.testing.assert_frame_equal(pd.read_parquet(tmp_path / "iqa.parquet"), wanted)


def test_default_target(swept: Path, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(swept)
    export(tmp_path / "link", "wide")
    assert (swept / "exports" / "wide.csv").is_file()
    assert not list((swept / "exports").glob(".tmp-*"))


def test_wide_holds_every_number_once(swept: Path, rows: pd.DataFrame, tmp_path: Path) -> None:
    export(swept, "wide", tmp_path / "w.parquet")
    wide = pd.read_parquet(tmp_path / "w.parquet")
    assert list(wide.columns[: len(PLACE)]) == list(PLACE)
    assert wide["checkpoint"].tolist() == rows["checkpoint"].drop_duplicates().tolist()
    assert wide["samples_seen"].tolist() == [640, 1280, 1920]
    for checkpoint, wide_row in wide.set_index("checkpoint").iterrows():
        ours = rows[rows["checkpoint"] == checkpoint]
        numbers = wide_row.drop([c for c in PLACE if c != "checkpoint"]).astype(float)
        assert len(numbers) == len(ours)
        assert np.array_equal(
            np.sort(numbers.to_numpy()), np.sort(ours["value"].to_numpy()), equal_nan=True
        )


@pytest.mark.parametrize(
    ("name", "factors"),
    [
        ("iqa.toy-tid.srcc.cosine.pooled", {"metric": "srcc", "distance": "cosine",
                                            "subset": "pooled"}),
        ("shape-bias.toy-cue.shape_bias.bear", {"metric": "shape_bias", "category": "bear"}),
        ("robustness.toy-cifar.acc1.clean", {"metric": "acc1", "distortion": "none"}),
        ("robustness.toy-cifar.acc1.gaussian_noise@0.2", {"metric": "acc1", "level": 0.2}),
        ("embedding-diagnostics.toy-tid.median_distance.cosine.level1",
         {"metric": "median_distance", "level": 1.0}),
    ],
)  # fmt: skip
def test_wide_names(
    swept: Path, rows: pd.DataFrame, tmp_path: Path, name: str, factors: dict[str, object]
) -> None:
    export(swept, "wide", tmp_path / "w.csv")
    chosen = rows
    for column, value in factors.items():
        chosen = chosen[chosen[column] == value]
    wide = pd.read_csv(tmp_path / "w.csv")
    np.testing.assert_array_equal(wide[name], chosen["value"])
    dictionary = pd.read_csv(tmp_path / "w.dictionary.csv").set_index("column")
    assert list(dictionary.index) == list(wide.columns)
    assert dictionary.loc[name, "description"] != factors["metric"]


def test_wide_intervals(swept: Path, rows: pd.DataFrame, tmp_path: Path) -> None:
    export(swept, "wide", tmp_path / "w.csv", options=Options(intervals=True))
    wide = pd.read_csv(tmp_path / "w.csv")
    chosen = rows[(rows["metric"] == "acc1") & (rows["distortion"] == "none")]
    for end in ("ci_low", "ci_high"):
        np.testing.assert_array_equal(wide[f"robustness.toy-cifar.acc1.clean.{end}"], chosen[end])
    assert names_of(tmp_path / "w.dictionary.csv") == list(wide.columns)


@pytest.mark.parametrize("task", ITEMS)
@pytest.mark.parametrize("suffix", ["csv", "parquet"])
def test_items_are_the_records_items(
    swept: Path, rows: pd.DataFrame, tmp_path: Path, task: str, suffix: str
) -> None:
    target = tmp_path / f"items.{suffix}"
    export(swept, "items", target, task=task)
    read = pd.read_parquet if suffix == "parquet" else pd.read_csv
    found = read(target).astype({"checkpoint": str, "protocol_id": str})
    assert list(found.columns) == list(item_columns(task))
    assert names_of(tmp_path / "items.dictionary.csv") == list(found.columns)
    keys = ["checkpoint", "checkpoint_id", "protocol_id", "step", "samples_seen"]
    measured = rows.loc[rows["task"] == task, keys].drop_duplicates().itertuples()
    total = 0
    for m in measured:
        record = swept / "records" / m.checkpoint_id / f"{task}-{m.protocol_id}.items.parquet"
        original = pd.read_parquet(record)
        mine = (found["checkpoint"] == m.checkpoint) & (found["protocol_id"] == m.protocol_id)
        part = found[mine].reset_index(drop=True)
        assert part["item"].tolist() == list(range(len(original)))
        assert (part["step"] == m.step).all()
        assert (part["samples_seen"] == m.samples_seen).all()
        pd.testing.assert_frame_equal(
            part[original.columns], original, check_dtype=False, check_categorical=False
        )
        total += len(original)
    assert total == len(found)


def test_items_say_their_condition(swept: Path, rows: pd.DataFrame, tmp_path: Path) -> None:
    export(swept, "items", tmp_path / "i.parquet", task="robustness")
    found = pd.read_parquet(tmp_path / "i.parquet")
    right = found["label"] == found["decision"]
    acc1 = rows[rows["metric"] == "acc1"].sort_values(["checkpoint", "level"])
    groups = right.groupby([found["checkpoint"].astype(str), found["level"]], dropna=False)
    np.testing.assert_allclose(groups.mean(), acc1["value"])
    assert found["noise_seed"].isna().equals(found["distortion"] == "none")


def test_items_in_parquet_are_dictionaries(swept: Path, tmp_path: Path) -> None:
    export(swept, "items", tmp_path / "i.parquet", task="shape-bias")
    schema = parquet.read_schema(tmp_path / "i.parquet")
    for name in ("run", "checkpoint", "picture", "shape_exemplar", "decision"):
        assert pa.types.is_dictionary(schema.field(name).type), name


def test_items_are_written_in_pieces(
    swept: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    export(swept, "items", tmp_path / "one.parquet", task="shape-bias")
    monkeypatch.setattr(items_module, "ROWS_AT_ONCE", 1)
    export(swept, "items", tmp_path / "many.parquet", task="shape-bias")
    assert parquet.ParquetFile(tmp_path / "one.parquet").num_row_groups == 1
    assert parquet.ParquetFile(tmp_path / "many.parquet").num_row_groups == 3
    one, many = (pd.read_parquet(tmp_path / f"{name}.parquet") for name in ("one", "many"))
    pd.testing.assert_frame_equal(one, many, check_categorical=False)


def test_rows_have_their_dtypes(tmp_path: Path, swept: Path) -> None:
    export(swept, "wide", tmp_path / "w.parquet")
    wide = pd.read_parquet(tmp_path / "w.parquet")
    assert {name: str(wide[name].dtype) for name in PLACE} == {
        name: ROWS[name].dtype for name in PLACE
    }
