"""`fn.fastclip.distort`: fastclip's distortions within a DALI pipeline, from the same kernels."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from fastclip.distortions.base import KernelDistortion
from fastclip.stimuli.dali.build import build

NAME = "fastclip__Distort"
"""What DALI calls it: an operator of the module `fastclip`."""


def load(cache_dir: Path) -> None:
    """Make `fn.fastclip.distort` known to DALI, compiling it first where the cache has none.

    Once per process: DALI does not take an operator twice.

    Raises:
        RefusalError: it cannot be compiled here.
    """
    from nvidia.dali import plugin_manager

    if not registered(gpu=False):
        plugin_manager.load_library(str(build(cache_dir)))


def registered(*, gpu: bool) -> bool:
    """Whether what was loaded works there: compiled without nvcc it knows the CPU alone."""
    from nvidia.dali import backend

    return NAME in (backend.RegisteredGPUOps() if gpu else backend.RegisteredCPUOps())


def distort(pictures: Any, keys: Any, distortion: KernelDistortion) -> Any:
    """The pipeline's node; `load` must have been called.

    Args:
        pictures: node of uint8 pictures `[h, w, 3]`, on the CPU or the GPU.
        keys: CPU node of scalars, uint64 or int64: each picture's key
            (`fastclip.distortions.noise.picture_key`). The pictures' places never matter.
        distortion: drawn on all of them.

    Returns:
        A node of pictures, the bytes of `distortion.apply`.
    """
    from nvidia.dali import fn

    kernel, arguments = distortion._kernel(np.empty(0, np.uint64))
    named = {name: _plain(value) for name, value in arguments.items() if name != "keys"}
    if "seed" in named:  # which DALI keeps for its own generators
        named["noise_seed"] = int(np.uint64(named.pop("seed")).astype(np.int64))
    return fn.fastclip.distort(pictures, keys, kernel=kernel, **named)


def _plain(value: Any) -> Any:
    return value.ravel().tolist() if isinstance(value, np.ndarray) else value
