"""Sweeps with the TensorRT engine on its stand-in: right scores, and faults that stay where
they arise."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from engines.tensorrt_standin.faults import FAULTS, SEEN, reset
from engines.tensorrt_standin.module import install
from photograph_tid import make_photograph_tid
from shared_data import SHARED, needs_shared

import fastclip
from fastclip.engines import CANDIDATES, ENGINES
from fastclip.errors import EngineError

BIAS = "visual/transformer.resblocks.0.mlp.c_fc.bias"
FACTORS = ["checkpoint", "task", "dataset", "prompts", "metric", "subset", "distance",
           "distortion", "level", "category"]  # fmt: skip


@pytest.fixture(autouse=True)
def simulated(monkeypatch: pytest.MonkeyPatch) -> None:
    """`--engine tensorrt` is the engine on its stand-in, and runs on the CPU."""
    install(monkeypatch)
    simulated = "engines.tensorrt_standin.simulated:SimulatedTensorRT"
    monkeypatch.setitem(ENGINES._entries, "tensorrt", simulated)


def values(rows: pd.DataFrame) -> pd.Series:
    """Every score by what it is of."""
    found: pd.Series = rows.set_index(FACTORS)["value"].astype(float).sort_index()
    assert not found.index.has_duplicates
    return found


def assert_close(found: pd.DataFrame, expected: pd.DataFrame, atol: float) -> None:
    ours, theirs = values(found), values(expected)
    assert ours.index.equals(theirs.index)
    np.testing.assert_allclose(ours, theirs, rtol=0, atol=atol)


@needs_shared
def test_scores_of_real_checkpoints_are_those_of_the_torch_engine(tmp_path: Path) -> None:
    tid = make_photograph_tid(tmp_path / "tid", references=2)
    options: dict[str, Any] = {
        "model": str(SHARED / "ckpts" / "tiny-clip.json"),
        "data": (
            f"tid2013:photographs={tid}",
            f"cue-conflict={SHARED / 'cue-conflict'}",
            f"cifar100={SHARED / 'cifar-100-python'}",
        ),
        "partial": True,
        "limit": 96,
        "cache_dir": tmp_path / "cache",
        "precision": "fp32",
        "device": "cpu",
        "batch_size": 16,
    }
    frames = {
        engine: fastclip.sweep(SHARED / "ckpts", tmp_path / engine, engine=engine, **options)
        for engine in ("tensorrt", "torch")
    }
    rows = frames["tensorrt"]
    assert not rows.attrs["failures"]
    assert rows["checkpoint"].nunique() == 3
    assert set(rows["task"]) == {"iqa", "shape-bias", "robustness", "embedding-diagnostics"}
    assert len(SEEN.builds) == 2
    assert_close(rows, frames["torch"], atol=1e-4)


Sweep = Callable[[], pd.DataFrame]


@pytest.fixture
def sweep(
    run_folder: Path, sets: tuple[str, ...], shared_cache: Path, tmp_path: Path
) -> Iterator[Sweep]:
    """A sweep of three tiny checkpoints; the plan is built, and has passed its probe."""

    def run(**options: Any) -> pd.DataFrame:
        folder = tmp_path / f"out-{len(list(tmp_path.iterdir()))}"
        return fastclip.sweep(
            run_folder, folder, data=sets, tasks=("iqa",), cache_dir=shared_cache, workers=1,
            **{"engine": "tensorrt", "device": "cpu", "precision": "fp32"} | options,
        )  # fmt: skip

    run(epochs=(1, 1))
    reset()
    yield run


def test_one_build_for_all_sweeps(sweep: Sweep) -> None:
    rows = sweep()
    assert not rows.attrs["failures"]
    assert rows["checkpoint"].nunique() == 3
    assert SEEN.refits == 3
    assert not SEEN.builds


@pytest.mark.parametrize(
    ("faults", "said"),
    [
        ({"nan": lambda refit: refit == 2}, "canary failed.*image_relative_l2 nan"),
        ({"keeps": "", "keeps_at": lambda refit: refit == 2}, "canary failed.*image_stale"),
        ({"keeps": BIAS, "keeps_at": lambda refit: refit == 2}, "canary failed"),
        ({"refuses": lambda refit: refit in (2, 3)}, "made anew, and failed again"),
    ],
    ids=["NaN", "stale", "one stale", "refit refused"],
)
def test_a_fault_costs_one_checkpoint(sweep: Sweep, faults: dict[str, Any], said: str) -> None:
    good = sweep()
    reset()
    for name, value in faults.items():
        setattr(FAULTS, name, value)
    rows = sweep()
    assert rows["epoch"].unique().tolist() == [1, 3]
    ((name, reason),) = rows.attrs["failures"].items()
    assert name.endswith("epoch_2.pt")
    assert pd.Series([reason]).str.contains(said).all(), reason
    assert_close(rows, good[good["epoch"] != 2], atol=0)


def test_a_refit_refused_once_costs_nothing(sweep: Sweep) -> None:
    good = sweep()
    reset()
    FAULTS.refuses = lambda refit: refit == 2
    rows = sweep()
    assert not rows.attrs["failures"]
    assert_close(rows, good, atol=0)


def test_a_plan_of_another_gpu_is_built_again(sweep: Sweep) -> None:
    good = sweep()
    reset()
    FAULTS.gpu = "another GPU"
    rows = sweep()
    assert SEEN.refused_plans == 1
    assert len(SEEN.builds) == 1
    assert_close(rows, good, atol=0)


@pytest.mark.parametrize(
    ("fault", "said"),
    [
        ({"drops": BIAS}, "cannot be changed in the engine that TensorRT built"),
        ({"ignores": BIAS}, "does not reproduce open_clip's module"),
        ({"merges": (BIAS, "visual/transformer.resblocks.1.mlp.c_fc.bias")}, "does not reproduce"),
        ({"builds_nothing": True}, "cannot build an engine"),
    ],
    ids=["dropped bias", "ignored bias", "merged biases", "no build"],
)
def test_an_engine_that_is_wrong_measures_nothing(
    sweep: Sweep,
    fault: dict[str, Any],
    said: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # A plan of its own, that nobody has probed.
    for name, value in {"gpu": said, **fault}.items():
        setattr(FAULTS, name, value)
    with pytest.raises(EngineError, match=said):
        sweep()
    monkeypatch.setitem(CANDIDATES, "cpu", ("tensorrt", "onnxruntime"))
    rows = sweep(engine="auto")
    assert not rows.attrs["failures"]
    assert set(rows["engine"]) == {"onnxruntime"}
