"""`fn.fastclip.distort`: keyed noise within a DALI pipeline, from the same kernels' headers."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from fastclip.distortions.base import Distortion
from fastclip.distortions.noise import Noise
from fastclip.stimuli.cache import cache_folder
from fastclip.stimuli.dali.build import build


def supports(distortion: Distortion) -> bool:
    """Whether the operator draws this distortion; others are applied to what a pipeline yields."""
    return isinstance(distortion, Noise)


@cache
def load(cache_dir: Path | None = None) -> None:
    """Make `fn.fastclip.distort` known to DALI, compiling it first where the cache has none.

    Raises:
        RefusalError: it cannot be compiled here.
    """
    from nvidia.dali import plugin_manager

    plugin_manager.load_library(str(build(cache_folder(cache_dir))))


def distort(pictures: Any, keys: Any, distortion: Noise) -> Any:
    """The pipeline's node; `load` must have been called.

    Args:
        pictures: node of uint8 pictures, on the CPU or the GPU.
        keys: CPU node of scalars, uint64 or int64: each picture's key
            (`fastclip.distortions.noise.picture_key`). The pictures' places never matter.
        distortion: one that the operator `supports`.

    Returns:
        A node of pictures, the bytes of `distortion.apply`.
    """
    from nvidia.dali import fn

    strength = {
        name: value.ravel().tolist() if isinstance(value, np.ndarray) else value
        for name, value in distortion._strength().items()
    }
    return fn.fastclip.distort(
        pictures,
        keys,
        kind=distortion.kind.removesuffix("_noise"),
        noise_seed=int(np.uint64(distortion.seed).astype(np.int64)),  # DALI's integers are signed
        draw=distortion.draw,
        **strength,
    )
