"""The TensorRT engine, all of it, on a stand-in for TensorRT: what it computes, what it keeps."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from engines.tensorrt_standin.faults import SEEN, set_faults
from engines.tensorrt_standin.module import install
from engines.tensorrt_standin.simulated import (
    EOT,
    IDS,
    PICTURES,
    SHAPES,
    SimulatedTensorRT,
    fold_once,
    images,
    load,
    opened,
    own_graphs,
    texts,
)
from tiny_towers import tiny_towers

from fastclip.engines.base import Shapes
from fastclip.engines.tensorrt import engine as engine_module
from fastclip.engines.tensorrt import library
from fastclip.errors import EngineError, UsageError
from fastclip.parity.probe import probe, random_state
from fastclip.towers.base import Towers
from fastclip.towers.recipes import pack

BIAS = "visual/transformer.resblocks.0.mlp.c_fc.bias"


@pytest.fixture(autouse=True)
def standin(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every test has a TensorRT of its own."""
    install(monkeypatch)
    fold_once(monkeypatch)


@pytest.fixture
def towers(tmp_path: Path) -> Towers:
    """A tiny ViT for which no plan was built yet."""
    return own_graphs(tiny_towers("vit"), tmp_path / "graphs", "fp16")


@pytest.fixture
def plans(towers: Towers) -> Callable[[], list[Path]]:
    """The files of the plans that are kept."""
    return lambda: sorted((towers.visual.path.parent / "plans").glob("*.plan"))


# What it computes


@pytest.mark.parametrize("precision", ["fp32", "fp16"])
@pytest.mark.parametrize("kind", ["vit", "whole-context", "resnet"])
def test_reproduces_open_clip(kind: str, precision: str, tmp_path: Path) -> None:
    towers = own_graphs(tiny_towers(kind), tmp_path / "graphs", precision)
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
        monkeypatch.setattr(engine_module, "device_identity", lambda device, new=changed: new)
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
