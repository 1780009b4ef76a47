"""What a sweep that finds everything on record does not do, and a plan neither."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any, NoReturn

import pandas as pd
import pytest

import fastclip
from fastclip.engines.onnxruntime_engine import OnnxRuntimeEngine
from fastclip.results.table import table_is_current, write_table
from fastclip.stimuli.views import ViewStore
from fastclip.sweeper import run, stage
from fastclip.sweeper.config import SweepConfig
from fastclip.sweeper.describe import describe_plan

HEAVY = ("torch", "open_clip", "onnx", "onnxruntime", "scipy", "pandas", "matplotlib")


@pytest.fixture(scope="module")
def swept(
    run_folder: Path,
    sets: tuple[str, ...],
    shared_cache: Path,
    tmp_path_factory: pytest.TempPathFactory,
) -> tuple[Path, pd.DataFrame]:
    out = tmp_path_factory.mktemp("settled") / "out"
    return out, again(out, run_folder, sets, shared_cache)


def again(out: Path, run_folder: Path, sets: tuple[str, ...], cache: Path) -> pd.DataFrame:
    return fastclip.sweep(
        run_folder, out, data=sets, cache_dir=cache, workers=1, engine="onnxruntime"
    )


class Opened(Exception):
    """Something was prepared to measure with."""


@pytest.fixture
def sabotaged(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> NoReturn:
        raise Opened

    monkeypatch.setattr(OnnxRuntimeEngine, "open", refuse)
    monkeypatch.setattr(ViewStore, "open", refuse)
    monkeypatch.setattr(run, "choose", refuse)
    for name in ("get_towers", "probe_once", "Canary"):
        monkeypatch.setattr(stage, name, refuse)


@pytest.mark.usefixtures("sabotaged")
def test_nothing_is_opened_where_everything_is_on_record(
    swept: tuple[Path, pd.DataFrame], run_folder: Path, sets: tuple[str, ...], shared_cache: Path
) -> None:
    out, rows = swept
    tables = [out / "results.csv", out / "results.parquet"]
    written = [table.stat().st_mtime_ns for table in tables]
    pd.testing.assert_frame_equal(again(out, run_folder, sets, shared_cache), rows)
    assert [table.stat().st_mtime_ns for table in tables] == written


@pytest.mark.usefixtures("sabotaged")
def test_one_missing_record_opens_the_stage(
    swept: tuple[Path, pd.DataFrame], run_folder: Path, sets: tuple[str, ...], shared_cache: Path
) -> None:
    out, _ = swept
    record = next((out / "records").rglob("iqa-*.json"))
    kept = record.read_bytes()
    record.unlink()
    try:
        with pytest.raises(Opened):
            again(out, run_folder, sets, shared_cache)
    finally:
        record.write_bytes(kept)
        write_table(out)


def modules_after(*arguments: str) -> set[str]:
    """The heavy modules that a process of its own has imported by the end of a command."""
    code = (
        "import sys\n"
        "from fastclip.cli import main\n"
        "try:\n    main()\n"
        "except SystemExit as stop:\n    assert stop.code == 0, stop.code\n"
        f"print('HEAVY', *(name for name in {HEAVY!r} if name in sys.modules))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, *arguments], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return set(done.stdout.splitlines()[-1].split()[1:])


@pytest.mark.parametrize("more", [["--dry-run"], ["-q"]])
def test_nothing_heavy_is_imported(
    swept: tuple[Path, pd.DataFrame],
    run_folder: Path,
    sets: tuple[str, ...],
    shared_cache: Path,
    more: list[str],
) -> None:
    data = [word for one in sets for word in ("--data", one)]
    cache = ["--cache-dir", str(shared_cache)]
    seen = modules_after("sweep", str(run_folder), "-o", str(swept[0]), *data, *cache, *more)
    assert not seen


def test_a_plan_for_a_new_folder_imports_neither_torch_nor_open_clip(
    swept: tuple[Path, pd.DataFrame],
    run_folder: Path,
    sets: tuple[str, ...],
    shared_cache: Path,
    tmp_path: Path,
) -> None:
    arguments = ("--data", sets[1], "--cache-dir", str(shared_cache), "--device", "cpu")
    seen = modules_after(
        "sweep", str(run_folder), "-o", str(tmp_path / "new"), *arguments, "--dry-run"
    )
    assert not seen & {"torch", "open_clip"}
    assert not (tmp_path / "new").exists()


def test_a_plan_downloads_no_anchor(
    run_folder: Path,
    sets: tuple[str, ...],
    shared_cache: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def refuse(*_: object, **__: object) -> NoReturn:
        raise AssertionError("asked for a download")

    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr("open_clip.pretrained.download_pretrained", refuse)
    anchor = "openclip:ViT-B-32/openai"
    config = SweepConfig(
        (str(run_folder), anchor), tmp_path / "out", data=sets[:1], cache_dir=shared_cache
    )
    lines = list(describe_plan(config))
    assert [line for line in lines if line.startswith("absent")] == [
        f"absent      {anchor}: a sweep downloads it first"
    ]
    assert any(": 3 checkpoints of" in line for line in lines)


def test_tables_follow_what_others_write(
    swept: tuple[Path, pd.DataFrame], run_folder: Path, sets: tuple[str, ...], shared_cache: Path
) -> None:
    """Another process's record, a removed one, a changed setting: each makes the tables anew."""
    out, _ = swept
    write_table(out)
    assert table_is_current(out)
    record = next((out / "records").rglob("iqa-*.json"))
    aside = out / "aside.json"
    record.rename(aside)
    assert not table_is_current(out)
    write_table(out)
    assert table_is_current(out)
    aside.rename(record)
    assert not table_is_current(out)
    write_table(out)
    settings: dict[str, Any] = json.loads((out / "config.json").read_text())
    kept = (out / "config.json").read_bytes()
    (out / "config.json").write_text(json.dumps({**settings, "precision": "bf16"}))
    assert not table_is_current(out)
    (out / "config.json").write_bytes(kept)
    assert table_is_current(out)
    (out / "results.csv").write_text("run\n")
    assert not table_is_current(out)
    write_table(out)
