"""The sums of `formulas` on the CPU: Numba, one resample per vector lane.

Work is cut into blocks of resamples. The members' multiplicities in a block (`rows`) stay in the
processor's cache while all score vectors pass over them. The innermost loops, over lanes, become
vector instructions. What depends on the target alone is computed once per block, by numpy.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from itertools import product
from typing import Any

import numpy as np
import numpy.typing as npt

from fastclip.machine import usable_cores
from fastclip.statistics.batched.compiled import compiled
from fastclip.statistics.batched.formulas import METRICS
from fastclip.statistics.batched.groups import POSITION, TIED, Group, order, padded
from fastclip.statistics.batched.resamples import left_out, multiplicities

Array = npt.NDArray[Any]
Block = Callable[[Group, Array, Array], tuple[Array, Array]]
Each = Callable[..., Iterator[Any]]

LANES = 32
"""Of Spearman and Pearson. With fewer, the compiler unrolls loops instead of vectorising them."""
KENDALL_LANES = 128
"""At most. More share the way through the tree, fewer need less of the cache."""
EXACT_FLOAT32 = 1 << 24
EXACT_UINT16 = 1 << 16


class CpuCoefficients:
    """See `base.Coefficients`."""

    def __init__(self, clusters: int, resamples: int | str, seed: int, threads: int) -> None:
        self._weights = (
            left_out(clusters)
            if isinstance(resamples, str)
            else multiplicities(clusters, resamples, seed)
        )
        self._threads = threads or usable_cores()

    def of(self, metric: str, group: Group, scores: Array) -> Array:
        """See `base.Coefficients.of`."""
        block, lanes = {"srcc": _spearman, "plcc": _pearson, "krcc": _kendall}[metric], LANES
        columns = self._weights.shape[1]
        if metric == "krcc":
            lanes = min(KENDALL_LANES, padded(-(-columns // self._threads), 16))
        values = np.empty((len(scores), columns))

        def run(rows: slice, low: int) -> None:
            drawn = self._weights[group.codes, low : low + lanes]
            width = drawn.shape[1]
            if width < lanes:
                drawn = np.pad(drawn, ((0, 0), (0, lanes - width)))
            sums, ties = block(group, scores[rows], drawn)
            target = np.stack([drawn.sum(axis=0, dtype=np.float64), ties])
            values[rows, low : low + width] = METRICS[metric](sums, target)[:, :width]

        lows = range(0, columns, lanes)
        step = -(-len(scores) // -(-self._threads // len(lows)))
        parts = [slice(low, low + step) for low in range(0, len(scores), step)]
        with workers(self._threads) as each:
            if metric != "plcc":
                scores = ordered(each, metric, np.array_split(scores, self._threads))
            list(each(lambda part: run(*part), product(parts, lows)))
        return values


@contextmanager
def workers(threads: int) -> Iterator[Each]:
    """`map` over so many threads; over this one where it is one, which small groups gain by."""
    if threads == 1:
        yield map
        return
    with ThreadPoolExecutor(threads) as pool:
        yield pool.map


def ordered(each: Each, metric: str, parts: Sequence[Array]) -> Array:
    """`groups.order` of score vectors, in parallel over parts of them."""
    return np.concatenate(list(each(lambda part: order(part, metric == "krcc"), parts)))


def _ties(group: Group, drawn: Array) -> Array:
    """Members drawn with each distinct target: `[distinct, lanes]` float64."""
    starts = np.flatnonzero(np.diff(group.levels, prepend=-1))
    return np.add.reduceat(drawn.astype(np.float64), starts, axis=0)


def _cubes(lengths: Array) -> Array:
    """Sums of cubes, exact as a power need not be."""
    return np.asarray((lengths * lengths * lengths).sum(axis=0))


def _spearman(group: Group, entries: Array, drawn: Array) -> tuple[Array, Array]:
    weights, ties = drawn.astype(np.float64), _ties(group, drawn)
    total = ties.sum(axis=0)
    # Doubled and centred, so integers; those below 2^24 are exact as float32.
    ranks = 2 * (ties.cumsum(axis=0) - ties) + ties - total
    ranked = weights * ranks[group.levels]
    exact = float(total.max()) * float(drawn.max()) < EXACT_FLOAT32
    rows = np.zeros((len(group) + 1, 2 * LANES), np.float32 if exact else np.float64)
    rows[:-1, :LANES], rows[:-1, LANES:] = weights, ranked
    sums = np.empty((2, len(entries), LANES))
    spearman_block(entries, rows, sums)
    sums += np.stack([(weights * ranked).sum(axis=0), _cubes(weights)])[:, None]
    return sums, _cubes(ties)


def _pearson(group: Group, scores: Array, drawn: Array) -> tuple[Array, Array]:
    weights, first = drawn.astype(np.float64), (drawn > 0).argmax(axis=0)
    values = group.target[:, None] - group.target[first]
    values -= (weights * values).sum(axis=0) / np.maximum(weights.sum(axis=0), 1)
    rows = np.concatenate([weights, weights * values], axis=1)
    sums = np.empty((3, len(scores), LANES))
    pearson_block(scores, first, rows, sums)
    return sums, (weights * values * values).sum(axis=0)


def _kendall(group: Group, entries: Array, drawn: Array) -> tuple[Array, Array]:
    ties = _ties(group, drawn)
    # Members then fit 16 bits, and pairs, at most half their square, fit 32.
    small = ties.sum(axis=0).max() < EXACT_UINT16
    rows = drawn if small else drawn.astype(np.int64)
    tree = np.empty((group.distinct + 2, drawn.shape[1]), rows.dtype)
    pairs = np.empty(drawn.shape[1], np.uint32 if small else np.int64)
    nodes = (group.distinct - group.levels).astype(np.uint64)
    sums = np.empty((3, len(entries), drawn.shape[1]))
    kendall_block(entries, nodes, rows, tree, pairs, sums)
    sums[1:] += np.square(drawn, dtype=np.float64).sum(axis=0)
    return sums, np.square(ties).sum(axis=0)


@compiled
def spearman_block(entries: Array, rows: Array, sums: Array) -> None:
    """Sums of `formulas.spearman`, less what does not depend on the order.

    Args:
        entries: `[K, padded(n)]` of `groups.order`.
        rows: `[n + 1, 2 * LANES]`: a member's multiplicities, and its ranks in the target times
            these; the last row is zero.
        sums: `[2, K, LANES]`, to be filled.
    """
    state, ties = np.empty(2 * LANES), np.empty((4, LANES))
    for k in range(len(entries)):
        _products(entries[k], rows, state)
        _tied_products(entries[k], rows, ties)
        for lane in range(LANES):
            sums[0, k, lane] = 2 * state[LANES + lane] + ties[0, lane]
            sums[1, k, lane] = ties[1, lane]


@compiled
def _products(entries: Array, rows: Array, state: Array) -> None:
    """Members before each entry times its ranks, summed, as if nothing were tied.

    Four entries at a time, so that `state` is loaded and stored once for them.
    """
    for lane in range(2 * LANES):
        state[lane] = 0
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
    """What ties in the scores add to the products, and to the cubes of multiplicities.

    ties: the two results, and the members and ranks of the tie so far.
    """
    for lane in range(LANES):
        for q in range(4):
            ties[q, lane] = 0
    inside = False
    for i in range(len(entries)):
        tied = (entries[i] & TIED) != 0
        if not (inside or tied):
            continue
        inside = tied
        row = rows[entries[i] & POSITION]
        for lane in range(LANES):
            own, ranked = np.float64(row[lane]), np.float64(row[LANES + lane])
            ties[0, lane] -= ranked * (2 * ties[2, lane] + own)
            ties[1, lane] -= own * own * own
            ties[2, lane] += own
            ties[3, lane] += ranked
        if not tied:
            for lane in range(LANES):
                own = ties[2, lane]
                ties[0, lane] += ties[3, lane] * own
                ties[1, lane] += own * own * own
                ties[2, lane] = ties[3, lane] = 0


@compiled
def pearson_block(scores: Array, first: Array, rows: Array, sums: Array) -> None:
    """Sums of `formulas.pearson`, of scores relative to that of the member `first` `[LANES]`.

    Args:
        scores: `[K, n]`.
        rows: `[n, 2 * LANES]`: a member's multiplicities, and its centred target times these.
        sums: `[3, K, LANES]`, to be filled.
    """
    state = np.empty((4, LANES))
    for k in range(len(scores)):
        for lane in range(LANES):
            state[0, lane] = state[1, lane] = state[2, lane] = 0
            state[3, lane] = scores[k, first[lane]]
        for i in range(scores.shape[1]):
            score, row = scores[k, i], rows[i]
            for lane in range(LANES):
                value = score - state[3, lane]
                weighted = row[lane] * value
                state[0, lane] += weighted
                state[1, lane] += weighted * value
                state[2, lane] += row[LANES + lane] * value
        for lane in range(LANES):
            for q in range(3):
                sums[q, k, lane] = state[q, lane]


@compiled
def kendall_block(
    entries: Array, nodes: Array, rows: Array, tree: Array, pairs: Array, sums: Array
) -> None:
    """Sums of `formulas.kendall`, less what does not depend on the order.

    Args:
        entries: `[K, >= n]` of `groups.order`, stable.
        nodes: `[n]` uint64, dense ranks of the target from 1, highest first.
        rows: `[n, lanes]`, multiplicities.
        tree: `[distinct + 2, lanes]` of a type that holds a resample's members.
        pairs: `[lanes]` of a type that holds their pairs.
        sums: `[3, K, lanes]`, to be filled.
    """
    ties = np.empty((4, len(pairs)))
    for k in range(len(entries)):
        _discordant(entries[k], nodes, rows, tree, pairs)
        _tied_squares(entries[k], nodes, rows, ties)
        for lane in range(len(pairs)):
            sums[0, k, lane] = pairs[lane]
            sums[1, k, lane] = ties[0, lane]
            sums[2, k, lane] = ties[1, lane]


@compiled
def _discordant(entries: Array, nodes: Array, rows: Array, tree: Array, pairs: Array) -> None:
    """Pairs of which one has the greater score and the lesser target.

    Fenwick's tree over the targets, highest first, counts the members of lesser score than the
    one that is looked up; members of a tie are added after all its lookups. The tree's last row
    is the running count of a lookup.
    """
    last, above = len(tree) - 2, tree[len(tree) - 1]
    one, lanes = np.uint64(1), len(pairs)
    tree[:] = 0
    pairs[:] = 0
    start = 0
    for end in range(len(nodes)):
        position = entries[end] & POSITION
        own, node = rows[position], nodes[position] - one
        above[:] = 0
        while node != 0:
            higher = tree[node]
            for lane in range(lanes):
                above[lane] += higher[lane]
            node &= node - one
        for lane in range(lanes):
            pairs[lane] += above[lane] * own[lane]
        if entries[end] & TIED:
            continue
        for i in range(start, end + 1):
            position = entries[i] & POSITION
            own, node = rows[position], nodes[position]
            while node <= last:
                count = tree[node]
                for lane in range(lanes):
                    count[lane] += own[lane]
                node += node & (~node + one)
        start = end + 1


@compiled
def _tied_squares(entries: Array, nodes: Array, rows: Array, ties: Array) -> None:
    """What ties in the scores, and in both, add to the squares of multiplicities.

    ties: the two results, and the members of the two kinds of tie so far.
    """
    lanes = ties.shape[1]
    ties[:] = 0
    inside = False
    for i in range(len(nodes)):
        tied = (entries[i] & TIED) != 0
        if not (inside or tied):
            continue
        inside = tied
        position = entries[i] & POSITION
        own = rows[position]
        for lane in range(lanes):
            weight = np.float64(own[lane])
            ties[0, lane] -= weight * weight
            ties[1, lane] -= weight * weight
            ties[2, lane] += weight
            ties[3, lane] += weight
        if not (tied and nodes[entries[i + 1] & POSITION] == nodes[position]):
            for lane in range(lanes):
                ties[1, lane] += ties[3, lane] * ties[3, lane]
                ties[3, lane] = 0
        if not tied:
            for lane in range(lanes):
                ties[0, lane] += ties[2, lane] * ties[2, lane]
                ties[2, lane] = 0
