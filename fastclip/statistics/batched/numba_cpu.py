"""The sums of `base.METRICS` on the CPU: Numba, one resample per vector lane.

A kernel takes a range of resamples, LANES at a time, and goes over all score vectors for each of
these blocks, so that the members' multiplicities (`rows`) stay in the processor's cache. The
innermost loops, over lanes, become vector instructions.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import numpy.typing as npt

from fastclip.machine import usable_cores
from fastclip.statistics.batched.compiled import compiled
from fastclip.statistics.batched.groups import POSITION, TIED, Group, order, padded
from fastclip.statistics.batched.resamples import multiplicities

Array = npt.NDArray[Any]

LANES = 32


class CpuSums:
    """See `base.Sums`."""

    def __init__(self, clusters: int, resamples: int, seed: int, threads: int) -> None:
        self._weights = multiplicities(clusters, resamples, seed)
        self._threads = threads or usable_cores()

    def of(self, metric: str, group: Group, scores: Array) -> tuple[Array, Array]:
        """See `base.Sums.of`."""
        columns = self._weights.shape[1]
        target = np.empty((2, columns))
        target[0] = members_drawn(group.codes, self._weights)
        kernel = {"srcc": _spearman, "plcc": _pearson, "krcc": _kendall}[metric]
        with ThreadPoolExecutor(self._threads) as pool:
            if metric != "plcc":
                parts = np.array_split(scores, self._threads)
                scores = np.concatenate(list(pool.map(order, parts)))
            if metric == "krcc":
                order_ties(scores)
            run, sums = kernel(group, scores, self._weights, target)
            # A few spans per thread, so that a busy core does not hold up the others.
            span = -(-columns // (4 * self._threads * LANES)) * LANES
            lows = range(0, columns, span)
            list(pool.map(lambda low: run(low, min(low + span, columns)), lows))
        return sums, target


Run = Callable[[int, int], None]


def _spearman(group: Group, ordered: Array, weights: Array, target: Array) -> tuple[Run, Array]:
    sums = np.empty((2, len(ordered), weights.shape[1]))
    # Weighted ranks, centred and doubled, are integers; float32 holds those below 2^24.
    largest = float(target[0].max()) * float(weights.max())
    kind = np.float32 if largest < 1 << 24 else np.float64

    def run(low: int, high: int) -> None:
        rows = np.zeros((len(group) + 1, 2 * LANES), kind)
        spearman_sums(ordered, group.levels, group.codes, weights, low, high, rows, sums, target)

    return run, sums


def _pearson(group: Group, scores: Array, weights: Array, target: Array) -> tuple[Run, Array]:
    sums = np.empty((3, len(scores), weights.shape[1]))

    def run(low: int, high: int) -> None:
        rows = np.zeros((len(group), 2 * LANES))
        pearson_sums(scores, group.target, group.codes, weights, low, high, rows, sums, target)

    return run, sums


def _kendall(group: Group, ordered: Array, weights: Array, target: Array) -> tuple[Run, Array]:
    sums = np.empty((3, len(ordered), weights.shape[1]))
    # There are at most W^2 / 2 pairs.
    kind = np.int32 if target[0].max() < 1 << 16 else np.int64

    def run(low: int, high: int) -> None:
        rows = np.zeros((len(group), LANES), kind)
        tree = np.empty((group.distinct + 1, LANES), kind)
        args = (ordered, group.levels, group.codes, weights, low, high, rows, tree, sums, target)
        kendall_sums(*args)

    return run, sums


@compiled
def members_drawn(codes: Array, weights: Array) -> Array:
    """Members in each resample, counted with their multiplicities: `[B + 1]` int64."""
    drawn = np.zeros(weights.shape[1], np.int64)
    for code in codes:
        drawn += weights[code]
    return drawn


@compiled
def order_ties(ordered: Array) -> None:
    """Puts tied entries of each order into ascending order of position, so of target."""
    for k in range(len(ordered)):
        row, start = ordered[k], 0
        for i in range(ordered.shape[1]):
            if not row[i] & TIED:
                if i > start:
                    row[start:i] &= POSITION
                    row[start : i + 1].sort()
                    row[start:i] |= TIED
                start = i + 1


@compiled
def _load(rows: Array, codes: Array, weights: Array, low: int, high: int) -> int:
    """Multiplicities of each member in LANES resamples from `low`; 0 from `high` on."""
    width = min(LANES, high - low)
    for i in range(len(codes)):
        source = weights[codes[i]]
        for lane in range(width):
            rows[i, lane] = source[low + lane]
        for lane in range(width, LANES):
            rows[i, lane] = 0
    return width


@compiled
def spearman_sums(
    ordered: Array,
    levels: Array,
    codes: Array,
    weights: Array,
    low: int,
    high: int,
    rows: Array,
    sums: Array,
    target: Array,
) -> None:
    """Sums of `base.spearman` for resamples `low` to `high`; `rows` is `[n + 1, 2 * LANES]`.

    Right of its multiplicities a row has the member's rank in the target times these.
    """
    state, once = np.empty(2 * LANES), np.empty((3, LANES))
    ties = np.empty((2, LANES))
    for start in range(low, high, LANES):
        width = _load(rows, codes, weights, start, high)
        _rank_target(rows, levels, once)
        target[1, start : start + width] = once[0, :width]
        for k in range(len(ordered)):
            _products(ordered[k], rows, state)
            _tied_products(ordered[k], rows, ties)
            for lane in range(width):
                product = 2 * state[LANES + lane] + once[1, lane] + ties[0, lane]
                sums[0, k, start + lane] = product
                sums[1, k, start + lane] = once[2, lane] + ties[1, lane]


@compiled
def _rank_target(rows: Array, levels: Array, once: Array) -> None:
    """Fills the right half of `rows`; `once` gets what is the same for every score vector.

    once: cubes of ties in the target; multiplicity times weighted rank; cubes of multiplicities.
    """
    count = len(levels)
    total, below, tie = np.zeros(LANES), np.zeros(LANES), np.zeros(LANES)
    for i in range(count):
        total += rows[i, :LANES]
    once[:] = 0
    start = 0
    for i in range(count):
        tie += rows[i, :LANES]
        if i + 1 < count and levels[i + 1] == levels[i]:
            continue
        for member in range(start, i + 1):
            for lane in range(LANES):
                weight = np.float64(rows[member, lane])
                ranked = weight * (2 * below[lane] + tie[lane] - total[lane])
                rows[member, LANES + lane] = ranked
                once[1, lane] += weight * ranked
                once[2, lane] += weight**3
        for lane in range(LANES):
            once[0, lane] += tie[lane] ** 3
            below[lane] += tie[lane]
            tie[lane] = 0
        start = i + 1


@compiled
def _products(entries: Array, rows: Array, state: Array) -> None:
    """Multiplicities before each entry times its ranked row, summed, as if nothing were tied.

    Four entries at a time, so that `state` is loaded and stored once for them.
    """
    state[:] = 0
    for i in range(0, len(entries), 4):
        a, b = rows[entries[i] & POSITION], rows[entries[i + 1] & POSITION]
        c, d = rows[entries[i + 2] & POSITION], rows[entries[i + 3] & POSITION]
        for lane in range(LANES):
            right = lane + LANES
            w0 = state[lane]
            w1 = w0 + a[lane]
            w2 = w1 + b[lane]
            w3 = w2 + c[lane]
            state[right] += a[right] * w0 + b[right] * w1 + c[right] * w2 + d[right] * w3
            state[lane] = w3 + d[lane]


@compiled
def _tied_products(entries: Array, rows: Array, ties: Array) -> None:
    """What ties in the scores add to the products, and to the cubes of multiplicities."""
    weight, ranked = np.zeros(LANES), np.zeros(LANES)
    ties[:] = 0
    inside = False
    for i in range(len(entries)):
        tied = (entries[i] & TIED) != 0
        if not (inside or tied):
            continue
        row = rows[entries[i] & POSITION]
        for lane in range(LANES):
            own = np.float64(row[lane])
            ties[0, lane] -= row[LANES + lane] * (2 * weight[lane] + own)
            ties[1, lane] -= own**3
            weight[lane] += own
            ranked[lane] += row[LANES + lane]
        if not tied:
            for lane in range(LANES):
                ties[0, lane] += ranked[lane] * weight[lane]
                ties[1, lane] += weight[lane] ** 3
                weight[lane] = ranked[lane] = 0
        inside = tied


@compiled
def pearson_sums(
    scores: Array,
    wanted: Array,
    codes: Array,
    weights: Array,
    low: int,
    high: int,
    rows: Array,
    sums: Array,
    target: Array,
) -> None:
    """Sums of `base.pearson` for resamples `low` to `high`; `rows` is `[n, 2 * LANES]`.

    Right of its multiplicities a row has the member's centred target times these.
    """
    state, first = np.empty((4, LANES)), np.empty(LANES, np.int64)
    for start in range(low, high, LANES):
        width = _load(rows, codes, weights, start, high)
        for lane in range(width):
            first[lane] = 0
            while first[lane] < len(codes) - 1 and rows[first[lane], lane] == 0:
                first[lane] += 1
            target[1, start + lane] = _centre_target(rows, wanted, lane, wanted[first[lane]])
        for k in range(len(scores)):
            state[:] = 0
            for lane in range(width):
                state[3, lane] = scores[k, first[lane]]
            for i in range(scores.shape[1]):
                score, row = scores[k, i], rows[i]
                for lane in range(LANES):
                    value = score - state[3, lane]
                    weighted = row[lane] * value
                    state[0, lane] += weighted
                    state[1, lane] += weighted * value
                    state[2, lane] += row[LANES + lane] * value
            for lane in range(width):
                for q in range(3):
                    sums[q, k, start + lane] = state[q, lane]


@compiled
def _centre_target(rows: Array, wanted: Array, lane: int, origin: float) -> float:
    """Fills the right half of `rows` in one lane; returns the sum of squares."""
    total = weight = squares = 0.0
    for i in range(len(wanted)):
        total += rows[i, lane] * (wanted[i] - origin)
        weight += rows[i, lane]
    mean = total / weight if weight > 0 else 0.0
    for i in range(len(wanted)):
        value = (wanted[i] - origin) - mean
        rows[i, LANES + lane] = rows[i, lane] * value
        squares += rows[i, lane] * value * value
    return squares


@compiled
def kendall_sums(
    ordered: Array,
    levels: Array,
    codes: Array,
    weights: Array,
    low: int,
    high: int,
    rows: Array,
    tree: Array,
    sums: Array,
    target: Array,
) -> None:
    """Sums of `base.kendall` for resamples `low` to `high`.

    `rows` is `[n, LANES]`, `tree` `[distinct + 1, LANES]`, both of an integer type that holds
    the number of pairs.
    """
    pairs, once, ties = np.empty(LANES, rows.dtype), np.zeros((2, LANES)), np.empty((2, LANES))
    for start in range(low, high, LANES):
        width = _load(rows, codes, weights, start, high)
        _square_target(rows, levels, once)
        target[1, start : start + width] = once[0, :width]
        for k in range(len(ordered)):
            _discordant(ordered[k], rows, levels, tree, pairs)
            _tied_squares(ordered[k], rows, levels, ties)
            for lane in range(width):
                sums[0, k, start + lane] = pairs[lane]
                sums[1, k, start + lane] = once[1, lane] + ties[0, lane]
                sums[2, k, start + lane] = once[1, lane] + ties[1, lane]


@compiled
def _square_target(rows: Array, levels: Array, once: Array) -> None:
    """Squares of the lengths of ties in the target, and of the multiplicities."""
    tie = np.zeros(LANES)
    once[:] = 0
    for i in range(len(levels)):
        for lane in range(LANES):
            weight = np.float64(rows[i, lane])
            tie[lane] += weight
            once[1, lane] += weight * weight
        if i + 1 == len(levels) or levels[i + 1] != levels[i]:
            for lane in range(LANES):
                once[0, lane] += tie[lane] * tie[lane]
                tie[lane] = 0


@compiled
def _discordant(entries: Array, rows: Array, levels: Array, tree: Array, pairs: Array) -> None:
    """Pairs with a greater score and a lesser target.

    Fenwick's tree over the levels, highest first, holds the multiplicities of the members whose
    score is less than the one that is looked up; members of a tie are added after all its lookups.
    """
    distinct, above = len(tree) - 1, np.empty_like(pairs)
    tree[:] = 0
    pairs[:] = 0
    start = 0
    for end in range(len(levels)):
        position = entries[end] & POSITION
        node = distinct - np.intp(levels[position]) - 1
        above[:] = 0
        while node > 0:
            for lane in range(LANES):
                above[lane] += tree[node, lane]
            node &= node - 1
        for lane in range(LANES):
            pairs[lane] += above[lane] * rows[position, lane]
        if entries[end] & TIED:
            continue
        for i in range(start, end + 1):
            position = entries[i] & POSITION
            node = distinct - np.intp(levels[position])
            while node <= distinct:
                for lane in range(LANES):
                    tree[node, lane] += rows[position, lane]
                node += node & -node
        start = end + 1


@compiled
def _tied_squares(entries: Array, rows: Array, levels: Array, ties: Array) -> None:
    """What ties in the scores, and in both, add to the squares of multiplicities."""
    weight, both = np.zeros(LANES), np.zeros(LANES)
    ties[:] = 0
    inside = False
    for i in range(len(levels)):
        tied = (entries[i] & TIED) != 0
        if not (inside or tied):
            continue
        position = entries[i] & POSITION
        same = tied and levels[entries[i + 1] & POSITION] == levels[position]
        for lane in range(LANES):
            own = np.float64(rows[position, lane])
            ties[0, lane] -= own * own
            ties[1, lane] -= own * own
            weight[lane] += own
            both[lane] += own
        for lane in range(LANES):
            if not same:
                ties[1, lane] += both[lane] * both[lane]
                both[lane] = 0
            if not tied:
                ties[0, lane] += weight[lane] * weight[lane]
                weight[lane] = 0
        inside = tied
