"""The module `tensorrt`: put it where the engine imports it from."""

from __future__ import annotations

import importlib.machinery
import sys
from types import ModuleType

import pytest
from engines.tensorrt_standin import build, enums, execute, parse, refit
from engines.tensorrt_standin.faults import reset

NAMES = {
    build: (
        "Builder",
        "Dims",
        "IBuilderConfig",
        "IHostMemory",
        "IOptimizationProfile",
        "ITimingCache",
    ),
    enums: (
        "BuilderFlag",
        "DataType",
        "ExecutionContextAllocationStrategy",
        "NetworkDefinitionCreationFlag",
        "TensorLocation",
    ),
    execute: ("ICudaEngine", "IExecutionContext", "Runtime"),
    parse: ("ILogger", "INetworkDefinition", "Logger", "OnnxParser", "ParserError"),
    refit: ("OnnxParserRefitter", "Refitter", "Weights"),
}


def tensorrt() -> ModuleType:
    """The stand-in as a module of its own."""
    module = ModuleType("tensorrt")
    module.__spec__ = importlib.machinery.ModuleSpec("tensorrt", None)
    vars(module).update({n: vars(m)[n] for m, names in NAMES.items() for n in names})
    module.__version__ = "11.4.0.106"  # type: ignore[attr-defined]
    module.float16 = enums.DataType.HALF  # type: ignore[attr-defined]
    return module


def install(monkeypatch: pytest.MonkeyPatch) -> None:
    """`import tensorrt` gives the stand-in, without faults."""
    reset()
    monkeypatch.setitem(sys.modules, "tensorrt", tensorrt())
