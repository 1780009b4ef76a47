"""What is OpenVINO's own: it may be missing, it compiles for one shape, and it keeps no weights."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from tiny_towers import tiny_towers

from fastclip.engines import openvino_engine
from fastclip.engines.base import Shapes
from fastclip.engines.openvino_engine import OpenVinoEngine
from fastclip.errors import EngineError, RefusalError
from fastclip.parity.probe import random_state
from fastclip.sweeper.choose import refuse_absent
from fastclip.sweeper.config import SweepConfig
from fastclip.towers.recipes import pack


def test_where_it_is_not_installed_it_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(openvino_engine, "find_spec", lambda name: None)
    config = SweepConfig(("x.pt",), Path("out"), engine="openvino")
    with pytest.raises(RefusalError, match=r"pip install 'fastclip\[openvino\]'"):
        refuse_absent(config, None)


def test_a_processor_without_bf16_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """OpenVINO would compute in fp32, and rows would say bf16."""
    monkeypatch.setattr(OpenVinoEngine, "_capabilities", lambda self: ["FP32", "INT8"])
    towers = tiny_towers("vit", text=False)
    with (
        OpenVinoEngine(threads=1, precision="bf16") as engine,
        pytest.raises(EngineError, match="does not compute in bf16"),
    ):
        engine.open(towers, Shapes(4, 4))


def test_a_set_smaller_than_a_batch_gives_the_bytes_of_a_larger_one() -> None:
    towers = tiny_towers("vit", text=False)
    pictures = np.random.default_rng(0).integers(0, 256, (6, 32, 32, 3), dtype=np.uint8)
    with OpenVinoEngine(threads=2) as engine:
        engine.open(towers, Shapes(4, 4))
        engine.load(pack(engine.manifest(towers), random_state(towers, 1)))
        whole, part = engine.place(pictures), engine.place(pictures[:2])
        found = engine.fetch(engine.encode_images(part, 0, 2))
        np.testing.assert_array_equal(found, engine.fetch(engine.encode_images(whole, 0, 4))[:2])


def test_every_weight_is_a_constant_of_what_is_compiled() -> None:
    """The template has none: what is compiled has only the pictures or prompts for inputs."""
    towers = tiny_towers("vit")
    with OpenVinoEngine(threads=1) as engine:
        engine.open(towers, Shapes(4, 4))
        for part, graph in towers.graphs.items():
            parameters = {p.get_friendly_name() for p in engine._models[part].get_parameters()}
            assert parameters == {*graph.inputs, *graph.initializers}
        sessions = engine.prepare(pack(engine.manifest(towers), random_state(towers, 1)))
        for part, graph in towers.graphs.items():
            compiled = sessions.by_part[part]._compiled  # type: ignore[attr-defined]
            assert {port.any_name for port in compiled.inputs} == set(graph.inputs)
