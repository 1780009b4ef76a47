"""TensorRT itself, where it and a GPU are: what the stand-in cannot show."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from tiny_towers import tiny_towers

from fastclip.engines.base import Shapes
from fastclip.engines.tensorrt.engine import TensorRTEngine
from fastclip.parity.inputs import random_pictures
from fastclip.parity.probe import probe, random_state
from fastclip.towers.recipes import pack

SHAPES = Shapes(image_batch=4, text_batch=4)


class Replaying(TensorRTEngine):
    """Replays the graph that was captured with other weights."""

    recapture = False


@pytest.fixture(autouse=True)
def here() -> None:
    reason = TensorRTEngine.unavailable("cuda")
    if reason is not None:
        pytest.skip(reason)


def embeddings(engine: TensorRTEngine, seed: int) -> Any:
    """Of every picture, each batch run three times: directly, captured, replayed."""
    towers = tiny_towers("vit")
    state = engine.upload(random_state(towers, seed))
    engine.load(pack(engine.manifest(towers), state))
    handle = engine.place(random_pictures(SHAPES.image_batch, 32, 32))
    runs = [engine.fetch(engine.encode_images(handle, 0, SHAPES.image_batch)) for _ in range(3)]
    np.testing.assert_array_equal(runs[0], runs[1])
    np.testing.assert_array_equal(runs[0], runs[2])
    return runs[0]


@pytest.mark.gpu
@pytest.mark.parametrize("kind", ["vit", "whole-context", "resnet"])
@pytest.mark.parametrize("precision", TensorRTEngine.precisions)
def test_reproduces_open_clip(kind: str, precision: str) -> None:
    towers = tiny_towers(kind)
    with TensorRTEngine(precision=precision) as engine:
        engine.open(towers, SHAPES)
        report = probe(engine, towers, SHAPES)
    assert report.passed, report.explain()


@pytest.mark.gpu
@pytest.mark.parametrize("cls", [TensorRTEngine, Replaying])
def test_weights_come_back_to_the_bit(cls: type[TensorRTEngine]) -> None:
    """With `Replaying` this decides whether a graph may outlive a refit."""
    with cls(precision="fp16") as engine:
        engine.open(tiny_towers("vit"), SHAPES)
        first, other, again = (embeddings(engine, seed) for seed in (1, 2, 1))
    np.testing.assert_array_equal(first, again)
    assert not np.array_equal(first, other)
