"""Runtime, engine and execution context: a plan, run on the CPU."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from engines.tensorrt_standin.build import Plan
from engines.tensorrt_standin.enums import (
    DataType,
    ExecutionContextAllocationStrategy,
    from_numpy,
)
from engines.tensorrt_standin.faults import FAULTS, SEEN
from engines.tensorrt_standin.graph import Graph, Shape, Tensor, read, write
from engines.tensorrt_standin.parse import ILogger, checked
from engines.tensorrt_standin.pybind import Bound
from typing_extensions import Buffer


class Runtime(Bound):
    def __init__(self, logger: ILogger) -> None:
        self._logger = checked(logger)

    def deserialize_cuda_engine(self, serialized_engine: Buffer) -> ICudaEngine | None:
        plan = Plan.deserialised(bytes(serialized_engine))
        if plan is None:
            SEEN.refused_plans += 1
            self._logger.log(ILogger.ERROR, "Error Code 6: the engine plan file is not compatible")
            return None
        SEEN.deserialised += 1
        return ICudaEngine(plan)


class ICudaEngine(Bound):
    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self._graph = Graph(plan.model, plan.weights)
        self._is_visual = any(t.shape[3:] == (3,) for t in self._graph.tensors.values())
        self._nan = False
        self._memory: dict[str, np.ndarray] = {}
        self._write(plan.weights)

    @property
    def refittable(self) -> bool:
        return self._plan.refittable

    def get_tensor_dtype(self, name: str) -> DataType:
        return from_numpy(self._tensor(name).dtype)

    def create_execution_context(
        self,
        strategy: ExecutionContextAllocationStrategy = ExecutionContextAllocationStrategy.STATIC,
    ) -> IExecutionContext:
        return IExecutionContext(self)

    def _tensor(self, name: str) -> Tensor:
        return self._graph.tensors[name]

    def _write(self, values: Mapping[str, np.ndarray]) -> None:
        """Change weights as the plan would have it, right or wrong."""
        for name, array in values.items():
            owner = self._plan.shared.get(name, name)
            self._memory[owner] = np.zeros_like(array) if name in self._plan.zeroed else array

    def _weights(self) -> dict[str, np.ndarray]:
        return {
            name: self._memory[self._plan.shared.get(name, name)] for name in self._plan.weights
        }


class IExecutionContext(Bound):
    def __init__(self, engine: ICudaEngine) -> None:
        self._engine = engine
        self._shapes: dict[str, Shape] = {}
        self._addresses: dict[str, int] = {}

    def set_input_shape(self, name: str, shape: tuple) -> bool:
        tensor = self._engine._tensor(name)
        if not tensor.is_input or len(shape) != len(tensor.shape):
            return False
        declared = self._engine._plan.profiles
        least, _, most = declared[0][name] if declared else (tensor.shape,) * 3
        if not all(lo <= n <= hi for lo, n, hi in zip(least, shape, most, strict=True)):
            return False
        self._shapes[name] = tuple(shape)
        return True

    def set_tensor_address(self, name: str, memory: int) -> bool:
        self._addresses[name] = memory
        return name in self._engine._graph.tensors and memory != 0

    def execute_async_v3(self, stream_handle: int) -> bool:
        engine = self._engine
        tensors = engine._graph.tensors
        unknown = any(t.is_input and self._unknown(t) for t in tensors.values())
        if unknown or tensors.keys() - self._addresses.keys():
            return False
        inputs = {
            t.name: read(self._addresses[t.name], t.dtype, self._shapes.get(t.name, t.shape))
            for t in tensors.values()
            if t.is_input
        }
        outputs = engine._graph.run(inputs, engine._weights())
        for name, array in outputs.items():
            write(self._addresses[name], np.full_like(array, np.nan) if engine._nan else array)
        return True

    def _unknown(self, tensor: Tensor) -> bool:
        return -1 in tensor.shape and tensor.name not in self._shapes


def refitted(engine: ICudaEngine, values: Mapping[str, np.ndarray]) -> bool:
    """Give an engine its new weights; whether TensorRT would say that it went well."""
    if not engine._is_visual:
        engine._write(values)
        return True
    SEEN.refits += 1
    refit = SEEN.refits
    if FAULTS.refuses(refit):
        engine._write(dict(list(values.items())[: len(values) // 2]))
        return False
    if FAULTS.keeps is not None and FAULTS.keeps_at(refit):
        values = {n: array for n, array in values.items() if not n.endswith(FAULTS.keeps)}
    engine._write(values)
    engine._nan = FAULTS.nan(refit)
    return True
