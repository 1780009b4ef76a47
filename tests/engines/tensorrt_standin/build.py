"""Builder: from a network to a plan."""

from __future__ import annotations

import pickle
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256

import numpy as np
from engines.tensorrt_standin.enums import BuilderFlag, NetworkDefinitionCreationFlag
from engines.tensorrt_standin.faults import FAULTS, SEEN
from engines.tensorrt_standin.graph import Graph, Shape
from engines.tensorrt_standin.parse import ILogger, INetworkDefinition, checked
from engines.tensorrt_standin.pybind import Bound
from typing_extensions import Buffer

_MAGIC = b"stand-in plan\n"


class IHostMemory(bytes):
    """Memory that is read through the buffer protocol alone."""

    __len__ = __getitem__ = __iter__ = __add__ = None  # type: ignore[assignment]


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


class IOptimizationProfile(Bound):
    def __init__(self) -> None:
        self._shapes: dict[str, tuple[Shape, Shape, Shape]] = {}

    def set_shape(self, input: str, min: Dims, opt: Dims, max: Dims) -> None:
        if not all(a <= b <= c for a, b, c in zip(min, opt, max, strict=True)):
            raise ValueError("the profile's shapes are not in order")
        self._shapes[input] = (tuple(min), tuple(opt), tuple(max))


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

    def set_flag(self, flag: BuilderFlag) -> None:
        self._flags.add(flag)

    def clear_flag(self, flag: BuilderFlag) -> None:
        self._flags.discard(flag)

    def get_flag(self, flag: BuilderFlag) -> bool:
        return flag in self._flags

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
            graph.weights,
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


def _named(graph: Graph, ending: str | None) -> list[str]:
    return [] if ending is None else [name for name in graph.weights if name.endswith(ending)]


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
