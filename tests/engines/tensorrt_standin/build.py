"""Logger, parser and builder: from an ONNX model to a plan."""

from __future__ import annotations

import pickle
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

import numpy as np
import onnx
from engines.tensorrt_standin.enums import (
    BuilderFlag,
    DataType,
    MemoryPoolType,
    NetworkDefinitionCreationFlag,
    from_numpy,
)
from engines.tensorrt_standin.faults import FAULTS, SEEN
from engines.tensorrt_standin.graph import Graph, Shape, Tensor, read
from engines.tensorrt_standin.pybind import Bound, BoundEnum
from typing_extensions import Buffer

_MAGIC = b"stand-in plan\n"


class ILogger(Bound):
    class Severity(BoundEnum):
        INTERNAL_ERROR = 0
        ERROR = 1
        WARNING = 2
        INFO = 3
        VERBOSE = 4

    INTERNAL_ERROR = Severity.INTERNAL_ERROR
    ERROR = Severity.ERROR
    WARNING = Severity.WARNING
    INFO = Severity.INFO
    VERBOSE = Severity.VERBOSE

    def __init__(self) -> None:
        self._made = True

    def log(self, severity: ILogger.Severity, msg: str) -> None:
        raise RuntimeError('Tried to call pure virtual function "nvinfer1::ILogger::log"')


class Logger(ILogger):
    def __init__(self, min_severity: ILogger.Severity = ILogger.WARNING) -> None:
        super().__init__()
        self._min_severity = min_severity

    @property
    def min_severity(self) -> ILogger.Severity:
        return self._min_severity

    @min_severity.setter
    def min_severity(self, severity: ILogger.Severity) -> None:
        self._min_severity = severity

    def log(self, severity: ILogger.Severity, msg: str) -> None:
        if severity.value <= self._min_severity.value:
            print(f"[TRT] [{severity.name[0]}] {msg}")


def checked(logger: ILogger) -> ILogger:
    """A logger as pybind11 takes it.

    Raises:
        TypeError: its class forgot to call `ILogger.__init__`.
    """
    if not getattr(logger, "_made", False):
        raise TypeError("ILogger.__init__() must be called when overriding __init__")
    return logger


class IHostMemory(bytes):
    """Memory that is read through the buffer protocol alone."""

    __len__ = __getitem__ = __iter__ = __add__ = None  # type: ignore[assignment]

    @property
    def nbytes(self) -> int:
        return memoryview(self).nbytes


class Dims(Bound):
    """A shape; -1 where a dimension is dynamic."""

    def __init__(self, shape: tuple) -> None:
        self._shape = shape

    def __len__(self) -> int:
        return len(self._shape)

    def __getitem__(self, index: int) -> int:
        return self._shape[index]

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, tuple | list):
            raise TypeError("__eq__(): incompatible function arguments")
        return self._shape == tuple(other)


class ITensor(Bound):
    def __init__(self, tensor: Tensor) -> None:
        self._tensor = tensor

    @property
    def name(self) -> str:
        return self._tensor.name

    @property
    def dtype(self) -> DataType:
        return from_numpy(self._tensor.dtype)

    @property
    def shape(self) -> Dims:
        return Dims(self._tensor.shape)


class INetworkDefinition(Bound):
    def __init__(self, flags: int) -> None:
        self._flags = flags
        self._graph: Graph | None = None

    @property
    def num_inputs(self) -> int:
        return len(self._tensors(True))

    @property
    def num_outputs(self) -> int:
        return len(self._tensors(False))

    def get_input(self, index: int) -> ITensor:
        return ITensor(self._tensors(True)[index])

    def get_output(self, index: int) -> ITensor:
        return ITensor(self._tensors(False)[index])

    def _tensors(self, is_input: bool) -> list[Tensor]:
        tensors = self._graph.tensors.values() if self._graph else ()
        return [tensor for tensor in tensors if tensor.is_input == is_input]


class ParserError(Bound):
    def __init__(self, text: str) -> None:
        self._text = text

    def desc(self) -> str:
        return self._text


class ModelReader(Bound):
    """What parser and parser refitter do alike: a model, and initializers given by address."""

    def __init__(self) -> None:
        self._errors: list[str] = []
        self._model: onnx.ModelProto | None = None
        self._folder: Path | None = None
        self._given: dict[str, tuple[int, int]] = {}

    @property
    def num_errors(self) -> int:
        return len(self._errors)

    def get_error(self, index: int) -> ParserError:
        return ParserError(self._errors[index])

    def clear_errors(self) -> None:
        self._errors = []

    def load_model_proto(self, model: Buffer, path: str | None = None) -> bool:
        if self._model is not None:
            return self._failed("a model is loaded already")
        try:
            self._model = onnx.load_from_string(bytes(model))
        except Exception as error:
            return self._failed(f"no ONNX model: {error}")
        self._folder = None if path is None else Path(path).parent
        return True

    def load_initializer(self, name: str, data: int, size: int) -> bool:
        initializers = {i.name: i for i in self._model.graph.initializer} if self._model else {}
        if name not in initializers:
            return self._failed(f"the model has no initializer {name}")
        if size != _nbytes(initializers[name]):
            return self._failed(f"{name} has {_nbytes(initializers[name])} bytes, not {size}")
        self._given[name] = (data, size)
        return True

    def _completed(self) -> Graph | None:
        """The model with all initializers, those given by address read now."""
        assert self._model is not None, "load_model_proto comes first"
        model, self._model = self._model, None
        try:
            for initializer in model.graph.initializer:
                if initializer.name in self._given:
                    address, size = self._given[initializer.name]
                    data = read(address, np.dtype(np.uint8), (size,))
                    initializer.ClearField("external_data")
                    initializer.data_location = onnx.TensorProto.DEFAULT
                    initializer.raw_data = data.tobytes()
            folder = self._folder or Path("/nowhere")
            onnx.external_data_helper.load_external_data_for_model(model, str(folder))
            onnx.checker.check_model(model)
            graph = Graph.parse(model)
            _ = graph.session
        except Exception as error:
            self._failed(str(error))
            return None
        return graph

    def _failed(self, text: str) -> bool:
        self._errors.append(text)
        return False


class OnnxParser(ModelReader):
    def __init__(self, network: INetworkDefinition, logger: ILogger) -> None:
        super().__init__()
        self._network = network
        self._logger = checked(logger)

    def parse(self, model: Buffer, path: str | None = None) -> bool:
        return self.load_model_proto(model, path) and self.parse_model_proto()

    def parse_from_file(self, model: str) -> bool:
        return self.parse(Path(model).read_bytes(), model)

    def parse_model_proto(self) -> bool:
        self._network._graph = self._completed()
        return self._network._graph is not None


class IOptimizationProfile(Bound):
    def __init__(self) -> None:
        self._shapes: dict[str, tuple[Shape, Shape, Shape]] = {}

    def set_shape(self, input: str, min: Dims, opt: Dims, max: Dims) -> None:
        if not all(a <= b <= c for a, b, c in zip(min, opt, max, strict=True)):
            raise ValueError("the profile's shapes are not in order")
        self._shapes[input] = (tuple(min), tuple(opt), tuple(max))

    def get_shape(self, input: str) -> list[Dims]:
        return [Dims(shape) for shape in self._shapes[input]]


class ITimingCache(Bound):
    def __init__(self, known: frozenset[str]) -> None:
        self._known = known

    def serialize(self) -> IHostMemory:
        return IHostMemory(pickle.dumps(self._known))


class IBuilderConfig(Bound):
    def __init__(self) -> None:
        # TF32 is on unless it is cleared.
        self._flags = {BuilderFlag.TF32}
        self._profiles: list[IOptimizationProfile] = []
        self._cache: ITimingCache | None = None
        self._level = 3
        self._limits: dict[MemoryPoolType, int] = {}

    @property
    def builder_optimization_level(self) -> int:
        return self._level

    @builder_optimization_level.setter
    def builder_optimization_level(self, level: int) -> None:
        self._level = level

    def set_flag(self, flag: BuilderFlag) -> None:
        self._flags.add(flag)

    def clear_flag(self, flag: BuilderFlag) -> None:
        self._flags.discard(flag)

    def get_flag(self, flag: BuilderFlag) -> bool:
        return flag in self._flags

    def set_memory_pool_limit(self, pool: MemoryPoolType, pool_size: int) -> None:
        self._limits[pool] = pool_size

    def add_optimization_profile(self, profile: IOptimizationProfile) -> int:
        self._profiles.append(profile)
        return len(self._profiles) - 1

    def create_timing_cache(self, serialized_timing_cache: Buffer) -> ITimingCache:
        data = bytes(serialized_timing_cache)
        return ITimingCache(pickle.loads(data) if data else frozenset())

    def set_timing_cache(self, cache: ITimingCache, ignore_mismatch: bool) -> bool:
        self._cache = cache
        return True

    def get_timing_cache(self) -> ITimingCache:
        assert self._cache is not None
        return self._cache


@dataclass
class Plan:
    """What is serialised: the graph, its weights as they were built, and where it may run.

    `profiles[i]` maps inputs to their shapes (min, opt, max); `zeroed` are weights that are zero
    whatever is refitted; `shared` maps a weight to the one whose memory it uses.
    """

    gpu: str
    version: str
    model: bytes
    weights: Mapping[str, np.ndarray]
    profiles: Sequence[Mapping[str, tuple[Shape, Shape, Shape]]]
    refittable: bool
    zeroed: frozenset[str]
    listed: tuple[str, ...]
    shared: Mapping[str, str]

    def serialised(self) -> IHostMemory:
        body = pickle.dumps(self)
        return IHostMemory(_MAGIC + sha256(body).digest() + body)

    @classmethod
    def deserialised(cls, data: bytes) -> Plan | None:
        """None where the bytes are no plan, or a plan of another GPU or version."""
        body = data[len(_MAGIC) + 32 :]
        if data[: len(_MAGIC) + 32] != _MAGIC + sha256(body).digest():
            return None
        plan: Plan = pickle.loads(body)
        return plan if (plan.gpu, plan.version) == (FAULTS.gpu, FAULTS.version) else None


class Builder(Bound):
    def __init__(self, logger: ILogger) -> None:
        self._logger = checked(logger)

    def create_network(self, flags: int = 0) -> INetworkDefinition:
        return INetworkDefinition(int(flags))

    def create_builder_config(self) -> IBuilderConfig:
        return IBuilderConfig()

    def create_optimization_profile(self) -> IOptimizationProfile:
        return IOptimizationProfile()

    def build_serialized_network(
        self, network: INetworkDefinition, config: IBuilderConfig
    ) -> IHostMemory | None:
        graph = network._graph
        if graph is None or FAULTS.builds_nothing:
            return self._failed("Error Code 10: could not find any implementation for node")
        profiles = [profile._shapes for profile in config._profiles]
        for tensor in graph.tensors.values():
            dynamic = tensor.is_input and -1 in tensor.shape
            if dynamic and not all(tensor.name in shapes for shapes in profiles or [{}]):
                return self._failed(f"no optimization profile for input {tensor.name}")
        self._note(network, config, graph)
        zeroed = frozenset(_named(graph, FAULTS.drops) + _named(graph, FAULTS.ignores))
        dropped = _named(graph, FAULTS.drops)
        return Plan(
            FAULTS.gpu,
            FAULTS.version,
            graph.model,
            _stripped(graph.weights) if config.get_flag(BuilderFlag.STRIP_PLAN) else graph.weights,
            profiles,
            config.get_flag(BuilderFlag.REFIT),
            zeroed,
            tuple(name for name in graph.weights if name not in dropped),
            _sharing(graph),
        ).serialised()

    def _note(self, network: INetworkDefinition, config: IBuilderConfig, graph: Graph) -> None:
        kinds = NetworkDefinitionCreationFlag
        flags = {flag.name for flag in kinds if network._flags >> flag.value & 1}
        dtypes = {array.dtype.name for array in graph.weights.values()}
        SEEN.builds.append(frozenset(flags | {flag.name for flag in config._flags} | dtypes))
        if config._cache is not None:
            digest = sha256(graph.model).hexdigest()
            SEEN.timed += digest in config._cache._known
            config._cache._known |= {digest}

    def _failed(self, text: str) -> None:
        self._logger.log(ILogger.ERROR, text)


def _nbytes(initializer: onnx.TensorProto) -> int:
    dtype = np.dtype(onnx.helper.tensor_dtype_to_np_dtype(initializer.data_type))
    return int(np.prod(initializer.dims)) * dtype.itemsize


def _named(graph: Graph, ending: str | None) -> list[str]:
    return [] if ending is None else [name for name in graph.weights if name.endswith(ending)]


def _stripped(weights: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    return {name: np.zeros_like(array) for name, array in weights.items()}


def _sharing(graph: Graph) -> dict[str, str]:
    """Which weights use the memory of another one."""
    shared: dict[str, str] = {}
    if FAULTS.merges is not None:
        pairs = zip(*(_named(graph, ending) for ending in FAULTS.merges), strict=True)
        shared.update(pairs)
    if FAULTS.merges_equal:
        owners: dict[tuple[Shape, bytes], str] = {}
        for name, array in graph.weights.items():
            owner = owners.setdefault((array.shape, array.tobytes()), name)
            if owner != name:
                shared[name] = owner
    return shared
