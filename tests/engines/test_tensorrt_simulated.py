"""The TensorRT engine, all of it, on a stand-in for TensorRT that can fail as TensorRT has."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from engines.tensorrt_standin.faults import SEEN, set_faults
from engines.tensorrt_standin.module import install
from engines.tensorrt_standin.reach import Reach
from engines.tensorrt_standin.simulated import SimulatedTensorRT, own_graphs
from tiny_towers import tiny_towers

from fastclip.engines.base import Shapes
from fastclip.engines.tensorrt import build, library, refit, tower
from fastclip.engines.tensorrt import engine as engine_module
from fastclip.engines.tensorrt.network import Network, network_of
from fastclip.errors import EngineError, UsageError
from fastclip.parity.base import ParityReport
from fastclip.parity.canary import Canary
from fastclip.parity.probe import probe, probe_once, random_state
from fastclip.towers.base import TowerGraph, Towers
from fastclip.towers.recipes import pack

SHAPES = Shapes(image_batch=4, text_batch=4)
PICTURES = np.random.default_rng(0).integers(0, 256, (7, 32, 32, 3), dtype=np.uint8)
IDS = np.random.default_rng(1).integers(1, 80, (3, 20))
EOT = np.array([19, 5, 11])
IDS[np.arange(3), EOT] = 89

BIAS = "visual/transformer.resblocks.0.mlp.c_fc.bias"
NORMS = ("visual/transformer.resblocks.0.ln_1.weight", "visual/transformer.resblocks.1.ln_1.weight")


HOLDERS = {"build": build, "library": library, "refit": refit, "tower": tower}
"""The modules that hold TensorRT's objects."""

RAN: set[str] = set()


@pytest.fixture(scope="module", autouse=True)
def reach() -> Iterator[Reach]:
    """What the modules that deal with TensorRT do in all tests of this file."""
    with Reach(list(HOLDERS.values())) as reach:
        yield reach


@pytest.fixture(scope="module")
def networks() -> dict[Any, Any]:
    return {}


@pytest.fixture(autouse=True)
def standin(
    monkeypatch: pytest.MonkeyPatch, networks: dict[Any, Any], request: pytest.FixtureRequest
) -> None:
    """Every test has a TensorRT of its own; a network is folded once for all of them."""
    install(monkeypatch)
    RAN.add(request.function.__name__)

    def folded_once(graph: TowerGraph, batch: int) -> Network:
        key = graph.digest, batch
        if key not in networks:
            networks[key] = network_of(graph, batch)
        return networks[key]

    monkeypatch.setattr(engine_module, "network_of", folded_once)


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


@pytest.fixture
def plans(towers: Towers) -> Callable[[], list[Path]]:
    """The files of the plans that are kept."""
    return lambda: sorted((towers.visual.path.parent / "plans").glob("*.plan"))


def opened(towers: Towers, precision: str = "fp32") -> SimulatedTensorRT:
    engine = SimulatedTensorRT(precision=precision)
    engine.open(towers, SHAPES)
    return engine


def load(engine: SimulatedTensorRT, towers: Towers, seed: int) -> None:
    state = engine.upload(random_state(towers, seed))
    engine.load(pack(engine.manifest(towers), state))


def images(engine: SimulatedTensorRT) -> np.ndarray:
    handle = engine.place(PICTURES)
    batches = [engine.encode_images(handle, lo, min(lo + 4, 7)) for lo in (0, 4)]
    return engine.fetch(*batches)


def texts(engine: SimulatedTensorRT) -> np.ndarray:
    return engine.fetch(engine.encode_texts(IDS, EOT))


# What it computes


@pytest.mark.parametrize("precision", ["fp32", "fp16"])
@pytest.mark.parametrize("kind", ["vit", "whole-context", "resnet"])
def test_reproduces_open_clip(kind: str, precision: str, tmp_path: Path) -> None:
    towers = tiny(kind, tmp_path, precision)
    with opened(towers, precision) as engine:
        report = probe(engine, towers, SHAPES)
    assert report.passed, report.explain()
    assert len(report.figures) == 2
    # BatchNorm's weights are the parser's own, and are refitted through it.
    assert SEEN.locations == ({"HOST", "DEVICE"} if kind == "resnet" else {"DEVICE"})


@pytest.mark.parametrize("precision", ["fp32", "fp16"])
def test_weights_come_and_go(towers: Towers, precision: str) -> None:
    found = []
    with opened(towers, precision) as engine:
        for seed in (1, 2, 1):
            load(engine, towers, seed)
            found.append((images(engine), texts(engine)))
    for before, between, after in zip(*found, strict=True):
        np.testing.assert_array_equal(before, after)
        assert np.abs(between - before).max() > 0.1


def test_rows_do_not_depend_on_padding(towers: Towers) -> None:
    with opened(towers) as engine:
        load(engine, towers, 1)
        handle = engine.place(PICTURES)
        full = engine.fetch(engine.encode_images(handle, 0, 4))
        np.testing.assert_array_equal(engine.fetch(engine.encode_images(handle, 0, 3)), full[:3])
        few = engine.place(PICTURES[:2])
        np.testing.assert_array_equal(engine.fetch(engine.encode_images(few, 0, 2)), full[:2])
        short = engine.fetch(engine.encode_texts(IDS[1:2, :6], EOT[1:2]))
        np.testing.assert_allclose(short, texts(engine)[1:2], atol=1e-5)


def test_outputs_stay_when_others_follow(towers: Towers) -> None:
    """The output buffer is one: what was returned must be a copy."""
    with opened(towers) as engine:
        load(engine, towers, 1)
        handle = engine.place(PICTURES)
        first = engine.encode_images(handle, 0, 4)
        before = engine.fetch(first)
        engine.encode_images(handle, 4, 7)
        np.testing.assert_array_equal(engine.fetch(first), before)


def test_checkpoints_may_be_freed_once_loaded(towers: Towers) -> None:
    with opened(towers) as engine:
        packed = pack(engine.manifest(towers), engine.upload(random_state(towers, 1)))
        engine.load(packed)
        before = images(engine)
        for tensor in packed.values():
            tensor.fill_(7)
        np.testing.assert_array_equal(images(engine), before)


@pytest.mark.parametrize("said", ["missing", "unexpected", "of another shape"])
def test_every_tensor_must_be_supplied(towers: Towers, said: str) -> None:
    with opened(towers) as engine:
        packed = dict(pack(engine.manifest(towers), random_state(towers, 1)))
        name = "spare" if said == "unexpected" else next(n for n in packed if n.endswith(BIAS))
        if said == "missing":
            del packed[name]
        else:
            packed[name] = np.zeros(1, np.float32)
        with pytest.raises(EngineError, match=f"1 packed tensors are {said}: {name}"):
            engine.load(packed)
        with pytest.raises(EngineError, match="no weights are loaded"):
            images(engine)


def test_settings_are_checked_and_described(towers: Towers) -> None:
    with pytest.raises(UsageError, match="'int8'"):
        SimulatedTensorRT(precision="int8")
    described = opened(towers).describe()
    assert described["tensorrt"] == "11.4.0.106"
    assert described["precision"] == "fp32"


# One build, whatever the number of checkpoints


def test_one_build_serves_all_checkpoints(towers: Towers) -> None:
    with opened(towers) as engine:
        for seed in range(5):
            load(engine, towers, seed)
            images(engine)
    assert len(SEEN.builds) == 2
    assert SEEN.refits == 5


@pytest.mark.parametrize(("precision", "kinds"), [("fp32", {"float32"}),
                                                  ("fp16", {"float16", "float32"})])  # fmt: skip
def test_types_are_those_of_the_graph(towers: Towers, precision: str, kinds: set[str]) -> None:
    with opened(towers, precision):
        for built in SEEN.builds:
            assert built == {"REFIT", "STRONGLY_TYPED"} | kinds


def test_the_next_open_loads_the_plans(towers: Towers, plans: Callable[[], list[Path]]) -> None:
    with opened(towers) as engine:
        load(engine, towers, 1)
        first = images(engine), texts(engine)
    kept = {path: path.stat().st_mtime_ns for path in plans()}
    assert len(kept) == 2
    with opened(towers) as engine:
        load(engine, towers, 1)
        second = images(engine), texts(engine)
    assert len(SEEN.builds) == 2
    assert {path: path.stat().st_mtime_ns for path in plans()} == kept
    for before, after in zip(first, second, strict=True):
        np.testing.assert_array_equal(before, after)


def test_other_uses_need_other_plans(
    towers: Towers, plans: Callable[[], list[Path]], monkeypatch: pytest.MonkeyPatch
) -> None:
    opened(towers).close()
    opened(towers, "fp16").close()
    assert len(plans()) == 4
    with SimulatedTensorRT() as engine:
        engine.open(towers, Shapes(2, 2))
    assert len(plans()) == 6
    for changed in ({"driver": "580.1"}, {"gpu": "another"}):
        monkeypatch.setattr(engine_module, "machine", lambda device, new=changed: new)
        opened(towers).close()
    monkeypatch.setattr(library.tensorrt(), "__version__", "11.5.0.1")
    opened(towers).close()
    assert len(plans()) == 12
    assert SEEN.refused_plans == 0


def test_the_times_of_kernels_are_kept(towers: Towers, plans: Callable[[], list[Path]]) -> None:
    opened(towers).close()
    assert SEEN.timed == 0
    for plan in plans():
        plan.unlink()
    opened(towers).close()
    assert len(SEEN.builds) == 4
    assert SEEN.timed == 2


# Plans that are not to be loaded


def cut(plan: Path) -> None:
    plan.write_bytes(plan.read_bytes()[:-1])


def change(plan: Path) -> None:
    data = bytearray(plan.read_bytes())
    data[len(data) // 2] ^= 1
    plan.write_bytes(data)


def let_others_write(plan: Path) -> None:
    plan.chmod(0o666)


def exchange(plan: Path) -> None:
    """A plan, whole and well sealed, for another use."""
    other = next(path for path in plan.parent.glob("*.plan") if path != plan)
    for ending in ("", ".json"):
        data = other.with_name(other.name + ending).read_bytes()
        plan.with_name(plan.name + ending).write_bytes(data)


@pytest.mark.parametrize("alter", [cut, change, let_others_write, exchange])
def test_a_plan_that_is_not_as_it_was_saved_is_rebuilt(
    towers: Towers, plans: Callable[[], list[Path]], alter: Callable[[Path], None]
) -> None:
    opened(towers).close()
    loaded = SEEN.deserialised
    alter(plans()[0])
    with opened(towers) as engine:
        # TensorRT never saw the altered one.
        assert SEEN.refused_plans == 0
        assert len(SEEN.builds) == 3
        assert SEEN.deserialised == loaded + 2
        assert probe(engine, towers, SHAPES).passed
    opened(towers).close()
    assert len(SEEN.builds) == 3


@pytest.mark.parametrize(("what", "value"), [("gpu", "another GPU"), ("version", "11.5.0.1")])
def test_a_plan_that_tensorrt_refuses_is_rebuilt(towers: Towers, what: str, value: str) -> None:
    """As where two GPUs pass for one, or libraries were exchanged under one version."""
    opened(towers).close()
    set_faults(**{what: value})
    with opened(towers) as engine:
        assert SEEN.refused_plans == 2
        assert len(SEEN.builds) == 4
        assert probe(engine, towers, SHAPES).passed
    opened(towers).close()
    assert len(SEEN.builds) == 4


# What TensorRT has done wrong


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


# Whether it is here at all


def test_a_builder_that_there_is_not(towers: Towers, monkeypatch: pytest.MonkeyPatch) -> None:
    def no_builder(logger: Any) -> None:
        raise TypeError("pybind11::init(): factory function returned nullptr")

    monkeypatch.setattr(library.tensorrt(), "Builder", no_builder)
    with pytest.raises(EngineError, match=r"cannot build on this machine \(pybind11"):
        opened(towers)


def test_it_is_said_how_to_install_it(monkeypatch: pytest.MonkeyPatch) -> None:
    assert SimulatedTensorRT.unavailable("cpu") is None
    assert "not on cuda" in str(SimulatedTensorRT.unavailable("cuda"))
    monkeypatch.delitem(sys.modules, "tensorrt")
    monkeypatch.setattr(library, "find_spec", lambda name: None)
    assert "pip install" in str(SimulatedTensorRT.unavailable("cpu"))


def test_versions_that_lose_biases_are_not_used() -> None:
    assert library.unfit_version("11.4.0.106") is None
    assert library.unfit_version("10.16.1.11") is None
    assert "may drop biases" in str(library.unfit_version("11.3.0.99"))
    assert "too old" in str(library.unfit_version("8.6.0"))


def test_the_trial_in_another_process_calls_tensorrt_by_its_names(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("torch.cuda.set_device", lambda index: None)
    exec(library._TRY.format(index=0), {})
    assert capsys.readouterr().out == "version 11.4.0.106\nbuilder True\n"


@pytest.mark.parametrize(
    ("code", "out", "err", "said"),
    [
        (0, "version 11.4.0.106\nbuilder True\n", "", None),
        (1, "version 11.4.0.106\n", "Traceback\nTypeError: nullptr", "TypeError: nullptr"),
        (1, "", "", "does not say why"),
        (-11, "version 11.4.0.106\n", "", "signal 11"),
        (0, "version 11.2.0.1\nbuilder True\n", "", "may drop biases"),
    ],
)
def test_a_trial_in_another_process(
    monkeypatch: pytest.MonkeyPatch, code: int, out: str, err: str, said: str | None
) -> None:
    done = subprocess.CompletedProcess([], code, out, err)
    monkeypatch.setattr(subprocess, "run", lambda *args, **keywords: done)
    library.does_not_work.cache_clear()
    found = library.does_not_work("cuda:1")
    library.does_not_work.cache_clear()
    assert found is None if said is None else said in str(found)


def test_everything_that_may_touch_tensorrt_was_reached(reach: Reach) -> None:
    """With the conformance test: whatever fastclip calls of TensorRT, TensorRT has."""
    tests = {name for name in globals() if name.startswith("test_")}
    if tests - RAN:
        pytest.skip("shown where all tests of this file run in one process")
    assert not reach.missed()
    for path in Path(str(library.__file__)).parent.glob("*.py"):
        if path.stem not in HOLDERS:
            assert not re.search(r"\btrt\b|\btensorrt\(\)", path.read_text()), path
