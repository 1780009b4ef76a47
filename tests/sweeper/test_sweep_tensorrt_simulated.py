"""Sweeps with the TensorRT engine on its stand-in: right scores, and faults that stay where
they arise.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from engines.tensorrt_standin.faults import SEEN, reset, set_faults
from engines.tensorrt_standin.module import install
from photograph_tid import make_photograph_tid
from shared_data import SHARED, needs_shared

import fastclip
from fastclip.engines import CANDIDATES, ENGINES
from fastclip.errors import EngineError
from fastclip.sweeper import choose

BIAS = "visual/transformer.resblocks.0.mlp.c_fc.bias"
FACTORS = ["checkpoint", "task", "dataset", "prompts", "metric", "subset", "distance",
           "distortion", "level", "category"]  # fmt: skip


@pytest.fixture(scope="module", autouse=True)
def simulated() -> Iterator[None]:
    """`--engine tensorrt` is the engine on its stand-in, and runs on the CPU."""
    with pytest.MonkeyPatch.context() as monkeypatch:
        install(monkeypatch)
        simulated = "engines.tensorrt_standin.simulated:SimulatedTensorRT"
        monkeypatch.setitem(ENGINES._entries, "tensorrt", simulated)
        yield


@pytest.fixture(autouse=True)
def no_faults() -> None:
    reset()


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
@pytest.mark.slow
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
        "limit": 64,
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


Sweep = Callable[..., pd.DataFrame]


@pytest.fixture(scope="module")
def sweep(
    run_folder: Path,
    sets: tuple[str, ...],
    shared_cache: Path,
    tmp_path_factory: pytest.TempPathFactory,
) -> Sweep:
    """Sweeps three tiny checkpoints into a new folder."""

    def run(engine: str = "tensorrt") -> pd.DataFrame:
        return fastclip.sweep(
            run_folder, tmp_path_factory.mktemp("out"), data=sets, tasks=("iqa",),
            cache_dir=shared_cache, engine=engine, device="cpu", precision="fp32", workers=1,
        )  # fmt: skip

    return run


@pytest.fixture(scope="module")
def good(sweep: Sweep) -> pd.DataFrame:
    """Rows without a fault; from here on the plan is built, and has passed its probe."""
    return sweep()


def test_one_build_for_all_sweeps(sweep: Sweep, good: pd.DataFrame) -> None:
    reset()
    rows = sweep()
    assert not rows.attrs["failures"]
    assert rows["checkpoint"].nunique() == 3
    assert SEEN.refits == 3
    assert not SEEN.builds
    assert_close(rows, good, atol=0)


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
def test_a_fault_costs_one_checkpoint(
    sweep: Sweep, good: pd.DataFrame, faults: dict[str, Any], said: str
) -> None:
    set_faults(**faults)
    rows = sweep()
    assert rows["epoch"].unique().tolist() == [1, 3]
    ((name, reason),) = rows.attrs["failures"].items()
    assert name.endswith("epoch_2.pt")
    assert re.search(said, reason)
    assert_close(rows, good[good["epoch"] != 2], atol=0)


def test_a_refit_refused_once_costs_nothing(sweep: Sweep, good: pd.DataFrame) -> None:
    set_faults(refuses=lambda refit: refit == 2)
    rows = sweep()
    assert not rows.attrs["failures"]
    assert_close(rows, good, atol=0)


def test_a_plan_of_another_gpu_is_built_again(sweep: Sweep, good: pd.DataFrame) -> None:
    set_faults(gpu="another GPU")
    rows = sweep()
    assert SEEN.refused_plans == 1
    assert len(SEEN.builds) == 1
    assert_close(rows, good, atol=0)
    reset()
    sweep()
    assert len(SEEN.builds) == 1


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
    sweep: Sweep, fault: dict[str, Any], said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Another GPU: the plan that is there is of no use.
    set_faults(gpu=said, **fault)
    with pytest.raises(EngineError, match=said):
        sweep()
    monkeypatch.setitem(CANDIDATES, "cpu", ("tensorrt", "onnxruntime"))
    monkeypatch.setattr(choose, "SECONDS", 0.1)
    rows = sweep(engine="auto")
    assert not rows.attrs["failures"]
    assert set(rows["engine"]) == {"onnxruntime"}
