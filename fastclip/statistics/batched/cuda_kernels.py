"""CUDA kernels in Numba: one thread per score vector and resample.

All threads of a block go over the same sorted order, each with its own resample's
multiplicities, so that they branch together and their loads are neighbours. Ranks and pairs are
integers throughout: their sums are those of the CPU to the last bit.

Arrays are as in `formulas` and `groups`: `codes` and `levels` `[n]`, `entries` `[K, >= n]`,
`weights` `[clusters, B + 1]`, `target` `[2, B + 1]` and `sums` `[2 or 3, K, B + 1]`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
from numba import cuda

from fastclip.statistics.batched.groups import POSITION, TIED
from fastclip.statistics.batched.resamples import HALF, PURPOSE, philox

Array = npt.NDArray[Any]

RIGHT = np.uint32(1 << 31)
"""Bit of a merge's step: the member is in the right half."""
FIRST = np.uint32(1 << 30)
"""Bit of a merge's step: it begins a merge."""
CLUSTER = np.uint32(FIRST - 1)
"""Bits of a merge's step: the member's cluster."""


def kernel(function: Callable[..., None]) -> Any:
    """A CUDA kernel, compiled for a device when it is first launched there."""
    return cuda.jit(function)


# Inlined before it is typed: a device function of its own could not be compiled without a device.
_philox = cuda.jit(device=True, inline="always")(philox)


@kernel
def draw(key: Any, high_key: Any, weights: Array, largest: Array) -> None:
    """`resamples.multiplicities`; `largest` gets each resample's greatest."""
    resample = cuda.grid(1)
    if resample >= weights.shape[1]:
        return
    clusters = weights.shape[0]
    for cluster in range(clusters):
        weights[cluster, resample] = 1 if resample == 0 else 0
    greatest = np.int64(1)
    if resample > 0:
        for block in range((clusters + 3) // 4):
            words = _philox(
                np.uint64(block), PURPOSE, np.uint64(resample), np.uint64(0), key, high_key
            )
            for lane in range(min(4, clusters - 4 * block)):
                cluster = words[lane] * np.uint64(clusters) >> HALF
                times = np.int64(weights[cluster, resample]) + 1
                weights[cluster, resample] = times
                greatest = max(greatest, times)
    largest[resample] = greatest


@kernel
def members_drawn(codes: Array, weights: Array, target: Array) -> None:
    """`target[0]`: members in each resample."""
    resample = cuda.grid(1)
    if resample >= weights.shape[1]:
        return
    drawn = np.int64(0)
    for i in range(len(codes)):
        drawn += np.int64(weights[codes[i], resample])
    target[0, resample] = drawn


@kernel
def rank_target(levels: Array, codes: Array, weights: Array, ranked: Array, target: Array) -> None:
    """Multiplicity times doubled, centred rank in the target; `target[1]`: cubes of its ties."""
    resample = cuda.grid(1)
    if resample >= weights.shape[1]:
        return
    total = np.int64(target[0, resample])
    below = tie = cubes = np.int64(0)
    start = 0
    for i in range(len(levels)):
        tie += np.int64(weights[codes[i], resample])
        if i + 1 == len(levels) or levels[i + 1] != levels[i]:
            for member in range(start, i + 1):
                weight = np.int64(weights[codes[member], resample])
                ranked[member, resample] = weight * (2 * below + tie - total)
            cubes += tie * tie * tie
            below += tie
            tie = np.int64(0)
            start = i + 1
    target[1, resample] = cubes


@kernel
def spearman_sums(entries: Array, codes: Array, weights: Array, ranked: Array, sums: Array) -> None:
    """Sums of `formulas.spearman`; `ranked` `[n, B + 1]` of `rank_target`."""
    resample, row = cuda.grid(2)
    if resample >= weights.shape[1]:
        return
    products = cubes = below = tie = tied_rank = np.int64(0)
    for i in range(len(codes)):
        entry = entries[row, i]
        position = entry & POSITION
        tie += np.int64(weights[codes[position], resample])
        tied_rank += np.int64(ranked[position, resample])
        if entry & TIED == 0:
            products += tied_rank * (2 * below + tie)
            cubes += tie * tie * tie
            below += tie
            tie = tied_rank = np.int64(0)
    sums[0, row, resample] = products
    sums[1, row, resample] = cubes


@kernel
def centre_target(
    wanted: Array, codes: Array, weights: Array, centred: Array, first: Array, target: Array
) -> None:
    """Multiplicity times centred target; `first`: a member drawn; `target[1]`: squares."""
    resample = cuda.grid(1)
    if resample >= weights.shape[1]:
        return
    origin = 0
    while origin < len(codes) - 1 and weights[codes[origin], resample] == 0:
        origin += 1
    first[resample] = origin
    total = 0.0
    for i in range(len(codes)):
        total += weights[codes[i], resample] * (wanted[i] - wanted[origin])
    mean = total / max(target[0, resample], 1.0)
    squares = 0.0
    for i in range(len(codes)):
        value = (wanted[i] - wanted[origin]) - mean
        weighted = weights[codes[i], resample] * value
        centred[i, resample] = weighted
        squares += weighted * value
    target[1, resample] = squares


@kernel
def pearson_sums(
    scores: Array, codes: Array, weights: Array, centred: Array, first: Array, sums: Array
) -> None:
    """Sums of `formulas.pearson`; `scores` `[K, n]`, the others of `centre_target`."""
    resample, row = cuda.grid(2)
    if resample >= weights.shape[1]:
        return
    origin = scores[row, first[resample]]
    total = squares = products = 0.0
    for i in range(len(codes)):
        value = scores[row, i] - origin
        weighted = weights[codes[i], resample] * value
        total += weighted
        squares += weighted * value
        products += centred[i, resample] * value
    sums[0, row, resample] = total
    sums[1, row, resample] = squares
    sums[2, row, resample] = products


@kernel
def square_target(levels: Array, codes: Array, weights: Array, target: Array) -> None:
    """`target[1]`: squares of the lengths of ties in the target."""
    resample = cuda.grid(1)
    if resample >= weights.shape[1]:
        return
    tie = squares = np.int64(0)
    for i in range(len(levels)):
        tie += np.int64(weights[codes[i], resample])
        if i + 1 == len(levels) or levels[i + 1] != levels[i]:
            squares += tie * tie
            tie = np.int64(0)
    target[1, resample] = squares


@kernel
def kendall_sums(
    steps: Array,
    entries: Array,
    levels: Array,
    codes: Array,
    weights: Array,
    sums: Array,
) -> None:
    """Sums of `formulas.kendall`; `steps` `[K, S]` of `numba_cuda.merges`."""
    resample, row = cuda.grid(2)
    if resample >= weights.shape[1]:
        return
    discordant = higher = np.int64(0)
    for i in range(steps.shape[1]):
        step = steps[row, i]
        weight = np.int64(weights[step & CLUSTER, resample])
        if step & FIRST != 0:
            higher = np.int64(0)
        if step & RIGHT != 0:
            discordant += weight * higher
        else:
            higher += weight
    ties = both = tie = same = np.int64(0)
    for i in range(len(codes)):
        entry = entries[row, i]
        position = entry & POSITION
        weight = np.int64(weights[codes[position], resample])
        tie += weight
        same += weight
        tied = entry & TIED != 0
        if not tied or levels[entries[row, i + 1] & POSITION] != levels[position]:
            both += same * same
            same = np.int64(0)
        if not tied:
            ties += tie * tie
            tie = np.int64(0)
    sums[0, row, resample] = discordant
    sums[1, row, resample] = ties
    sums[2, row, resample] = both
