"""Whether TensorRT can be used here, and when runs are captured."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from engines.tensorrt_standin.module import install
from engines.tensorrt_standin.simulated import SimulatedTensorRT, own_graphs
from tiny_towers import tiny_towers

from fastclip.engines.base import Shapes
from fastclip.engines.cuda.stream import Stream
from fastclip.engines.tensorrt import library
from fastclip.engines.tensorrt.engine import TensorRTEngine
from fastclip.errors import EngineError
from fastclip.parity.probe import random_state
from fastclip.towers.base import Towers
from fastclip.towers.recipes import pack

SHAPES = Shapes(image_batch=4, text_batch=4)
PICTURES = np.random.default_rng(0).integers(0, 256, (8, 32, 32, 3), dtype=np.uint8)


@pytest.fixture
def towers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Towers:
    install(monkeypatch)
    return own_graphs(tiny_towers("vit"), tmp_path / "graphs")


@pytest.fixture
def captures(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Gets an entry for every run that is captured."""
    captured: list[int] = []

    def capture(self: Stream, enqueue: Callable[[], None]) -> Callable[[], None]:
        captured.append(len(captured))
        return enqueue

    monkeypatch.setattr(Stream, "capture", capture)
    return captured


def load(engine: TensorRTEngine, towers: Towers, seed: int) -> None:
    engine.load(pack(engine.manifest(towers), random_state(towers, seed)))


def encode(engine: TensorRTEngine) -> None:
    handle = engine.place(PICTURES)
    for lo in (0, 4, 0, 4):
        engine.encode_images(handle, lo, lo + 4)
    ids = np.full((2, 20), 7)
    for length in (8, 16, 16):
        engine.encode_texts(ids[:, :length], np.array([3, 5]))


def test_a_run_is_captured_again_after_each_refit(towers: Towers, captures: list[int]) -> None:
    """The second run with new weights; prompts, whose lengths change, are run as they come."""
    with SimulatedTensorRT() as engine:
        engine.open(towers, SHAPES)
        for seed in (1, 2, 3):
            load(engine, towers, seed)
            encode(engine)
            assert len(captures) == seed


def test_a_gpu_run_may_try_without(towers: Towers, captures: list[int]) -> None:
    class Once(SimulatedTensorRT):
        recapture = False

    with Once() as engine:
        engine.open(towers, SHAPES)
        for seed in (1, 2):
            load(engine, towers, seed)
            encode(engine)
    assert len(captures) == 1


def test_a_weight_beyond_float16_is_named(towers: Towers) -> None:
    state = random_state(towers, 1)
    state["visual.transformer.resblocks.0.mlp.c_fc.bias"][3] = 70000
    with SimulatedTensorRT(precision="fp16") as engine:
        engine.open(towers, SHAPES)
        packed = pack(engine.manifest(towers), state)
        with pytest.raises(EngineError, match=r"c_fc\.bias' holds 70000, beyond float16's 65504"):
            engine.load(packed)


@pytest.mark.parametrize(
    ("extra", "said"), [("", None), ("tmp_weight_3", "misses 1 weights.*tmp_weight_3")]
)
def test_weights_that_the_graph_does_not_have(
    towers: Towers, monkeypatch: pytest.MonkeyPatch, extra: str, said: str | None
) -> None:
    """The parser's own numbers have no name and stay; what has one is wanted, and unknown."""
    refitter = library.tensorrt().Refitter
    known = refitter.get_all_weights
    monkeypatch.setattr(refitter, "get_all_weights", lambda self: [*known(self), extra])
    missing = [extra] if extra else []
    monkeypatch.setattr(refitter, "get_missing_weights", lambda self: missing)
    with SimulatedTensorRT() as engine:
        engine.open(towers, SHAPES)
        if said is None:
            load(engine, towers, 1)
            return
        with pytest.raises(EngineError, match=said):
            load(engine, towers, 1)


@pytest.mark.parametrize(
    ("version", "said"),
    [
        ("8.6.1", "too old"),
        ("10.13.2.6", "too old"),
        ("10.16.1.11", None),
        ("11.0.0.114", "may drop biases"),
        ("11.3.0.99", "may drop biases"),
        ("11.4.0.106", None),
        ("12.0.0", None),
    ],
)
def test_versions(version: str, said: str | None) -> None:
    reason = library.unfit_version(version)
    assert reason is None if said is None else said in str(reason) and version in str(reason)


def test_where_it_is_not_installed_it_says_where_from() -> None:
    if library.not_installed() is None:
        pytest.skip("TensorRT is installed")
    assert "NVIDIA's own package index" in str(TensorRTEngine.unavailable("cuda"))


def test_other_devices_are_refused() -> None:
    assert TensorRTEngine.unavailable("cpu") == "TensorRT runs on cuda, not on cpu"


@pytest.fixture
def tried(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str], str | None]]:
    """What is said of a TensorRT whose module has this text."""
    (tmp_path / "torch.py").write_text("class cuda:\n    set_device = staticmethod(print)\n")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))

    def said(text: str) -> str | None:
        library.does_not_work.cache_clear()
        (tmp_path / "tensorrt.py").write_text(text)
        return library.does_not_work("cuda:1")

    yield said
    library.does_not_work.cache_clear()


WORKS = """
__version__ = "11.4.0.106"
class Logger:
    ERROR = 1
    def __init__(self, severity): ...
class Builder:
    def __init__(self, logger): ...
"""


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (WORKS, None),
        (WORKS.replace("11.4.0.106", "11.3.0.99"), "may drop biases"),
        (
            WORKS + "def Builder(logger): raise TypeError('factory function returned nullptr')",
            "cuda:1: TypeError: factory function returned nullptr",
        ),
        (WORKS + "def Builder(logger): return None", "makes no builder"),
        (
            WORKS + "import os\ndef Builder(logger): os.kill(os.getpid(), 11)",
            "ends its process (signal 11)",
        ),
        ("raise ImportError('libnvinfer.so.11: no such file')", "libnvinfer.so.11: no such file"),
    ],
)
def test_it_is_tried_in_another_process(
    tried: Callable[[str], str | None], text: str, reason: str | None
) -> None:
    found = tried(text)
    assert found is None if reason is None else reason in str(found)
