"""The TensorRT engine where TensorRT fails as it has failed; and that all of it was tried."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from engines.tensorrt_standin.faults import SEEN, set_faults
from engines.tensorrt_standin.module import install
from engines.tensorrt_standin.reach import Reach
from engines.tensorrt_standin.simulated import (
    SHAPES,
    SimulatedTensorRT,
    fold_once,
    images,
    load,
    opened,
    own_graphs,
)
from tiny_towers import tiny_towers

from fastclip.engines.tensorrt import build, library, refit, tower
from fastclip.engines.tensorrt import engine as engine_module
from fastclip.engines.tensorrt.network import Network, network_of
from fastclip.errors import EngineError
from fastclip.parity.base import ParityReport
from fastclip.parity.canary import Canary
from fastclip.parity.probe import probe, probe_once, random_state
from fastclip.towers.base import TowerGraph, Towers
from fastclip.towers.recipes import pack

BIAS = "visual/transformer.resblocks.0.mlp.c_fc.bias"
NORMS = ("visual/transformer.resblocks.0.ln_1.weight", "visual/transformer.resblocks.1.ln_1.weight")

HOLDERS = {"build": build, "library": library, "refit": refit, "tower": tower}
"""The modules that hold TensorRT's objects."""

WITHOUT = ("not_installed", "unfit_version", "does_not_work")
"""Functions of theirs that hold none: what they know of TensorRT is text."""

RAN: set[str] = set()


@pytest.fixture(scope="module", autouse=True)
def reach() -> Iterator[Reach]:
    """What the modules that hold TensorRT's objects do in all tests of this file."""
    with Reach(list(HOLDERS.values()), WITHOUT) as reach:
        yield reach


@pytest.fixture(autouse=True)
def standin(monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> None:
    """Every test has a TensorRT of its own."""
    install(monkeypatch)
    fold_once(monkeypatch)
    RAN.add(request.function.__name__)


def tiny(kind: str, tmp_path: Path, precision: str = "fp32") -> Towers:
    """Towers for which no plan was built yet."""
    # The export would take twice as long.
    traced = sys.gettrace()
    sys.settrace(None)
    try:
        return own_graphs(tiny_towers(kind), tmp_path / "graphs", precision)
    finally:
        sys.settrace(traced)


@pytest.fixture
def towers(tmp_path: Path) -> Towers:
    return tiny("vit", tmp_path, "fp16")


def test_a_dropped_bias_is_no_engine(towers: Towers) -> None:
    """Release notes of TensorRT 11.3: a GEMM bias may be zero, and not in the refit API."""
    set_faults(drops=BIAS)
    with pytest.raises(EngineError, match=rf"1 of \d+ weights cannot be changed.*{BIAS}"):
        opened(towers)


@pytest.mark.parametrize(
    "faults",
    [
        {"ignores": BIAS},
        {"merges": NORMS},
        {"keeps": NORMS[0], "keeps_at": lambda refit: refit == 2},
        {"keeps": NORMS[0], "keeps_at": lambda refit: refit == 3},
        {"nan": lambda refit: True},
        {"nan": lambda refit: refit == 2},
    ],
    ids=["ignored bias", "merged norms", "stale in B", "stale back in A", "NaN", "NaN once"],
)
@pytest.mark.parametrize("precision", ["fp32", "fp16"])
def test_the_probe_sees(towers: Towers, faults: dict[str, Any], precision: str) -> None:
    set_faults(**faults)
    with opened(towers, precision) as engine:
        report = probe(engine, towers, SHAPES)
    assert not report.passed
    assert "image_relative_l2" in report.explain()
    assert report.figures["text_relative_l2"] <= report.bounds["text_relative_l2"]


def test_a_plan_that_was_built_again_is_probed_again(towers: Towers, tmp_path: Path) -> None:
    with opened(towers) as engine:
        assert probe_once(engine, towers, SHAPES, tmp_path).passed
    set_faults(ignores=BIAS)
    with opened(towers) as engine:
        # Remembered: the plan is the one that passed.
        assert probe_once(engine, towers, SHAPES, tmp_path).passed
    set_faults(gpu="another GPU")
    with opened(towers) as engine:
        assert not probe_once(engine, towers, SHAPES, tmp_path).passed


def test_weights_that_would_be_merged_are_built_apart(towers: Towers) -> None:
    set_faults(merges_equal=True)
    with opened(towers) as engine:
        report = probe(engine, towers, SHAPES)
    assert report.passed, report.explain()


def swaps(engine: SimulatedTensorRT, towers: Towers, *seeds: int) -> list[ParityReport]:
    """Load checkpoints one after the other and ask the canary after each."""
    canary = Canary(towers, SHAPES, engine.precision)
    reports = []
    for seed in seeds:
        load(engine, towers, seed)
        reports.append(
            canary.check(engine, pack(towers.module_manifest, random_state(towers, seed)))
        )
    return reports


@pytest.mark.parametrize(
    ("faults", "figure"),
    [
        ({"ignores": BIAS}, "image_relative_l2"),
        ({"merges": NORMS}, "image_relative_l2"),
        ({"keeps": NORMS[0], "keeps_at": lambda refit: refit == 2}, "image_relative_l2"),
        ({"keeps": "", "keeps_at": lambda refit: refit == 2}, "image_stale"),
        ({"nan": lambda refit: refit == 2}, "image_relative_l2"),
    ],
    ids=["ignored bias", "merged norms", "one stale", "all stale", "NaN"],
)
def test_the_canary_sees(towers: Towers, faults: dict[str, Any], figure: str) -> None:
    set_faults(**faults)
    with opened(towers) as engine:
        _, second, third = swaps(engine, towers, 3, 4, 5)
    assert not second.passed
    assert figure in second.explain()
    if "keeps_at" in faults or "nan" in faults:
        assert third.passed, third.explain()


def test_a_refit_that_fails_once_is_made_good(towers: Towers) -> None:
    set_faults(refuses=lambda refit: refit == 2)
    with opened(towers) as engine:
        reports = swaps(engine, towers, 3, 4, 3)
        images(engine)
    assert all(report.passed for report in reports), [report.explain() for report in reports]
    assert SEEN.refits == 4
    assert len(SEEN.builds) == 2


def test_a_refit_that_fails_twice_fails_one_checkpoint(towers: Towers) -> None:
    set_faults(refuses=lambda refit: refit in (2, 3))
    with opened(towers) as engine:
        (first,) = swaps(engine, towers, 3)
        assert first.passed
        with pytest.raises(EngineError, match="made anew, and failed again"):
            load(engine, towers, 4)
        with pytest.raises(EngineError, match="no weights are loaded"):
            images(engine)
        (third,) = swaps(engine, towers, 3)
    assert third.passed, third.explain()


def test_a_build_that_fails_says_why(towers: Towers) -> None:
    set_faults(builds_nothing=True)
    with pytest.raises(EngineError, match=r"cannot build an engine.*could not find any implement"):
        opened(towers)


@pytest.mark.parametrize(
    ("answers", "said"),
    [
        ({"ICudaEngine.create_execution_context": None}, "no room to run"),
        ({"IExecutionContext.set_tensor_address": False}, "refuses to run"),
    ],
)
def test_what_tensorrt_refuses_to_open(towers: Towers, answers: dict[str, Any], said: str) -> None:
    set_faults(answers=answers)
    with pytest.raises(EngineError, match=said):
        opened(towers)


@pytest.mark.parametrize(
    ("answers", "said"),
    [
        ({"Refitter.set_named_weights": False}, "failed to take new weights"),
        ({"Refitter.get_missing_weights": ["a", "b"]}, "misses 2 weights after all were set: a, b"),
    ],
)
def test_what_tensorrt_refuses_to_take(towers: Towers, answers: dict[str, Any], said: str) -> None:
    with opened(towers) as engine:
        set_faults(answers=answers)
        with pytest.raises(EngineError, match=said):
            load(engine, towers, 1)
        set_faults(answers={})
        load(engine, towers, 1)


def test_what_tensorrt_refuses_to_run(towers: Towers) -> None:
    with opened(towers) as engine:
        load(engine, towers, 1)
        set_faults(answers={"IExecutionContext.execute_async_v3": False})
        with pytest.raises(EngineError, match="refuses to run"):
            images(engine)


def test_weights_of_another_type_are_no_engine(towers: Towers) -> None:
    trt = library.tensorrt()
    set_faults(answers={"Refitter.get_weights_prototype": trt.Weights(trt.float16, 0, 7)})
    with pytest.raises(EngineError, match=r"wants '.*' as 7 values of torch.float16"):
        opened(towers)


def test_a_graph_that_the_parser_refuses(towers: Towers, monkeypatch: pytest.MonkeyPatch) -> None:
    def spoilt(graph: TowerGraph, batch: int) -> Network:
        return replace(network_of(graph, batch), onnx=b"no model")

    monkeypatch.setattr(engine_module, "network_of", spoilt)
    with pytest.raises(EngineError, match=r"parser refuses the graph \(no ONNX model"):
        opened(towers)


def test_weights_that_the_parser_refuses(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    towers = tiny("resnet", tmp_path)
    with opened(towers) as engine:
        with monkeypatch.context() as patched:
            patched.setattr(refit, "with_weights", lambda network, weights: b"no model")
            with pytest.raises(EngineError, match="refuses the new weights: no ONNX model"):
                load(engine, towers, 1)
        load(engine, towers, 1)


def test_a_tower_that_is_too_large_for_one_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def too_large(network: Network, weights: Any) -> bytes:
        raise ValueError("Message ModelProto exceeds maximum protobuf size of 2GB")

    towers = tiny("resnet", tmp_path)
    monkeypatch.setattr(refit, "with_weights", too_large)
    with opened(towers) as engine, pytest.raises(EngineError, match=r"too large.*2GB"):
        load(engine, towers, 1)


def test_a_builder_that_there_is_not(towers: Towers, monkeypatch: pytest.MonkeyPatch) -> None:
    def no_builder(logger: Any) -> None:
        raise TypeError("pybind11::init(): factory function returned nullptr")

    monkeypatch.setattr(library.tensorrt(), "Builder", no_builder)
    with pytest.raises(EngineError, match=r"cannot build on this machine \(pybind11"):
        opened(towers)


def test_the_trial_in_another_process_calls_tensorrt_by_its_names(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("torch.cuda.set_device", lambda index: None)
    exec(library._TRY.format(index=0), {})
    assert capsys.readouterr().out == "version 11.4.0.106\nbuilder True\n"


def test_everything_that_may_touch_tensorrt_was_reached(reach: Reach) -> None:
    """With the conformance test: whatever fastclip calls of TensorRT, TensorRT has."""
    tests = {name for name in globals() if name.startswith("test_")}
    if tests - RAN:
        pytest.skip("shown where all tests of this file run in one process")
    assert not reach.missed()
    for path in Path(str(library.__file__)).parent.glob("*.py"):
        if path.stem not in HOLDERS:
            assert not re.search(r"\btrt\b|\btensorrt\(\)", path.read_text()), path
