from __future__ import annotations

import json

import pandas as pd
import pytest
from click.testing import CliRunner

from fastclip.cli.demo import command
from fastclip.demo import run, sets
from fastclip.demo.train import Training, checkpoint_paths

TINY = Training(seed=3, pictures=64, steps=4, batch_size=16, warmup=2, checkpoints=3)


@pytest.mark.slow
def test_the_whole_demo_and_its_resume(tmp_path, monkeypatch):
    monkeypatch.setattr(sets, "CIFAR_PER_CLASS", 2)
    monkeypatch.setattr(sets, "CUE_PER_PAIR", 1)
    monkeypatch.setattr(sets, "DISTORTIONS", sets.DISTORTIONS[:2])
    said: list[str] = []
    demo = run.run_demo(tmp_path, training=TINY, threads=1, say=said.append)
    rows = demo.rows
    assert not demo.outcome.failures
    assert set(rows["dataset"]) >= {"toy-tid2013", "toy-cue-conflict", "toy-cifar"}
    assert rows["dataset"].str.startswith("toy-").all()
    paths = checkpoint_paths(tmp_path / "logs" / "toy", TINY)
    assert list(dict.fromkeys(rows["checkpoint"])) == [f"toy/{path.name}" for path in paths]
    steps = rows.drop_duplicates("step")
    assert (steps["samples_seen"] == steps["step"] * 16).all()
    assert set(rows["arch"]) == {"toy-clip"}
    assert len(demo.analysis.sentences) == 3
    assert demo.report.stat().st_size > 1_000_000
    assert (demo.figures / "training.png").stat().st_size > 10_000
    assert any("Mannos and Sakrison" in line for line in said)
    timings = json.loads((tmp_path / "timings.json").read_text())
    assert {"train", "sets", "sweep", "analysis", "report", "total"} == set(timings["seconds"])

    before = [path.stat().st_mtime_ns for path in paths]
    again = run.run_demo(tmp_path, training=TINY, threads=1)
    assert [path.stat().st_mtime_ns for path in paths] == before
    assert again.outcome.done == 0 and again.outcome.already_done == len(paths)
    pd.testing.assert_frame_equal(again.rows, rows)


def test_the_command_leaves_a_folder_of_checkpoints_alone(tmp_path):
    mine = tmp_path / "logs" / "toy" / "checkpoints" / "epoch_1.pt"
    mine.parent.mkdir(parents=True)
    mine.write_bytes(b"mine")
    result = CliRunner().invoke(command, ["-o", str(tmp_path), "-q"])
    assert result.exception is not None and "no demo wrote" in str(result.exception)
    assert mine.read_bytes() == b"mine"


def test_the_command_lists_its_options():
    text = CliRunner().invoke(command, ["--help"]).output
    for option in ("--output-dir", "--seed", "--threads", "--no-progress", "fastclip-demo"):
        assert option in text
