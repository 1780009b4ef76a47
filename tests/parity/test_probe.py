"""The probe passes right engines and no wrong one."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from cpu_engines import ON_CPU
from saboteurs import SABOTEURS, DropsBias
from tiny_towers import tiny_towers

from fastclip.engines import ENGINES
from fastclip.engines.base import Shapes
from fastclip.engines.onnxruntime_engine import OnnxRuntimeEngine
from fastclip.parity.base import TOLERANCE
from fastclip.parity.compare import relative_l2
from fastclip.parity.inputs import random_pictures, token_rows
from fastclip.parity.probe import probe, probe_once, random_state
from fastclip.towers.module import build_module
from fastclip.towers.recipes import pack

SHAPES = Shapes(image_batch=4, text_batch=4)


@pytest.mark.parametrize("kind", ["vit", "whole-context"])
@pytest.mark.parametrize("name", ON_CPU)
def test_right_engines_pass(name: str, kind: str) -> None:
    towers = tiny_towers(kind)
    with ENGINES.get(name)(threads=1) as engine:
        engine.open(towers, SHAPES)
        found = probe(engine, towers, SHAPES)
    assert found.passed, found.explain()
    assert set(found.figures) == {"image_relative_l2", "text_relative_l2"}
    # A factor of ten to spare, or real towers would be refused for their rounding.
    assert max(found.figures.values()) < TOLERANCE["fp32"] / 10


@pytest.mark.parametrize("saboteur", SABOTEURS)
def test_wrong_engines_fail(saboteur: type[OnnxRuntimeEngine]) -> None:
    towers = tiny_towers("vit")
    with saboteur(threads=1) as engine:
        engine.open(towers, SHAPES)
        found = probe(engine, towers, SHAPES)
    assert not found.passed
    assert "relative_l2" in found.explain()


def test_every_tensor_shows_when_it_is_dropped_or_stale() -> None:
    """Left from the state before, or (biases) zeroed: a hundred times the bound at least."""
    towers = tiny_towers("vit")
    assert towers.text is not None
    module = build_module(towers)
    pictures = random_pictures(3, 32, 32)
    ids, eot = token_rows(module, 4, 20)
    # Positions that no prompt reaches do not matter; the first of these fills its row.
    assert eot[0] == 19
    with OnnxRuntimeEngine(threads=1) as engine:
        engine.open(towers, SHAPES)
        packed, before = (pack(towers.manifest, random_state(towers, seed)) for seed in (2, 1))
        handle = engine.place(pictures)

        def embeddings(part: str, weights: dict[str, np.ndarray]) -> np.ndarray:
            engine.load(weights)
            if part == "visual":
                return engine.fetch(engine.encode_images(handle, 0, 3))
            return engine.fetch(engine.encode_texts(ids, eot))

        smallest = np.inf
        for part, graph in (("visual", towers.visual), ("text", towers.text)):
            right = embeddings(part, packed)
            for name in graph.initializers:
                dropped = [np.zeros_like(packed[name])] if name.endswith("bias") else []
                for wrong in [before[name], *dropped]:
                    found = embeddings(part, {**packed, name: wrong})
                    smallest = min(smallest, relative_l2(found, right))
    assert smallest > 100 * TOLERANCE["fp32"]


def test_a_trained_model_would_hide_a_dropped_bias() -> None:
    """Biases near zero, as at the start of training: wrong engine, right numbers."""
    towers = tiny_towers("vit")
    state = {
        name: array * np.float32(1e-6 if name.endswith("bias") else 1)
        for name, array in random_state(towers, 1).items()
    }
    found = []
    for kind in (OnnxRuntimeEngine, DropsBias):
        with kind(threads=1) as engine:
            engine.open(towers, SHAPES)
            engine.load(pack(towers.manifest, state))
            handle = engine.place(random_pictures(3, 32, 32))
            found.append(engine.fetch(engine.encode_images(handle, 0, 3)))
    assert relative_l2(*found) < TOLERANCE["fp32"]


def test_a_pass_is_remembered_and_a_failure_is_not(
    own_cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    towers = tiny_towers("vit")
    with OnnxRuntimeEngine(threads=1) as engine, DropsBias(threads=1) as wrong:
        engine.open(towers, SHAPES)
        wrong.open(towers, SHAPES)
        assert not probe_once(wrong, towers, SHAPES, own_cache).passed
        assert not own_cache.exists()
        first = probe_once(engine, towers, SHAPES, own_cache)
        monkeypatch.setattr(engine, "load", lambda packed: pytest.fail("probed again"))
        assert probe_once(engine, towers, SHAPES, own_cache) == first
        with pytest.raises(pytest.fail.Exception, match="probed again"):
            probe_once(engine, towers, Shapes(2, 4), own_cache)


def test_random_states_are_under_the_checkpoints_names() -> None:
    towers = tiny_towers("vit")
    state = random_state(towers, 1)
    assert set(state) == set(towers.manifest.needed) | set(towers.module_manifest.needed)
    biases = np.concatenate([array for name, array in state.items() if name.endswith("bias")])
    assert biases.std() > 0.45
    other = random_state(towers, 2)
    assert all((state[name] != other[name]).any() for name in state)
    arrays = [(array.shape, array.tobytes()) for array in state.values()]
    assert len(set(arrays)) == len(arrays)
