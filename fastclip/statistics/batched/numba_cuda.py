"""Coefficients on a CUDA device: what the kernels are given.

Resamples are drawn and counted on the device. Sorting stays on the host, once per score vector
and group.
"""

from __future__ import annotations

import warnings
from itertools import repeat
from typing import Any

import numpy as np
import numpy.typing as npt

from fastclip.errors import RefusalError
from fastclip.machine import usable_cores
from fastclip.statistics.batched.compiled import compiled
from fastclip.statistics.batched.formulas import METRICS
from fastclip.statistics.batched.groups import POSITION, Group
from fastclip.statistics.batched.numba_cpu import ordered, workers
from fastclip.statistics.batched.resamples import left_out

try:
    from numba import cuda

    from fastclip.statistics.batched import cuda_kernels as kernels
    from fastclip.statistics.batched.cuda_kernels import FIRST, RIGHT
except ImportError as error:
    raise RefusalError(
        "correlations on a CUDA device need numba-cuda",
        mend="pip install 'fastclip[cuda]', or take device='cpu'",
    ) from error

Array = npt.NDArray[Any]

THREADS = 128
STEPS = 1 << 26
"""Entries of merges held at a time: 256 MiB."""


class CudaCoefficients:
    """See `base.Coefficients`."""

    def __init__(self, clusters: int, resamples: int | str, seed: int) -> None:
        if not cuda.is_available():
            raise RefusalError("no CUDA device for the correlations", mend="take device='cpu'")
        if isinstance(resamples, str):
            self._columns, self._largest = clusters + 1, 1
            self._weights = cuda.to_device(left_out(clusters))
            return
        self._columns = resamples + 1
        self._weights = cuda.device_array((clusters, self._columns), np.uint16)
        largest = cuda.device_array(self._columns, np.int64)
        key = np.uint64(seed & 0xFFFFFFFF), np.uint64(seed >> 32)
        self._launch(kernels.draw, 1, *key, self._weights, largest)
        self._largest = int(largest.copy_to_host().max())

    def of(self, metric: str, group: Group, scores: Array) -> Array:
        """See `base.Coefficients.of`."""
        codes = cuda.to_device(group.codes)
        target = cuda.device_array((2, self._columns), np.float64)
        self._launch(kernels.members_drawn, 1, codes, self._weights, target)
        if metric != "plcc":
            with workers(usable_cores()) as each:
                scores = ordered(each, metric, np.array_split(scores, usable_cores()))
        run = {"srcc": self._spearman, "plcc": self._pearson, "krcc": self._kendall}[metric]
        sums = run(group, codes, scores, target)
        return METRICS[metric](sums, target.copy_to_host())

    def _spearman(self, group: Group, codes: Any, orders: Array, target: Any) -> Array:
        drawn = int(target.copy_to_host()[0].max())
        kind = np.int32 if drawn * self._largest < 1 << 31 else np.int64
        ranked = cuda.device_array((len(group), self._columns), kind)
        levels = cuda.to_device(group.levels)
        self._launch(kernels.rank_target, 1, levels, codes, self._weights, ranked, target)
        sums = cuda.device_array((2, len(orders), self._columns), np.float64)
        entries = cuda.to_device(orders)
        self._launch(
            kernels.spearman_sums, len(orders), entries, codes, self._weights, ranked, sums
        )
        return np.asarray(sums.copy_to_host())

    def _pearson(self, group: Group, codes: Any, scores: Array, target: Any) -> Array:
        centred = cuda.device_array((len(group), self._columns), np.float64)
        first = cuda.device_array(self._columns, np.int32)
        wanted = cuda.to_device(group.target)
        self._launch(kernels.centre_target, 1, wanted, codes, self._weights, centred, first, target)
        sums = cuda.device_array((3, len(scores), self._columns), np.float64)
        values = cuda.to_device(scores)
        self._launch(
            kernels.pearson_sums, len(scores), values, codes, self._weights, centred, first, sums
        )
        return np.asarray(sums.copy_to_host())

    def _kendall(self, group: Group, codes: Any, orders: Array, target: Any) -> Array:
        levels = cuda.to_device(group.levels)
        self._launch(kernels.square_target, 1, levels, codes, self._weights, target)
        sums = np.empty((3, len(orders), self._columns))
        rounds = max(1, (len(group) - 1).bit_length())
        step = max(1, STEPS // (rounds * len(group)))
        for low in range(0, len(orders), step):
            part = orders[low : low + step]
            steps = _merged(part, group, rounds)
            device = cuda.device_array((3, len(part), self._columns), np.float64)
            self._launch(
                kernels.kendall_sums,
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
        with warnings.catch_warnings():
            # What is done once per group has few threads and takes little time.
            warnings.filterwarnings("ignore", message="Grid size")
            function[(-(-self._columns // threads), rows), threads](*arguments)


def _merged(entries: Array, group: Group, rounds: int) -> Array:
    """`merges` of each order, in parallel."""
    steps = np.empty((len(entries), rounds * len(group)), np.uint32)
    with workers(usable_cores()) as each:
        list(each(merges, entries, steps, repeat(group.levels), repeat(group.codes)))
    return steps


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
