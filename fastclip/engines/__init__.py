"""Engines: compiled towers whose weights are swapped per checkpoint."""

from __future__ import annotations

from fastclip.engines.base import Engine
from fastclip.registry import Registry

ENGINES: Registry[type[Engine]] = Registry(
    "engine",
    {
        "onnxruntime": "fastclip.engines.onnxruntime_engine:OnnxRuntimeEngine",
        "torch": "fastclip.engines.torch_engine:TorchEngine",
    },
)
