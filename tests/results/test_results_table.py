"""Records, sightings and the table made of them, without any model."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from fastclip.checkpoints.base import Checkpoint
from fastclip.errors import RefusalError, UsageError
from fastclip.evaluators.base import Result, Score
from fastclip.results import record as records
from fastclip.results import sightings, table
from fastclip.results.identity import protocol_family, protocol_id
from fastclip.results.table import COLUMNS, build_table, read_table, write_table

SIGHTING = sightings.Sighting(
    name="run/epoch_2.pt", run="run", path="/gone/epoch_2.pt", weights="raw", stamp="s",
    request="r",
    checkpoint_id="c2", digest="d", needed="n", said={}, arch="ViT", arch_digest="a",
    arch_source="--model", guessed=(),
    preprocessing={}, step=None, epoch=2, samples_seen=None,
)  # fmt: skip


def make_record(checkpoint_id: str, value: float | None, revision: int = 1) -> records.Record:
    protocol = {"task": "iqa", "revision": revision}
    return records.Record(
        checkpoint_id=checkpoint_id, arch="ViT", task="iqa", dataset="tid2013", partial="",
        protocol_id=protocol_id(protocol), family=protocol_family(protocol), protocol=protocol,
        engine="torch", precision="fp32",
        scores=(Score("srcc", value, 3, flag="" if value is not None else "constant"),),
        items="x", items_digest="y", timings={}, seconds=0.5, fastclip_version="0",
    )  # fmt: skip


@pytest.fixture
def out(tmp_path: Path) -> Path:
    (tmp_path / "config.json").write_text('{"engine": "torch", "precision": "fp32"}')
    return tmp_path


def sight(out: Path, sighting: sightings.Sighting) -> None:
    path = Path(sighting.path)
    checkpoint = Checkpoint(path, sighting.run, "torch", sighting.stamp)
    sightings.write_sighting(out, checkpoint, sighting)


def test_record_round_trip(out: Path) -> None:
    record = make_record("c2", None)
    path = records.write_record(out, record)
    assert records.read_record(path) == record
    assert records.existing_records(out) == {("c2", "iqa", record.protocol_id)}


def test_items_are_parquet_with_their_digest(out: Path) -> None:
    result = Result((), {"picture": ["a", "b"], "distance": np.array([0.5, 1.0])})
    digest = records.write_items(out / "items.parquet", result)
    assert records.write_items(out / "again.parquet", result) == digest
    assert pd.read_parquet(out / "items.parquet")["distance"].tolist() == [0.5, 1.0]


def test_table_orders_naturally_and_keeps_na(out: Path) -> None:
    for epoch in (10, 2):
        name = f"run/epoch_{epoch}.pt"
        sight(
            out,
            replace(
                SIGHTING, name=name, path=f"/gone/epoch_{epoch}.pt", epoch=epoch,
                checkpoint_id=f"c{epoch}",
            ),
        )  # fmt: skip
        records.write_record(out, make_record(f"c{epoch}", 0.25 if epoch == 10 else None))
    write_table(out)
    rows = build_table(out)
    assert rows["epoch"].tolist() == [2, 10]
    assert rows["flag"].isna().tolist() == [False, True]
    text = (out / "results.csv").read_text().splitlines()
    assert text[0].split(",") == list(COLUMNS)
    assert ",NA," in text[1]
    assert ",0.25," in text[2]
    pd.testing.assert_frame_equal(read_table(out), rows)


@pytest.mark.parametrize("precision", ["bf16", "int8"])
def test_rows_of_a_screening_precision_say_so_beside_what_else_they_say(
    out: Path, precision: str
) -> None:
    (out / "config.json").write_text(json.dumps({"engine": "torch", "precision": precision}))
    sight(out, SIGHTING)
    whole = make_record("c2", 0.5)
    bias = Score("shape_bias", 0.5, 3, flag="at_chance;no_cue_decision")
    scores = (*whole.scores, bias, Score("plcc", None, 3, flag="constant"))
    records.write_record(out, replace(whole, precision=precision, scores=scores))
    flags = ["screening", "at_chance;no_cue_decision;screening", "constant;screening"]
    assert build_table(out)["flag"].tolist() == flags
    write_table(out)
    assert ",screening," in (out / "results.csv").read_text()


def test_equal_weights_under_two_names_are_two_rows_of_one_record(out: Path) -> None:
    sight(out, SIGHTING)
    sight(out, replace(SIGHTING, name="other/epoch_2.pt", run="other", path="/other/epoch_2.pt"))
    records.write_record(out, make_record("c2", 0.5))
    rows = build_table(out)
    assert rows["run"].tolist() == ["other", "run"]
    assert rows["value"].tolist() == [0.5, 0.5]


def test_a_moved_folder_is_one_row(out: Path) -> None:
    sight(out, SIGHTING)
    sight(out, replace(SIGHTING, path="/moved/epoch_2.pt"))
    records.write_record(out, make_record("c2", 0.5))
    assert len(build_table(out)) == 1


def test_a_newer_revision_supersedes(out: Path) -> None:
    sight(out, SIGHTING)
    records.write_record(out, make_record("c2", 0.5, revision=1))
    records.write_record(out, make_record("c2", 0.75, revision=2))
    assert build_table(out)["value"].tolist() == [0.75]


def test_another_engine_is_left_out(out: Path) -> None:
    sight(out, SIGHTING)
    records.write_record(out, make_record("c2", 0.5))
    (out / "config.json").write_text('{"engine": "onnxruntime", "precision": "fp32"}')
    assert len(build_table(out)) == 0


def test_raw_and_averaged_weights_of_one_file_are_told_apart(out: Path) -> None:
    raw = Checkpoint(Path("/gone/epoch_2.pt"), "run", "torch", "s")
    ema = replace(raw, weights="ema")
    sightings.write_sighting(out, raw, SIGHTING)
    sightings.write_sighting(out, ema, replace(SIGHTING, weights="ema", checkpoint_id="c3"))
    records.write_record(out, make_record("c2", 0.5))
    records.write_record(out, make_record("c3", 0.6))
    rows = build_table(out)
    assert rows["weights"].tolist() == ["ema", "raw"]
    assert rows["checkpoint"].str.endswith("/epoch_2.pt").all()
    index = sightings.SightingIndex(out)
    found = index.find(ema, "r")
    assert found is not None
    assert found.checkpoint_id == "c3"


def test_content_that_is_gone_leaves_the_table(out: Path) -> None:
    sight(out, SIGHTING)
    records.write_record(out, make_record("c2", 0.5))
    checkpoint = Checkpoint(Path(SIGHTING.path), "run", "torch", "s")
    sightings.forget_other_content(out, checkpoint)
    assert len(build_table(out)) == 1
    sightings.forget_other_content(out, replace(checkpoint, stamp="another"))
    assert len(build_table(out)) == 0


def test_half_written_files_do_not_count(out: Path) -> None:
    sight(out, SIGHTING)
    path = records.write_record(out, make_record("c2", 0.5))
    path.with_name(f".tmp-abc-{path.name}").write_text('{"half')
    assert len(build_table(out)) == 1
    assert len(records.existing_records(out)) == 1


def test_index_finds_by_stamp_and_request_only(out: Path) -> None:
    sight(out, SIGHTING)
    index = sightings.SightingIndex(out)
    here = Checkpoint(Path("/elsewhere/epoch_2.pt"), "run", "torch", "s")
    assert index.find(here, "r") == SIGHTING
    assert index.find(here, "another --model") is None
    assert index.find(replace(here, stamp="t"), "r") is None


def test_not_a_record(out: Path) -> None:
    path = out / "records" / "c" / "iqa-x.json"
    path.parent.mkdir(parents=True)
    path.write_text(json.dumps({"schema": 99}))
    with pytest.raises(RefusalError, match="not a record"):
        records.read_record(path)


def test_not_an_output_folder(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="holds no sweep"):
        build_table(tmp_path)


def test_a_table_written_part_by_part_is_the_table(
    out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for epoch in range(1, 8):
        path, ours = f"/gone/epoch_{epoch}.pt", f"c{epoch}"
        sight(out, replace(SIGHTING, name=path[6:], path=path, epoch=epoch, checkpoint_id=ours))
        # The first part has no value and no flag of the second's: columns keep their types.
        records.write_record(out, make_record(ours, None if epoch < 3 else 0.5))
    write_table(out)
    whole = (out / "results.csv").read_bytes(), read_table(out)
    monkeypatch.setattr(table, "PART", 2)
    write_table(out)
    assert (out / "results.csv").read_bytes() == whole[0]
    pd.testing.assert_frame_equal(read_table(out), whole[1])


def test_a_table_of_nothing_has_its_columns(out: Path) -> None:
    assert list(read_table(out).columns) == list(COLUMNS)
    write_table(out)
    assert (out / "results.csv").read_text() == ",".join(COLUMNS) + "\n"
    pd.testing.assert_frame_equal(read_table(out), build_table(out))
