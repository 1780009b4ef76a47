"""Enums and data types; numbers are those of 11.4, and others in 10.16."""

from __future__ import annotations

import numpy as np
from engines.tensorrt_standin.pybind import BoundEnum


class BuilderFlag(BoundEnum):
    REFIT = 4
    TF32 = 6


class NetworkDefinitionCreationFlag(BoundEnum):
    STRONGLY_TYPED = 0


class ExecutionContextAllocationStrategy(BoundEnum):
    STATIC = 0


class TensorLocation(BoundEnum):
    DEVICE = 0
    HOST = 1


class DataType(BoundEnum):
    FLOAT = 0
    HALF = 1
    INT8 = 2
    INT32 = 3
    BOOL = 4
    UINT8 = 5
    BF16 = 7
    INT64 = 8

    @property
    def itemsize(self) -> int:
        return 2 if self is DataType.BF16 else _NUMPY[self].itemsize


_NUMPY = {
    DataType.FLOAT: np.dtype(np.float32),
    DataType.HALF: np.dtype(np.float16),
    DataType.INT8: np.dtype(np.int8),
    DataType.INT32: np.dtype(np.int32),
    DataType.BOOL: np.dtype(np.bool_),
    DataType.UINT8: np.dtype(np.uint8),
    DataType.INT64: np.dtype(np.int64),
}


def to_numpy(kind: DataType) -> np.dtype:
    return _NUMPY[kind]


def from_numpy(dtype: np.dtype) -> DataType:
    (kind,) = (kind for kind, known in _NUMPY.items() if known == dtype)
    return kind
