"""The whole program on real checkpoints and pictures against a plain open_clip + scipy loop."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import plain_loop
import pytest
from photograph_tid import make_photograph_tid
from shared_data import SHARED, needs_shared

import fastclip
from fastclip.distortions import DISTORTIONS
from fastclip.stimuli.cifar100 import load as load_cifar
from fastclip.stimuli.manifest import read_manifest

pytestmark = [needs_shared, pytest.mark.slow]

CHECKPOINTS = ("epoch_1.pt", "epoch_8.pt", "epoch_16.pt")
SIGMA = 0.1


@pytest.fixture(scope="module")
def tid(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_photograph_tid(tmp_path_factory.mktemp("photographs") / "tid")


@pytest.fixture(scope="module")
def ours(tid: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, pd.DataFrame]:
    out = tmp_path_factory.mktemp("swept")
    rows = fastclip.sweep(
        SHARED / "ckpts",
        out / "out",
        model=str(SHARED / "ckpts" / "tiny-clip.json"),
        data=(
            f"tid2013:photographs={tid}",
            f"cue-conflict={SHARED / 'cue-conflict'}",
            f"cifar100={SHARED / 'cifar-100-python'}",
        ),
        partial=True,
        sigma=str(SIGMA),
        cache_dir=out / "cache",
    )
    return out / "out", rows


@pytest.fixture(scope="module")
def noisy(tmp_path_factory: pytest.TempPathFactory) -> np.ndarray:
    """The noisy pictures, drawn by the kernels: their bytes are tested on their own."""
    data = load_cifar(SHARED / "cifar-100-python", name="cifar100", partial=True)
    pictures = np.stack(
        [data.pictures.decode(i, data.pictures.encoded(i)) for i in range(len(data.pictures))]
    )
    keys = read_manifest(data.pictures, tmp_path_factory.mktemp("manifest"), 1).keys
    noisy: np.ndarray = DISTORTIONS.get("gaussian_noise")(level=SIGMA).apply(pictures, keys)
    assert 15 < (noisy.astype(float) - pictures)[:, 8:24, 8:24].std() < 26
    return noisy


@pytest.fixture(scope="module", params=CHECKPOINTS)
def both(
    request: pytest.FixtureRequest, ours: tuple[Path, pd.DataFrame], tid: Path, noisy: np.ndarray
) -> tuple[Path, pd.DataFrame, dict[str, Any]]:
    out, rows = ours
    theirs = plain_loop.measure(
        SHARED / "ckpts" / request.param,
        SHARED / "ckpts" / "tiny-clip.json",
        tid,
        SHARED / "cue-conflict",
        SHARED / "cifar-100-python",
        {"noisy": noisy},
    )
    return out, rows[rows["checkpoint"].str.endswith("/" + request.param)], theirs


def items(out: Path, rows: pd.DataFrame, task: str, distortion: str | None = None) -> pd.DataFrame:
    chosen = rows[rows["task"] == task]
    if distortion is not None:
        chosen = chosen[chosen["distortion"] == distortion]
    (checkpoint,), (protocol,) = chosen["checkpoint_id"].unique(), chosen["protocol_id"].unique()
    return pd.read_parquet(out / "records" / checkpoint / f"{task}-{protocol}.items.parquet")


def value(rows: pd.DataFrame, **factors: Any) -> float | None:
    for column, wanted in factors.items():
        rows = rows[rows[column].isna() if wanted is None else rows[column] == wanted]
    (found,) = rows["value"]
    return None if pd.isna(found) else float(found)


def test_correlations(both: tuple[Path, pd.DataFrame, dict[str, Any]]) -> None:
    _, rows, theirs = both
    assert len(theirs["iqa_distances"]) == 120
    for distance, metrics in theirs["iqa"].items():
        for metric, expected in metrics.items():
            found = value(rows, task="iqa", subset="pooled", distance=distance, metric=metric)
            # Rounding may turn round two pairs whose distances are nearly equal: of Kendall's 7,140
            # comparisons that is one, which counts twice.
            within = 2.01 / 7140 if metric == "krcc" else 1e-4
            assert found == pytest.approx(expected, abs=within)


def test_shape_bias_and_its_decisions(both: tuple[Path, pd.DataFrame, dict[str, Any]]) -> None:
    out, rows, theirs = both
    expected = theirs["shape_bias"]
    for metric in (
        "shape_bias",
        "cue_accuracy",
        "shape_accuracy",
        "texture_accuracy",
        "nonconflict_accuracy",
        "shape_bias_guess_corrected",
    ):
        found = value(rows, task="shape-bias", metric=metric, category=None)
        assert found == (
            expected[metric]
            if expected[metric] is None
            else pytest.approx(expected[metric], abs=1e-12)
        )
    decided = items(out, rows, "shape-bias")
    assert dict(zip(decided["picture"], decided["decision"], strict=True)) == expected["decisions"]


def test_accuracies_and_their_decisions(both: tuple[Path, pd.DataFrame, dict[str, Any]]) -> None:
    out, rows, theirs = both
    for condition, distortion in (("clean", "none"), ("noisy", "gaussian_noise")):
        decided = items(out, rows, "robustness", distortion)
        np.testing.assert_array_equal(decided["decision"], theirs[condition]["decisions"])
        for metric in ("acc1", "acc5"):
            found = value(rows, task="robustness", distortion=distortion, metric=metric)
            assert found == pytest.approx(theirs[condition][metric], abs=1e-12)
    for metric in ("drop_abs", "drop_rel", "drop_rel_chance"):
        expected = theirs["noisy"][metric]
        found = value(rows, task="robustness", metric=metric)
        assert found == (expected if expected is None else pytest.approx(expected, abs=1e-12))
