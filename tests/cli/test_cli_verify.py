"""`fastclip verify` from end to end: what it compares, what it lets pass, what it does not."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from click.testing import CliRunner, Result
from make_run import make_run, save_checkpoint, tiny_state
from make_sets import make_cifar100, make_cue_conflict, make_tid2013

import fastclip
from fastclip.cli.sweep import command as sweep_command
from fastclip.cli.verify import AS_IN_SWEEP, command
from fastclip.engines import ENGINES
from fastclip.engines.base import Handle, Outputs
from fastclip.engines.torch_engine import TorchEngine
from fastclip.errors import UsageError
from fastclip.parity.base import TOLERANCE
from fastclip.parity.canary import SLACK

Verify = Callable[..., Result]

BF16 = [
    name
    for name in ENGINES
    for engine in [ENGINES.get(name)]
    if "cpu" in engine.devices and "bf16" in engine.precisions
    if engine.unavailable("cpu") is None
]
"""Engines of this machine that compute in bf16 on the CPU."""

WATCHED = 32
"""As many pictures as the probe places at a time; the image-quality set here has more."""


class Careless(TorchEngine):
    """Right wherever it is watched, and wrong by a hundredth on data sets."""

    name = family = "careless"
    precisions = ("fp32", "bf16")

    def encode_images(self, handle: Handle, lo: int, hi: int) -> Outputs:
        outputs = self.fetch(super().encode_images(handle, lo, hi))
        if len(handle) <= WATCHED:
            return outputs
        noise = np.random.default_rng(lo).standard_normal(outputs.shape)
        norm = np.linalg.norm(outputs, axis=1, keepdims=True)
        return (outputs + 0.01 * norm * noise).astype(np.float32)


@pytest.fixture(scope="module")
def run_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_run(tmp_path_factory.mktemp("runs"), epochs=5)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, ...]:
    root = tmp_path_factory.mktemp("sets")
    return (
        f"tid2013:tid={make_tid2013(root / 'tid', references=6)}",
        f"cue-conflict:cue={make_cue_conflict(root / 'cue')}",
        f"cifar100:cifar={make_cifar100(root / 'cifar', n=60)}",
    )


@pytest.fixture
def verify(run_folder: Path, data: tuple[str, ...], monkeypatch: pytest.MonkeyPatch) -> Verify:
    """Call the command on the run; graph and pictures are prepared once for the whole file."""
    monkeypatch.setenv("FASTCLIP_CACHE", str(run_folder.parent / "cache"))
    monkeypatch.setitem(ENGINES._entries, "careless", f"{__name__}:Careless")
    sets = [word for one in data for word in ("--data", one)]

    def call(*words: object, run: Path = run_folder) -> Result:
        return CliRunner().invoke(
            command,
            [str(run), *sets, "--workers", "1", "-q", *map(str, words)],
            standalone_mode=False,
        )

    return call


def body_of(result: Result) -> dict[str, Any]:
    assert result.exception is None, result.exception
    return dict(json.loads(result.stdout))


def numbers(body: dict[str, Any], name: str, field: str) -> list[float]:
    return [n[field] for c in body["checkpoints"] for n in c["numbers"] if n["name"] == name]


def test_fp32_against_fp32_is_what_two_sweeps_say(
    verify: Verify, run_folder: Path, data: tuple[str, ...], tmp_path: Path
) -> None:
    result = verify("--engine", "onnxruntime", "--json")
    body = body_of(result)
    assert (result.return_value, body["exit_code"]) == (0, 0)
    assert [c["place"] for c in body["checkpoints"]] == ["first", "middle", "last"]
    assert [c["step"] for c in body["checkpoints"]] == [10, 30, 50]
    assert body["pictures"] == {"tid": 42, "cue": 16, "cifar": 60}
    assert len(body["warnings"]) == 3
    assert all(0 < c["relative_l2"] < 1e-5 for c in body["checkpoints"])
    rows = fastclip.sweep(
        run_folder, tmp_path / "out", data=data, workers=1, every=2, engine="torch",
        tasks="iqa,shape-bias,robustness",
    )  # fmt: skip
    pooled = rows[(rows["subset"] == "pooled") & (rows["distance"] == "cosine")]
    noisy = rows[(rows["metric"] == "acc1") & (rows["level"] == 0.1)]
    bias = rows[(rows["metric"] == "shape_bias") & rows["category"].isna()]
    for name, expected in (
        ("SRCC, cosine", pooled[pooled["metric"] == "srcc"]),
        ("accuracy, gaussian noise 0.1", noisy),
        ("shape bias", bias),
    ):
        assert numbers(body, name, "reference") == expected["value"].tolist()
        np.testing.assert_allclose(numbers(body, name, "shift"), 0, atol=1e-4)
    assert numbers(body, "decisions alike, clean", "found") == [1.0] * 3


def test_an_engine_that_is_wrong_where_no_canary_looks(verify: Verify) -> None:
    result = verify("--engine", "careless", "--tasks", "iqa", "--every", "4")
    assert result.exception is None
    assert result.return_value == 1
    assert "out of bounds: SRCC, cosine on tid at tiny/epoch_1.pt: moved by " in result.stdout
    assert "cifar" not in result.stdout


def test_a_screening_precision_is_reported_on_and_not_judged(verify: Verify) -> None:
    body = body_of(
        verify("--engine", "careless", "--precision", "bf16", "--json", "--tasks", "iqa")
    )
    assert body["exit_code"] == 0
    (told,) = body["sentences"]
    moved = numbers(body, "SRCC, cosine", "shift")
    assert max(map(abs, moved)) > 1e-4
    assert "drifts by" in told


@pytest.mark.parametrize("engine", BF16)
def test_bf16_moves_scores_and_says_so(
    verify: Verify, engine: str, run_folder: Path, data: tuple[str, ...], tmp_path: Path
) -> None:
    options = {"engine": engine, "precision": "bf16"}
    body = body_of(verify(*(f"--{key}={value}" for key, value in options.items()), "--json"))
    assert (body["engine"], body["precision"], body["exit_code"]) == (engine, "bf16", 0)
    bound = SLACK * TOLERANCE["bf16"]
    assert all(1e-4 < c["relative_l2"] < bound for c in body["checkpoints"])
    moved = np.abs(numbers(body, "SRCC, rmse", "shift"))
    assert 0 < moved.max() < 0.2
    assert all(0.8 < share <= 1 for share in numbers(body, "decisions alike, clean", "found"))
    assert body["sentences"][0].startswith("Screening costs, tiny (tiny): SRCC moved by up to ")
    rows = fastclip.sweep(
        run_folder, tmp_path / "out", data=data[:1], tasks="iqa", every=4, workers=1, **options
    )
    assert rows["flag"].str.endswith("screening").all()


def test_a_checkpoint_that_fails_is_told_and_the_others_are_compared(
    verify: Verify, tmp_path: Path
) -> None:
    run = make_run(tmp_path, epochs=2)
    state = tiny_state(1)
    save_checkpoint(run / "epoch_1.pt", 1, {k: torch.full_like(v, float("nan")) if
                    v.is_floating_point() else v for k, v in state.items()})  # fmt: skip
    result = verify("--engine", "onnxruntime", "--tasks", "iqa", run=run)
    assert result.return_value == 1
    assert "failed: tiny/epoch_1.pt: " in result.stdout
    assert "last, step 20" in result.stdout


def test_the_reference_is_not_compared_with_itself(verify: Verify) -> None:
    result = verify("--engine", "torch", "--tasks", "iqa", "--every", "9")
    assert isinstance(result.exception, UsageError)
    assert "torch fp32 is the reference itself" in str(result.exception)


def test_options_are_those_of_sweep() -> None:
    assert set(AS_IN_SWEEP) <= {p.name for p in sweep_command.params}
    names = [p.name for p in command.params]
    assert len(names) == len(set(names))
