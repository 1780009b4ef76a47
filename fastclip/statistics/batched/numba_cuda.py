"""The sums of `base.METRICS` on a CUDA device: Numba, one thread per score vector and resample.

All threads of a block go over the same sorted order, each with its own resample's
multiplicities, so that they branch together and their loads are neighbours. Integers throughout
for ranks and pairs: the sums are those of the CPU to the last bit. Sorting stays on the host, once
per score vector and group.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import numpy.typing as npt

from fastclip.errors import RefusalError
from fastclip.machine import usable_cores
from fastclip.statistics.batched.compiled import compiled
from fastclip.statistics.batched.groups import POSITION, TIED, Group
from fastclip.statistics.batched.numba_cpu import ordered
from fastclip.statistics.batched.resamples import HALF, PURPOSE, philox

try:
    from numba import cuda
except ImportError as error:
    raise RefusalError(
        "correlations on a CUDA device need numba-cuda",
        mend="pip install 'fastclip[cuda]', or take device='cpu'",
    ) from error

Array = npt.NDArray[Any]

THREADS = 128
RIGHT = np.uint32(1 << 31)
"""Bit of a merge's entry: the member is in the right half."""
FIRST = np.uint32(1 << 30)
"""Bit of a merge's entry: it begins a merge."""
CLUSTER = np.uint32(FIRST - 1)
STEPS = 1 << 26
"""Entries of merges held at a time: 256 MiB."""


def kernel(function: Callable[..., None]) -> Any:
    """A CUDA kernel, compiled for a device when it is first launched there."""
    return cuda.jit(function)


_philox = cuda.jit(device=True, inline="always")(philox)


class CudaSums:
    """See `base.Sums`."""

    def __init__(self, clusters: int, resamples: int, seed: int) -> None:
        if not cuda.is_available():
            raise RefusalError("no CUDA device for the correlations", mend="take device='cpu'")
        self._columns = resamples + 1
        self._weights = cuda.device_array((clusters, self._columns), np.uint16)
        largest = cuda.device_array(self._columns, np.int64)
        key = np.uint64(seed & 0xFFFFFFFF), np.uint64(seed >> 32)
        self._launch(draw, 1, *key, self._weights, largest)
        self._largest = int(largest.copy_to_host().max())

    def of(self, metric: str, group: Group, scores: Array) -> tuple[Array, Array]:
        """See `base.Sums.of`."""
        codes = cuda.to_device(group.codes)
        target = cuda.device_array((2, self._columns), np.float64)
        self._launch(members_drawn, 1, codes, self._weights, target)
        if metric != "plcc":
            with ThreadPoolExecutor(usable_cores()) as pool:
                scores = ordered(pool, metric, np.array_split(scores, usable_cores()))
        run = {"srcc": self._spearman, "plcc": self._pearson, "krcc": self._kendall}[metric]
        sums = run(group, codes, scores, target)
        return sums, target.copy_to_host()

    def _spearman(self, group: Group, codes: Any, orders: Array, target: Any) -> Array:
        drawn = int(target.copy_to_host()[0].max())
        kind = np.int32 if drawn * self._largest < 1 << 31 else np.int64
        ranked = cuda.device_array((len(group), self._columns), kind)
        levels = cuda.to_device(group.levels)
        self._launch(rank_target, 1, levels, codes, self._weights, ranked, target)
        sums = cuda.device_array((2, len(orders), self._columns), np.float64)
        entries = cuda.to_device(orders)
        self._launch(spearman_sums, len(orders), entries, codes, self._weights, ranked, sums)
        return np.asarray(sums.copy_to_host())

    def _pearson(self, group: Group, codes: Any, scores: Array, target: Any) -> Array:
        centred = cuda.device_array((len(group), self._columns), np.float64)
        first = cuda.device_array(self._columns, np.int32)
        wanted = cuda.to_device(group.target)
        self._launch(centre_target, 1, wanted, codes, self._weights, centred, first, target)
        sums = cuda.device_array((3, len(scores), self._columns), np.float64)
        values = cuda.to_device(np.ascontiguousarray(scores))
        self._launch(pearson_sums, len(scores), values, codes, self._weights, centred, first, sums)
        return np.asarray(sums.copy_to_host())

    def _kendall(self, group: Group, codes: Any, orders: Array, target: Any) -> Array:
        levels = cuda.to_device(group.levels)
        self._launch(square_target, 1, levels, codes, self._weights, target)
        sums = np.empty((3, len(orders), self._columns))
        rounds = max(1, (len(group) - 1).bit_length())
        step = max(1, STEPS // (rounds * len(group)))
        for low in range(0, len(orders), step):
            part = orders[low : low + step]
            steps = _merged(part, group, rounds)
            device = cuda.device_array((3, len(part), self._columns), np.float64)
            self._launch(
                kendall_sums,
                len(part),
                cuda.to_device(steps),
                cuda.to_device(part),
                levels,
                codes,
                self._weights,
                device,
            )
            sums[:, low : low + step] = device.copy_to_host()
        return sums

    def _launch(self, function: Any, rows: int, *arguments: Any) -> None:
        """One thread per resample, one row of blocks per score vector."""
        threads = min(THREADS, self._columns)
        function[(-(-self._columns // threads), rows), threads](*arguments)


def _merged(entries: Array, group: Group, rounds: int) -> Array:
    """`merges` of each order, in parallel."""
    steps = np.empty((len(entries), rounds * len(group)), np.uint32)
    with ThreadPoolExecutor(usable_cores()) as pool:
        for row in zip(entries, steps, strict=True):
            pool.submit(merges, *row, group.levels, group.codes)
    return steps


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
    """Sums of `base.spearman`, `[2, K, B + 1]`; `entries` `[K, >= n]`, `ranked` `[n, B + 1]`."""
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
    """Sums of `base.pearson`, `[3, K, B + 1]`; `scores` `[K, n]`, `centred` `[n, B + 1]`."""
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
    """Sums of `base.kendall`, `[3, K, B + 1]`; `steps` `[K, S]`, `entries` `[K, >= n]`."""
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


@compiled
def merges(entries: Array, steps: Array, levels: Array, codes: Array) -> None:
    """A merge sort of an order by descending target, as the steps it takes.

    A discordant pair is a member of a left half, of lesser score, with a higher target than one
    of the right half that it is merged with. Of equal targets the right one comes first, so that
    those before it are higher. Every resample takes the same steps with its own multiplicities.

    Args:
        entries: `[>= n]` of `groups.order`, stable.
        steps: `[ceil(log2 n) * n]`, gets clusters with `RIGHT` and `FIRST`.
        levels, codes: `[n]` of `Group`.
    """
    count = len(levels)
    run, merged = np.empty(count, np.uint32), np.empty(count, np.uint32)
    for i in range(count):
        run[i] = entries[i] & POSITION
    step, width = 0, 1
    while width < count:
        for low in range(0, count, 2 * width):
            middle, high = min(low + width, count), min(low + 2 * width, count)
            left, right = low, middle
            for place in range(low, high):
                from_right = right < high and (
                    left == middle or levels[run[right]] >= levels[run[left]]
                )
                member = run[right] if from_right else run[left]
                right += from_right
                left += not from_right
                merged[place] = member
                mark = FIRST if place == low else np.uint32(0)
                steps[step] = codes[member] | mark | (RIGHT if from_right else np.uint32(0))
                step += 1
        run, merged = merged, run
        width *= 2
