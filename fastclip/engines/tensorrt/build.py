"""From a network to a plan, once per architecture: minutes on a GPU."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch

from fastclip.engines.tensorrt import library
from fastclip.engines.tensorrt.network import DYNAMIC, WEIGHTS, Network, bytes_of
from fastclip.engines.tensorrt.plan_cache import PlanCache
from fastclip.errors import EngineError
from fastclip.towers.random_state import lively_state

BUILD_REVISION = 1
"""Raised whenever another plan would be made of the same network."""

Profile = tuple[int, int, int]
"""Shortest, usual and longest length of a `DYNAMIC` dimension."""

MEND = "use --engine torch-cuda for this architecture"


def plan_key(network: Network, profile: Profile, machine: Mapping[str, str]) -> dict[str, object]:
    """What a plan is good for; any other use needs another plan."""
    return {
        "network": network.digest,
        "precision": sorted({str(dtype) for dtype, _ in network.weights.values()}),
        "profile": [[name, *shape] for name, (_, shape) in network.inputs.items()] + [[*profile]],
        "revision": BUILD_REVISION,
        **timing_key(machine),
    }


def timing_key(machine: Mapping[str, str]) -> dict[str, object]:
    """What measured kernel times are good for."""
    return {"tensorrt": library.version(), **machine}


def build_plan(
    network: Network, profile: Profile, cache: PlanCache, machine: Mapping[str, str]
) -> bytes:
    """A plan whose weights can be changed, all of them, to any values.

    Types are the ONNX file's: the network is strongly typed, and TF32 is off, so that float32
    means float32. The plan holds random weights, as lively as they are distinct: equal tensors
    might share memory, and be changed together ever after.

    Args:
        network: what to build.
        profile: lengths of the `DYNAMIC` dimension, where there is one.
        cache: keeps the times of the kernels that were tried, for the next build.
        machine: where it is built.

    Raises:
        EngineError: TensorRT has no builder here, refuses the graph, or fails to build it.
    """
    trt = library.tensorrt()
    try:
        builder = trt.Builder(library.log())
    except TypeError as error:
        raise _refused(f"TensorRT cannot build on this machine ({error})") from error
    parsed = builder.create_network(library.strongly_typed(trt))
    parser = trt.OnnxParser(parsed, library.log())
    with TemporaryDirectory(dir=cache.folder) as folder:
        if not parser.parse_from_file(str(_write(network, Path(folder)))):
            said = [parser.get_error(i).desc() for i in range(parser.num_errors)]
            raise _refused(f"TensorRT's parser refuses the graph ({'; '.join(said[:3])})")
        # The parser holds the weights until the plan is built.
        return _build(trt, builder, parsed, network, profile, cache, timing_key(machine))


def _build(
    trt: Any,
    builder: Any,
    parsed: Any,
    network: Network,
    lengths: Profile,
    cache: PlanCache,
    timing: Mapping[str, object],
) -> bytes:
    config = builder.create_builder_config()
    # STRIP_PLAN and REFIT_IDENTICAL would be for weights that come back unchanged.
    config.set_flag(trt.BuilderFlag.REFIT)
    config.clear_flag(trt.BuilderFlag.TF32)
    if not network.is_static:
        profile = builder.create_optimization_profile()
        for name, (_, shape) in network.inputs.items():
            shapes = [tuple(n if s == DYNAMIC else s for s in shape) for n in lengths]
            profile.set_shape(name, *shapes)
        config.add_optimization_profile(profile)
    times = config.create_timing_cache(cache.load("timing", timing) or b"")
    config.set_timing_cache(times, ignore_mismatch=False)
    plan = builder.build_serialized_network(parsed, config)
    if plan is None:
        raise _refused("TensorRT cannot build an engine of the graph")
    cache.save("timing", timing, bytes(config.get_timing_cache().serialize()))
    return bytes(plan)


def _write(network: Network, folder: Path) -> Path:
    """The ONNX file and its random weights, one tensor at a time."""
    with (folder / WEIGHTS).open("wb") as file:
        for seed, (name, (dtype, shape)) in enumerate(network.weights.items()):
            drawn = torch.from_numpy(lively_state({name: shape}, seed)[name].reshape(shape))
            file.write(bytes_of(drawn.to(dtype)))
    path = folder / "tower.onnx"
    path.write_bytes(network.onnx)
    return path


def _refused(what: str) -> EngineError:
    return EngineError(f"{what}{library.because()}", mend=MEND)
