"""Engines that are wrong in the ways engines are known to be wrong."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from fastclip.engines.onnxruntime_engine import OnnxRuntimeEngine

PATCHES = "visual/conv1.weight.T"
MLP_BIAS = "visual/transformer.resblocks.0.mlp.c_fc.bias"
FIRST_NORM = "visual/transformer.resblocks.0.ln_1.weight"
SECOND_NORM = "visual/transformer.resblocks.1.ln_1.weight"


class DropsBias(OnnxRuntimeEngine):
    """TensorRT was known to treat a bias as zero after a refit."""

    def prepare(self, packed: Mapping[str, np.ndarray]) -> Any:
        return super().prepare({**packed, MLP_BIAS: np.zeros_like(packed[MLP_BIAS])})


class KeepsOneTensor(OnnxRuntimeEngine):
    """One tensor stays that of the first checkpoint, as with onnxruntime's add_initializer."""

    kept: np.ndarray | None = None

    def prepare(self, packed: Mapping[str, np.ndarray]) -> Any:
        if self.kept is None:
            self.kept = packed[PATCHES]
        return super().prepare({**packed, PATCHES: self.kept})


class KeepsEverything(OnnxRuntimeEngine):
    """The swap does nothing after the first."""

    loaded = False

    def load(self, packed: Any) -> None:
        if not self.loaded:
            super().load(packed)
        self.loaded = True


class SwapsTwoTensors(OnnxRuntimeEngine):
    """Two tensors of one shape change places."""

    def prepare(self, packed: Mapping[str, np.ndarray]) -> Any:
        exchanged = {FIRST_NORM: packed[SECOND_NORM], SECOND_NORM: packed[FIRST_NORM]}
        return super().prepare({**packed, **exchanged})


class ReturnsNaN(OnnxRuntimeEngine):
    """One picture's embedding holds NaN."""

    def encode_images(self, handle: Any, lo: int, hi: int) -> Any:
        outputs = self.fetch(super().encode_images(handle, lo, hi)).copy()
        outputs[-1, 0] = np.nan
        return outputs


class ReturnsZero(OnnxRuntimeEngine):
    """A prompt's embedding is zero."""

    def encode_texts(self, ids: Any, eot: Any) -> Any:
        return self.fetch(super().encode_texts(ids, eot)) * 0


SABOTEURS = (
    DropsBias,
    KeepsOneTensor,
    KeepsEverything,
    SwapsTwoTensors,
    ReturnsNaN,
    ReturnsZero,
)
