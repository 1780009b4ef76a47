"""What a batch of correlations is, whatever computes it.

**Input.** K score vectors over the same N pictures (or pairs), one target over them, and G groups
of them. **Output.** A coefficient for every score vector, group and resample: `[K, G, B + 1]`.

**Resamples.** Resample 0 is the data itself; B bootstrap resamples follow. What is resampled is
the *cluster*: a set of pictures that belong together (those of one reference), or each picture
alone. All clusters of the call are drawn, as many as there are, with replacement; every picture
of a cluster drawn m times counts m times. One draw serves the whole call, so coefficients of the
same resample are paired over score vectors *and* over groups: their differences have a
distribution too. A group sees the draw through its own members, so its size varies with the
resample unless every cluster has equally many members in it.

**Jackknife.** With `resamples="jackknife"` the B = C resamples are those that leave one of the C
clusters out: column 1 + c is without cluster c, in the sorted order of labels. A group without
members of c has the data's own coefficient there, and NaN where c holds all its members.

**How.** Scores are sorted once per score vector and group. A resample is a vector of
multiplicities, and average ranks, ties and discordant pairs of the resample are those of the data
counted with them: one pass over the sorted order, no copy, no sort. Kernels return sums; all sums
of ranks and pairs are integers below 2^53, so they are exact and the same on every device, and
`formulas` turn them into coefficients.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol

import numpy as np
import numpy.typing as npt

from fastclip.statistics.batched.formulas import METRICS
from fastclip.statistics.batched.groups import Group
from fastclip.statistics.correlation import Correlation

Float64Array = npt.NDArray[np.float64]

RESAMPLES_DEFINITION = "philox4x32-10/clusters/1"
"""Identity of the generator, its keying and what is drawn."""

JACKKNIFE = "jackknife"
"""In place of a number of resamples."""

CHUNK = 1 << 23
"""Scores, or coefficients of one group, held at a time; bounds memory, changes no value."""
ROWS = 65535
"""Score vectors at a time: the most blocks that a CUDA grid has in its second dimension."""


@dataclass(frozen=True)
class BatchedCorrelations:
    """Coefficients and why some are undefined.

    Attributes:
        values: `[K, G, B + 1]` float64 in [-1, 1]; `[..., 0]` is the data itself. NaN where the
            scores or the target are constant in that resample of that group.
        reasons: `[K, G]` strings, why the data itself has no coefficient: "fewer_than_2",
            "constant" (the scores or the target), "infinite" (`plcc` of scores or a target that
            hold infinity), or "".
    """

    values: Float64Array
    reasons: npt.NDArray[np.str_]

    def of_data(self, row: int, group: int) -> Correlation:
        """The coefficient of the data itself, as `statistics.correlation` gives it."""
        value, reason = float(self.values[row, group, 0]), str(self.reasons[row, group])
        return Correlation(None if reason else value, reason)


class Coefficients(Protocol):
    """Computes coefficients on one device; holds the multiplicities of one call."""

    def of(self, metric: str, group: Group, scores: Float64Array) -> Float64Array:
        """Coefficients `[K, B + 1]` of the group's `scores`, `[K, n]` and contiguous."""


def correlate(
    metric: str,
    scores: npt.ArrayLike,
    target: npt.ArrayLike,
    groups: Sequence[npt.ArrayLike] | None = None,
    *,
    resamples: int | Literal["jackknife"] = 0,
    clusters: npt.ArrayLike | None = None,
    seed: int = 0,
    device: str = "cpu",
    threads: int = 0,
) -> BatchedCorrelations:
    """Correlates each of `scores` with `target`, in every group and resample.

    Args:
        metric: "srcc" (Spearman, average ranks for ties), "plcc" (Pearson) or "krcc" (Kendall's
            tau-b).
        scores: `[K, N]`, converted to float64; an array, or anything with a CUDA array interface.
        target: `[N]`.
        groups: index lists into N; None is one group of everything. Groups may overlap; an index
            listed twice counts twice.
        resamples: B, at most 2^32 - 1; or "jackknife", which leaves each cluster out once.
        clusters: `[N]` labels of any kind, equal for pictures that are drawn together; None makes
            each picture its own cluster.
        seed: 64 bits; the same seed, number of clusters and resample draw the same clusters on
            every device. Labels are numbered in sorted order.
        device: "cpu", or "cuda" for the current CUDA device.
        threads: on the CPU; 0 is all the cores that this process may use.

    Raises:
        ValueError: an unknown metric or device, shapes that do not fit, an index out of range, or
            NaN; names which score vector and where.
        RefusalError: `device` is "cuda" and there is none, or numba-cuda is not installed.
    """
    columns, wanted = _checked(scores, target)
    members = _members(groups, columns.shape[1])
    codes, count = _clusters(clusters, columns.shape[1])
    if metric not in METRICS:
        raise ValueError(f"unknown metric {metric!r}; known: {', '.join(METRICS)}")
    if isinstance(resamples, str) and resamples != JACKKNIFE:
        raise ValueError(f"resamples are a number or {JACKKNIFE!r}, not {resamples!r}")
    if metric == "plcc":
        columns, wanted = _scaled(columns), _scaled(wanted)
    coefficients = _on_device(device, threads, count, resamples, seed)
    drawn = count if isinstance(resamples, str) else resamples
    shape = (len(columns), len(members), drawn + 1)
    values, reasons = np.full(shape, np.nan), np.full(shape[:2], "", dtype="<U12")
    for g, rows in enumerate(members):
        if len(rows) < 2:
            reasons[:, g] = "fewer_than_2"
            continue
        group = Group.of(rows, wanted, codes)
        for chunk in _chunks(len(columns), max(len(rows), drawn + 1)):
            own = np.take(columns[chunk], group.members, axis=1)
            values[chunk, g] = coefficients.of(metric, group, own)
            reasons[chunk, g] = np.where(np.isnan(values[chunk, g, 0]), "constant", "")
            if metric == "plcc":
                infinite = np.isinf(own).any(axis=1) | np.isinf(group.target).any()
                values[chunk, g][infinite] = np.nan
                reasons[chunk, g][infinite] = "infinite"
    return BatchedCorrelations(values, reasons)


def _on_device(
    device: str, threads: int, clusters: int, resamples: int | str, seed: int
) -> Coefficients:
    # Imported here: numba takes half a second that a sweep's start does not have.
    if device == "cpu":
        from fastclip.statistics.batched.numba_cpu import CpuCoefficients

        return CpuCoefficients(clusters, resamples, seed, threads)
    if device == "cuda":
        from fastclip.statistics.batched.numba_cuda import CudaCoefficients

        return CudaCoefficients(clusters, resamples, seed)
    raise ValueError(f"unknown device {device!r}; known: cpu, cuda")


def _checked(scores: Any, target: Any) -> tuple[Float64Array, Float64Array]:
    columns, wanted = _on_host(scores), _on_host(target)
    if columns.ndim != 2 or wanted.shape != columns.shape[1:]:
        raise ValueError(
            f"scores {list(columns.shape)} and target {list(wanted.shape)} must be [K, N] and [N]"
        )
    if np.isnan(wanted).any():
        raise ValueError(f"target holds NaN at index {int(np.isnan(wanted).argmax())}")
    for row, index in np.argwhere(np.isnan(columns))[:1]:
        raise ValueError(f"scores[{row}] holds NaN at index {index}")
    return columns, wanted


def _on_host(values: Any) -> Float64Array:
    if hasattr(values, "__cuda_array_interface__"):
        from numba import cuda

        values = cuda.as_cuda_array(values).copy_to_host()
    return np.asarray(values, np.float64)


def _scaled(values: Float64Array) -> Float64Array:
    """Rows times powers of two that keep squares from over- and underflowing."""
    finite = np.where(np.isinf(values), 0, np.abs(values))
    _, exponents = np.frexp(finite.max(axis=-1, keepdims=True, initial=0))
    scaled: Float64Array = np.ldexp(values, -exponents)
    return scaled


def _members(groups: Sequence[npt.ArrayLike] | None, size: int) -> list[npt.NDArray[np.int64]]:
    if groups is None:
        return [np.arange(size)]
    members = [np.asarray(group, np.int64).reshape(-1) for group in groups]
    for number, group in enumerate(members):
        outside = group[(group < 0) | (group >= size)]
        if outside.size:
            raise ValueError(f"groups[{number}] holds index {outside[0]}, outside [0, {size})")
    return members


def _clusters(clusters: Any, size: int) -> tuple[npt.NDArray[np.uint32], int]:
    if clusters is None:
        return np.arange(size, dtype=np.uint32), size
    labels, codes = np.unique(np.asarray(clusters), return_inverse=True)
    if codes.shape != (size,):
        raise ValueError(f"clusters {list(codes.shape)} must be [{size}], one label per column")
    return codes.astype(np.uint32), len(labels)


def _chunks(count: int, length: int) -> Iterator[slice]:
    step = min(max(1, CHUNK // length), ROWS)
    for low in range(0, count, step):
        yield slice(low, low + step)
