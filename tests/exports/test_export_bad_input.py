"""What a user can get wrong, and what the command says then."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from fastclip.distortions.levels import parse
from fastclip.errors import FastclipError, RefusalError, UsageError
from fastclip.exports import EXPORTS
from fastclip.exports.base import Options
from fastclip.exports.run import export
from fastclip.results.protocols import condition
from fastclip.results.record import read_record


def other_protocol(record: Path, **changes: Any) -> dict[str, Any]:
    """The body of a record as another protocol would have left it."""
    body: dict[str, Any] = json.loads(record.read_text())
    body["protocol"] |= changes
    body["protocol_id"] = "f" * 16
    body["family"] = "f" * 16
    return body


@pytest.fixture
def mixed(swept: Path, tmp_path: Path) -> Path:
    """The sweep, its image-quality task measured by a second protocol too."""
    out = tmp_path / "mixed"
    shutil.copytree(swept, out)
    for record in list(out.glob("records/*/iqa-*.json")):
        body = other_protocol(record, pixels={"resize_mode": "squash"})
        for score in body["scores"]:
            score["value"] = -1.0
        copy = record.with_name(f"iqa-{body['protocol_id']}.json")
        copy.write_text(json.dumps(body))
        shutil.copy(record.with_suffix(".items.parquet"), copy.with_suffix(".items.parquet"))
    return out


def refused(error: type[FastclipError], call: Callable[[], object]) -> FastclipError:
    with pytest.raises(error) as caught:
        call()
    assert caught.value.mend
    return caught.value


@pytest.mark.parametrize(
    ("distortion", "name"),
    [
        ("gaussian_noise:sigma=0.1", "gaussian_noise@0.1"),
        ("saturate:factor=2", "saturate@2"),
        ("saturate:factor=2:shift=0.1", "saturate@2,shift=0.1"),
    ],
)
def test_conditions_have_different_names(swept: Path, distortion: str, name: str) -> None:
    record = read_record(next(swept.glob("records/*/robustness-*.json")))
    made = parse(distortion)
    protocol = {**record.protocol, "distortion": made.identity()}
    assert condition(replace(record, protocol=protocol)) == name
    if made.random:
        protocol["distortion"] = replace(made, seed=3).identity()
        assert condition(replace(record, protocol=protocol)) == f"{name},seed=3"


def test_unknown_format(swept: Path) -> None:
    error = refused(UsageError, lambda: export(swept, "xlsx"))
    for name in EXPORTS:
        assert name in str(error.mend)


def test_no_sweep(tmp_path: Path) -> None:
    refused(UsageError, lambda: export(tmp_path, "csv"))


def test_nothing_measured(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text('{"engine": "torch", "precision": "fp32"}')
    error = refused(UsageError, lambda: export(tmp_path, "csv"))
    assert "no finished measurement" in error.what


def test_several_tasks_of_items(swept: Path) -> None:
    error = refused(UsageError, lambda: export(swept, "items"))
    assert "--task: iqa, shape-bias" in str(error.mend)


def test_a_task_that_was_not_measured(swept: Path) -> None:
    error = refused(UsageError, lambda: export(swept, "items", task="saliency"))
    assert "iqa, shape-bias" in str(error.mend)


def test_a_task_that_the_format_cannot_hold(swept: Path) -> None:
    with pytest.raises(UsageError, match="robustness"):
        export(swept, "clip-benchmark", task="iqa")


def test_missing_task_of_a_peer(swept: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    shutil.copytree(swept, out)
    for record in out.glob("records/*/shape-bias-*"):
        record.unlink()
    error = refused(UsageError, lambda: export(out, "model-vs-human"))
    assert "shape-bias" in error.what


def test_missing_items(swept: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    shutil.copytree(swept, out)
    gone = next(out.glob("records/*/iqa-*.items.parquet"))
    gone.unlink()
    error = refused(RefusalError, lambda: export(out, "items", tmp_path / "i.csv", task="iqa"))
    assert str(gone) == error.where
    assert not (tmp_path / "i.csv").exists()


@pytest.mark.parametrize("form", ["wide", "items", "wandb"])
def test_two_protocols_are_refused(mixed: Path, form: str) -> None:
    error = refused(UsageError, lambda: export(mixed, form, task="iqa"))
    assert "ffffffffffffffff" in error.what
    assert "pixels.resize_mode squash" in error.what
    assert "--protocol" in str(error.mend)


def test_one_of_two_protocols(mixed: Path, swept: Path, rows: pd.DataFrame, tmp_path: Path) -> None:
    first = rows.loc[rows["task"] == "iqa", "protocol_id"].iloc[0]
    export(mixed, "wide", tmp_path / "first.csv", protocols=[first[:6]])
    export(swept, "wide", tmp_path / "alone.csv")
    assert (tmp_path / "first.csv").read_bytes() == (tmp_path / "alone.csv").read_bytes()
    export(mixed, "wide", tmp_path / "other.csv", protocols=["ffff"])
    other = pd.read_csv(tmp_path / "other.csv")
    assert (other["iqa.toy-tid.srcc.cosine.pooled"] == -1).all()
    assert other["robustness.toy-cifar.acc1.clean"].notna().all()


def test_rows_hold_both_protocols(mixed: Path, tmp_path: Path) -> None:
    export(mixed, "csv", tmp_path / "rows.csv", task="iqa")
    assert pd.read_csv(tmp_path / "rows.csv")["protocol_id"].nunique() == 2


def test_unknown_protocol(swept: Path, rows: pd.DataFrame) -> None:
    error = refused(UsageError, lambda: export(swept, "wide", protocols=["zzz"]))
    for name in rows["protocol_id"].unique():
        assert name in str(error.mend)


@pytest.mark.parametrize("name", ["table.xlsx", "table"])
def test_unknown_suffix(swept: Path, tmp_path: Path, name: str) -> None:
    error = refused(UsageError, lambda: export(swept, "wide", tmp_path / name))
    assert ".csv, .parquet" in str(error.mend)


def test_an_option_of_another_format(swept: Path) -> None:
    error = refused(UsageError, lambda: export(swept, "csv", options=Options(online=True)))
    assert "wandb" in str(error.mend)


def test_target_that_cannot_be_written(swept: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    refused(RefusalError, lambda: export(swept, "csv", tmp_path / "file" / "rows.csv"))
    refused(RefusalError, lambda: export(swept, "csv", tmp_path))


def test_an_existing_file_is_replaced(swept: Path, tmp_path: Path) -> None:
    (tmp_path / "rows.csv").write_text("old")
    export(swept, "csv", tmp_path / "rows.csv")
    assert (tmp_path / "rows.csv").read_bytes() == (swept / "results.csv").read_bytes()


def test_the_command(swept: Path, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "fastclip", "export", str(swept), "--to"]
    good = subprocess.run(
        [*command, "wide", "-o", str(tmp_path / "w.csv")], capture_output=True, text=True
    )
    assert good.returncode == 0, good.stderr
    assert "3 checkpoints" in good.stdout
    bad = subprocess.run([*command, "xlsx"], capture_output=True, text=True)
    assert bad.returncode == 2
    assert "Traceback" not in bad.stderr
    assert "choose one of: csv" in bad.stderr
