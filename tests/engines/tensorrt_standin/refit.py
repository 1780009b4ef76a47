"""Weights and refitters: values by name, read where they lie when the refit runs."""

from __future__ import annotations

from typing import Any, overload

import numpy as np
from engines.tensorrt_standin.enums import DataType, TensorLocation, from_numpy, to_numpy
from engines.tensorrt_standin.execute import ICudaEngine, refitted
from engines.tensorrt_standin.faults import SEEN
from engines.tensorrt_standin.graph import read
from engines.tensorrt_standin.parse import ILogger, ModelReader, checked
from engines.tensorrt_standin.pybind import Bound
from typing_extensions import Buffer


class Weights(Bound):
    """A type, an address and a count; nothing is copied or kept alive."""

    @overload
    def __init__(self, type: DataType = DataType.FLOAT) -> None: ...
    @overload
    def __init__(self, type: DataType, ptr: int, count: int) -> None: ...
    @overload
    def __init__(self, a: np.ndarray) -> None: ...
    def __init__(self, *args: Any, **keywords: Any) -> None:
        given = dict(zip(("type", "ptr", "count"), args, strict=False)) | keywords
        array = given.get("a", given.get("type"))
        if isinstance(array, np.ndarray):
            # As TensorRT does: a strided array would be read in another order.
            assert array.flags.c_contiguous
            # Kept, because reading freed memory would end the test run.
            self._array = array
            given = {
                "type": from_numpy(array.dtype), "ptr": array.ctypes.data, "count": array.size
            }  # fmt: skip
        if len(given) == 2:
            raise TypeError("__init__(): incompatible constructor arguments")
        self._dtype = given.get("type", DataType.FLOAT)
        self._ptr = int(given.get("ptr", 0))
        self._count = int(given.get("count", 0))

    @property
    def dtype(self) -> DataType:
        return self._dtype

    @property
    def size(self) -> int:
        return self._count

    @property
    def nbytes(self) -> int:
        return self._count * self._dtype.itemsize


class Refitter(Bound):
    def __init__(self, engine: ICudaEngine, logger: ILogger) -> None:
        checked(logger)
        if not engine.refittable:
            raise TypeError("pybind11::init(): factory function returned nullptr")
        self._engine = engine
        self._set: dict[str, tuple[Weights, TensorLocation]] = {}

    def get_all_weights(self) -> list[str]:
        return list(self._engine._plan.listed)

    def get_missing_weights(self) -> list[str]:
        """As if all weights were combined with each other: none may be left out."""
        return [name for name in self.get_all_weights() if self._set and name not in self._set]

    def get_weights_prototype(self, weights_name: str) -> Weights:
        if weights_name not in self._engine._plan.listed:
            return Weights(DataType.FLOAT, 0, -1)
        built = self._engine._plan.weights[weights_name]
        return Weights(from_numpy(built.dtype), 0, built.size)

    @overload
    def set_named_weights(self, name: str, weights: Weights) -> bool: ...
    @overload
    def set_named_weights(self, name: str, weights: Weights, location: TensorLocation) -> bool: ...
    def set_named_weights(
        self, name: str, weights: Weights, location: TensorLocation = TensorLocation.HOST
    ) -> bool:
        prototype = self.get_weights_prototype(name)
        if (weights.dtype, weights.size) != (prototype.dtype, prototype.size):
            return False
        self._set[name] = (weights, location)
        return True

    def refit_cuda_engine_async(self, stream_handle: int) -> bool:
        if self.get_missing_weights():
            return False
        shapes = {name: array.shape for name, array in self._engine._plan.weights.items()}
        SEEN.locations |= {location.name for _, location in self._set.values()}
        values = {
            name: read(weights._ptr, to_numpy(weights.dtype), shapes[name])
            for name, (weights, _) in self._set.items()
        }
        return refitted(self._engine, values)


class OnnxParserRefitter(ModelReader):
    """Sets the refitter's weights from a model; the refit itself is the refitter's."""

    def __init__(self, refitter: Refitter, logger: ILogger) -> None:
        super().__init__()
        self._refitter = refitter
        self._logger = checked(logger)

    def refit_from_bytes(self, model: Buffer, path: str | None = None) -> bool:
        return self.load_model_proto(model, path) and self.refit_model_proto()

    def refit_model_proto(self) -> bool:
        graph = self._completed()
        if graph is None:
            return False
        listed = self._refitter.get_all_weights()
        given = [
            self._refitter.set_named_weights(name, Weights(np.ascontiguousarray(array)))
            for name, array in graph.weights.items()
            if name in listed
        ]
        return all(given)
