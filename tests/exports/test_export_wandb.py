"""Weights & Biases through a stand-in for its package, which records what it is told.

The package itself is not a dependency; docs/exports.md says with which versions its offline files
were read back.
"""

from __future__ import annotations

import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pandas as pd
import pytest

from fastclip.errors import RefusalError
from fastclip.exports.base import Options
from fastclip.exports.run import export
from fastclip.exports.wandb_runs import metric_names


class StandInError(Exception):
    """What the package raises when nobody is logged in."""


class StandInRun:
    def __init__(self, **settings: Any) -> None:
        self.settings = settings
        self.axes: dict[str, str] = {}
        self.history: list[dict[str, Any]] = []
        self.closed = False

    def __enter__(self) -> StandInRun:
        return self

    def __exit__(self, *error: object) -> None:
        self.closed = True

    def define_metric(self, name: str, step_metric: str) -> None:
        self.axes[name] = step_metric

    def log(self, values: dict[str, Any]) -> None:
        self.history.append(values)


@pytest.fixture
def runs(monkeypatch: pytest.MonkeyPatch) -> list[StandInRun]:
    started: list[StandInRun] = []

    def init(**settings: Any) -> StandInRun:
        started.append(StandInRun(**settings))
        return started[-1]

    module = ModuleType("wandb")
    module.init = init  # type: ignore[attr-defined]
    module.Error = StandInError  # type: ignore[attr-defined]
    module.Settings = SimpleNamespace  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "wandb", module)
    return started


def test_one_run_per_training_run(
    swept: Path, rows: pd.DataFrame, tmp_path: Path, runs: list[StandInRun]
) -> None:
    said = export(swept, "wandb", tmp_path)
    assert "wandb sync" in said
    (run,) = runs
    assert run.closed
    assert run.settings["mode"] == "offline"
    assert run.settings["project"] == "fastclip"
    assert run.settings["name"] == rows["run"].iloc[0]
    assert run.axes == {"*": "samples_seen"}
    assert [values["samples_seen"] for values in run.history] == [640, 1280, 1920]
    names = run.settings["config"]["names"]
    key = next(k for k, v in names.items() if v == "iqa.toy-tid.srcc.cosine.pooled")
    assert key == "iqa/toy_tid_srcc_cosine_pooled"
    chosen = (rows["metric"] == "srcc") & (rows["distance"] == "cosine")
    ours = rows[chosen & (rows["subset"] == "pooled")]
    assert [values[key] for values in run.history] == ours["value"].tolist()
    known = rows["value"].notna().groupby(rows["checkpoint"], sort=False).sum()
    assert [len(v) - 4 for v in run.history] == known.tolist()  # 3 places and the name


def test_online_only_when_asked(swept: Path, tmp_path: Path, runs: list[StandInRun]) -> None:
    said = export(swept, "wandb", tmp_path, options=Options(online=True, project="mine"))
    assert runs[0].settings["mode"] == "online"
    assert runs[0].settings["project"] == "mine"
    assert "'mine'" in said


def test_nobody_is_logged_in(
    swept: Path, tmp_path: Path, runs: list[StandInRun], monkeypatch: pytest.MonkeyPatch
) -> None:
    def init(**settings: Any) -> StandInRun:
        raise StandInError("No API key configured.")

    monkeypatch.setattr(sys.modules["wandb"], "init", init)
    with pytest.raises(RefusalError, match="No API key") as caught:
        export(swept, "wandb", tmp_path, options=Options(online=True))
    assert "--online" in str(caught.value.mend)


def test_names_stay_different() -> None:
    names = metric_names(["iqa.a.b@0.1", "iqa.a.b@0-1", "iqa.c"])
    assert names["iqa.a.b@0.1"] == "iqa/a_b_0_1"
    assert len(set(names.values())) == 3


def test_without_the_package(swept: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "wandb", None)
    with pytest.raises(RefusalError, match="not installed") as caught:
        export(swept, "wandb", tmp_path / "x")
    assert caught.value.mend == "pip install 'fastclip[wandb]'"
    assert not (tmp_path / "x").exists()
