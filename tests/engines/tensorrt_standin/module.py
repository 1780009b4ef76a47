"""The module `tensorrt`: put it where the engine imports it from."""

from __future__ import annotations

import importlib.machinery
import sys
from types import ModuleType

import pytest
from engines.tensorrt_standin import build, enums, execute, refit
from engines.tensorrt_standin.faults import reset

NAMES = {
    build: (
        "Builder",
        "Dims",
        "IBuilderConfig",
        "IHostMemory",
        "ILogger",
        "INetworkDefinition",
        "IOptimizationProfile",
        "ITensor",
        "ITimingCache",
        "Logger",
        "OnnxParser",
        "ParserError",
    ),
    enums: (
        "BuilderFlag",
        "DataType",
        "ExecutionContextAllocationStrategy",
        "MemoryPoolType",
        "NetworkDefinitionCreationFlag",
        "TensorIOMode",
        "TensorLocation",
    ),
    execute: ("ICudaEngine", "IExecutionContext", "Runtime"),
    refit: ("OnnxParserRefitter", "Refitter", "Weights"),
}


def tensorrt() -> ModuleType:
    """The stand-in as a module of its own."""
    module = ModuleType("tensorrt")
    module.__spec__ = importlib.machinery.ModuleSpec("tensorrt", None)
    vars(module).update({n: vars(m)[n] for m, names in NAMES.items() for n in names})
    kinds = enums.DataType
    vars(module).update(
        __version__="11.4.0.106",
        float32=kinds.FLOAT,
        float16=kinds.HALF,
        bfloat16=kinds.BF16,
        int8=kinds.INT8,
        int32=kinds.INT32,
        int64=kinds.INT64,
        uint8=kinds.UINT8,
        bool=kinds.BOOL,
    )
    return module


def install(monkeypatch: pytest.MonkeyPatch) -> None:
    """`import tensorrt` gives the stand-in, without faults."""
    reset()
    monkeypatch.setitem(sys.modules, "tensorrt", tensorrt())
