"""The trial that settles `-b auto`."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from tiny_towers import tiny_towers

from fastclip.engines import batch_size
from fastclip.engines.base import Shapes
from fastclip.engines.batch_size import choose_batch
from fastclip.engines.onnxruntime_engine import OnnxRuntimeEngine


class Clocked(OnnxRuntimeEngine):
    """An engine whose batches take as long as they are told to, on a clock of its own."""

    now = 0.0
    seconds: dict[int, float]

    def encode_images(self, handle: Any, lo: int, hi: int) -> Any:
        self.now += self.seconds[hi - lo]
        return np.zeros((hi - lo, 1), np.float32)


@pytest.mark.parametrize(
    ("seconds", "best"),
    [
        ({16: 0.016, 32: 0.020, 64: 0.032}, 64),
        ({16: 0.016, 32: 0.020, 64: 0.060}, 32),
        ({16: 0.016, 32: 0.032, 64: 0.0635}, 16),  # 1 % is no reason for a larger batch
        ({16: 3.0, 32: 0.1, 64: 0.1}, 16),  # out of time
    ],
)
def test_the_fastest_within_the_time(
    seconds: dict[int, float], best: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = Clocked(threads=1)
    engine.seconds = seconds
    monkeypatch.setattr(batch_size, "perf_counter", lambda: engine.now)
    assert choose_batch(engine, tiny_towers("vit")) == best


def test_a_real_engine_is_left_ready_to_open(monkeypatch: pytest.MonkeyPatch) -> None:
    with OnnxRuntimeEngine(threads=1) as engine:
        assert choose_batch(engine, tiny_towers("vit"), candidates=(2, 4)) in (2, 4)
        engine.open(tiny_towers("vit"), Shapes(4))
