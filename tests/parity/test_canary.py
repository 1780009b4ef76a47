"""The canary after every swap."""

from __future__ import annotations

import numpy as np
import pytest
from cpu_engines import ON_CPU
from saboteurs import (
    DropsBias,
    KeepsEverything,
    KeepsOneTensor,
    ReturnsNaN,
    ReturnsZero,
    SwapsTwoTensors,
)
from tiny_towers import tiny_towers

from fastclip.engines import ENGINES
from fastclip.engines.base import Engine, Shapes
from fastclip.engines.onnxruntime_engine import OnnxRuntimeEngine
from fastclip.parity.base import ParityReport
from fastclip.parity.canary import Canary
from fastclip.parity.compare import pair_distances, relative_l2
from fastclip.parity.inputs import PAIRS, smooth_pairs
from fastclip.parity.probe import random_state
from fastclip.towers.recipes import pack

SHAPES = Shapes(image_batch=4, text_batch=4)
State = dict[str, np.ndarray]


def states() -> list[State]:
    return [random_state(tiny_towers("vit"), seed) for seed in (3, 4)]


def check(engine: Engine, *checkpoints: State) -> list[ParityReport]:
    """Load checkpoints one after the other and ask the canary after each."""
    towers = tiny_towers("vit")
    engine.open(towers, SHAPES)
    canary = Canary(towers, SHAPES, engine.precision)
    reports = []
    for state in checkpoints:
        engine.load(pack(engine.manifest(towers), state))
        reports.append(canary.check(engine, pack(towers.module_manifest, state)))
    return reports


@pytest.mark.parametrize("name", ON_CPU)
def test_right_engines_pass_every_swap(name: str) -> None:
    a, b = states()
    with ENGINES.get(name)(threads=1) as engine:
        reports = check(engine, a, b, b, a)
    assert all(report.passed for report in reports), [report.explain() for report in reports]
    assert set(reports[0].figures) == {
        "image_relative_l2",
        "image_pair_distance",
        "image_stale",
        "text_relative_l2",
        "text_stale",
    }


@pytest.mark.parametrize(
    ("saboteur", "figure"),
    [
        (DropsBias, "image_relative_l2"),
        (KeepsOneTensor, "image_relative_l2"),
        (KeepsEverything, "image_stale"),
        (KeepsEverything, "text_stale"),
        (SwapsTwoTensors, "image_pair_distance"),
        (ReturnsNaN, "image_relative_l2"),
        (ReturnsZero, "text_relative_l2"),
    ],
)
def test_wrong_engines_fail(saboteur: type[OnnxRuntimeEngine], figure: str) -> None:
    with saboteur(threads=1) as engine:
        second = check(engine, *states())[1]
    assert not second.passed
    assert figure in second.explain()


def test_a_small_step_of_training_shows_as_stale() -> None:
    """The error is far within the bound, yet the bytes are the last checkpoint's."""
    (a, _) = states()
    b = {name: array * np.float32(1 + 1e-6) for name, array in a.items()}
    with KeepsEverything(threads=1) as engine:
        second = check(engine, a, b)[1]
    assert second.figures["image_relative_l2"] < second.bounds["image_relative_l2"]
    assert second.figures["image_stale"] == 1
    assert not second.passed


def test_nan_weights_fail() -> None:
    (a, b) = states()
    b["visual.proj"] = np.full_like(b["visual.proj"], np.nan)
    towers = tiny_towers("vit")
    with OnnxRuntimeEngine(threads=1) as engine:
        engine.open(towers, SHAPES)
        canary = Canary(towers, SHAPES, "fp32")
        engine.load(pack(towers.manifest, a) | {"visual/proj": b["visual.proj"]})
        report = canary.check(engine, {**pack(towers.module_manifest, a)})
    assert not report.passed
    assert "image_relative_l2 nan" in report.explain()


def test_a_checkpoint_that_comes_again_after_a_stale_one_is_no_false_alarm() -> None:
    towers = tiny_towers("vit")
    a, b = states()
    with OnnxRuntimeEngine(threads=1) as engine:
        engine.open(towers, SHAPES)
        canary = Canary(towers, SHAPES, "fp32")
        engine.load(pack(towers.manifest, a))
        assert canary.check(engine, pack(towers.module_manifest, a)).passed
        assert not canary.check(engine, pack(towers.module_manifest, b)).passed
        assert canary.check(engine, pack(towers.module_manifest, a)).passed


def test_a_collapsed_model_is_no_false_alarm() -> None:
    """Every picture the same embedding but for rounding: distances are below the floor."""
    (a, _) = states()
    a["visual.conv1.weight"] = a["visual.conv1.weight"] * np.float32(1e-7)
    with OnnxRuntimeEngine(threads=1) as engine:
        (report,) = check(engine, a)
    assert report.passed, report.explain()


def test_without_prompts_the_text_tower_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    towers = tiny_towers("vit")
    (a, _) = states()
    with OnnxRuntimeEngine(threads=1) as engine:
        engine.open(towers, SHAPES)
        canary = Canary(towers, SHAPES, "fp32", text=False)
        engine.load(pack(towers.manifest, a))
        monkeypatch.setattr(OnnxRuntimeEngine, "encode_texts", None)
        report = canary.check(engine, pack(towers.module_manifest, a))
    assert not any(name.startswith("text") for name in report.figures)


def test_the_canary_lets_the_checkpoint_go() -> None:
    """It must not keep a second copy of the weights while pictures are encoded."""
    import sys

    towers = tiny_towers("vit")
    (a, _) = states()
    module_tensors = pack(towers.module_manifest, a)
    held = {name: sys.getrefcount(array) for name, array in module_tensors.items()}
    with OnnxRuntimeEngine(threads=1) as engine:
        engine.open(towers, SHAPES)
        canary = Canary(towers, SHAPES, "fp32")
        engine.load(pack(towers.manifest, a))
        canary.check(engine, module_tensors)
        engine.close()
    assert {name: sys.getrefcount(array) for name, array in module_tensors.items()} == held


def test_pictures_are_pairs_with_mild_distances() -> None:
    pictures = smooth_pairs(32, 48)
    assert pictures.shape == (2 * PAIRS, 32, 48, 3)
    first, second = (half.astype(float) for half in np.split(pictures, 2))
    difference = np.sqrt(np.mean((first - second) ** 2, axis=(1, 2, 3)))
    assert ((difference > 3) & (difference < 15)).all()
    assert first.std() > 30


def test_figures_against_a_plain_formula() -> None:
    generator = np.random.default_rng(0)
    a, b = generator.normal(size=(2, 5, 8)).astype(np.float32)
    both = np.concatenate([a, b])
    cosine = np.sum(a * b, 1) / np.linalg.norm(a, axis=1) / np.linalg.norm(b, axis=1)
    np.testing.assert_allclose(pair_distances(both), 1 - cosine, rtol=1e-5)
    assert relative_l2(b * 1.5, b) == pytest.approx(0.5)
    assert np.isnan(relative_l2(b * np.nan, b))
