"""Random weights under which every tensor shows."""

from __future__ import annotations

from collections.abc import Mapping
from math import prod

import numpy as np
import numpy.typing as npt

_POOL = 4_194_301
"""Normal numbers drawn for a state, which go round: drawing 150 million takes 3 s. A prime, so that
neither two tensors nor two rows of a matrix begin at the same one."""


def lively_state(shapes: Mapping[str, tuple[int, ...]], seed: int) -> dict[str, np.ndarray]:
    """Random float32 weights with large biases, no two tensors equal.

    open_clip's own initial weights have zero biases, unit norms and near-zero embeddings: a
    graph that dropped or mixed them up would still agree. Here biases have a standard deviation
    of 0.5, scales are spread around 1 and matrices keep the variance of what they multiply.

    Args:
        shapes: `{state name: shape}`.
        seed: another seed gives another state.
    """
    generator = np.random.default_rng(seed)
    sizes = [prod(shape) for shape in shapes.values()]
    pool = generator.standard_normal(min(_POOL, sum(sizes)), dtype=np.float32)
    starts = np.cumsum([0, *sizes])
    return {
        name: _draw(name, shape, _going_round(pool, int(start), prod(shape)).reshape(shape))
        for (name, shape), start in zip(shapes.items(), starts, strict=False)
    }


def _going_round(pool: npt.NDArray[np.float32], start: int, size: int) -> npt.NDArray[np.float32]:
    """`size` numbers of the pool from `start` on, the first behind the last."""
    numbers = np.empty(size, np.float32)
    filled, at = 0, start % len(pool)
    while filled < size:
        part = pool[at : at + size - filled]
        numbers[filled : filled + len(part)] = part
        filled, at = filled + len(part), 0
    return numbers


def _draw(
    name: str, shape: tuple[int, ...], normal: npt.NDArray[np.float32]
) -> npt.NDArray[np.float32]:
    last = name.rsplit(".", 1)[-1]
    if last == "running_var":
        return np.asarray(0.5 + normal * normal, dtype=np.float32)
    if name == "logit_scale":
        return np.asarray(2.5 + 0.1 * normal, dtype=np.float32)
    if last in ("weight", "gamma") and len(shape) == 1:
        return np.asarray(1 + 0.2 * normal, dtype=np.float32)
    if len(shape) < 2 or "embed" in name or last in ("query", "latent", "gamma"):
        return np.asarray(0.5 * normal, dtype=np.float32)
    # Linear and convolution weights are [out, in, ...]; projections are [in, out].
    fan_in = shape[0] if last in ("proj", "text_projection") else int(np.prod(shape[1:]))
    return np.asarray(normal / np.sqrt(fan_in), dtype=np.float32)
