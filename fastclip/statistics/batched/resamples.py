"""Which clusters a resample draws: Philox4x32-10, as `kernels/philox.h` has it, in Numba.

Philox key      = seed (64 bits)
Philox counter  = (draw / 4, 255 << 24, resample, 0)
word            = draw % 4; the cluster drawn is word * clusters >> 32

Noise has its kind, 1 to 5, where this has 255: one seed may serve both. A cluster's probability
is off by less than clusters / 2^32 of itself.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

from fastclip.statistics.batched.compiled import compiled

PURPOSE = np.uint64(255 << 24)
WORD = np.uint64(0xFFFFFFFF)
HALF = np.uint64(32)
MULTIPLIERS = np.uint64(0xD2511F53), np.uint64(0xCD9E8D57)
WEYL = np.uint64(0x9E3779B9), np.uint64(0xBB67AE85)


def philox(c0: Any, c1: Any, c2: Any, c3: Any, k0: Any, k1: Any) -> tuple[Any, Any, Any, Any]:
    """The four words of a counter under a key; all are uint64 that hold 32 bits.

    Compiled by each device's own compiler; plain Python where neither is wanted.
    """
    for _ in range(10):
        p0 = MULTIPLIERS[0] * c0
        p1 = MULTIPLIERS[1] * c2
        c0, c1, c2, c3 = (p1 >> HALF) ^ c1 ^ k0, p1 & WORD, (p0 >> HALF) ^ c3 ^ k1, p0 & WORD
        k0, k1 = (k0 + WEYL[0]) & WORD, (k1 + WEYL[1]) & WORD
    return c0, c1, c2, c3


_philox = compiled(philox)


def multiplicities(clusters: int, resamples: int, seed: int) -> npt.NDArray[np.uint16]:
    """How often each cluster is drawn: `[clusters, resamples + 1]`; column 0 is all ones.

    `clusters` draws per resample. uint16 cannot overflow but by a chance of less than 2^-65536.
    """
    drawn = np.zeros((resamples + 1, clusters), np.uint16)
    drawn[0] = 1
    _draw(drawn[1:], 1, np.uint64(seed & 0xFFFFFFFF), np.uint64(seed >> 32))
    return np.ascontiguousarray(drawn.T)


def resample_blocks(
    clusters: int, resamples: int, seed: int, size: int
) -> Iterator[tuple[slice, npt.NDArray[np.uint16]]]:
    """The same draws, `size` resamples at a time: (which of 0 .. resamples, `[size, clusters]`).

    For many clusters, whose multiplicities in all resamples would not fit into memory.
    """
    for low in range(0, resamples, size):
        drawn = np.zeros((min(size, resamples - low), clusters), np.uint16)
        _draw(drawn, low + 1, np.uint64(seed & 0xFFFFFFFF), np.uint64(seed >> 32))
        yield slice(low, low + len(drawn)), drawn


def left_out(clusters: int) -> npt.NDArray[np.uint16]:
    """`[clusters, clusters + 1]`: column 0 is all ones, column 1 + c leaves cluster c out."""
    kept = np.ones((clusters, clusters + 1), np.uint16)
    np.fill_diagonal(kept[:, 1:], 0)
    return kept


@compiled
def _draw(drawn: npt.NDArray[np.uint16], first: int, key: Any, high_key: Any) -> None:
    """Add the draws of resamples first, first + 1, ... to the rows of `drawn`."""
    clusters = np.uint64(drawn.shape[1])
    for place in range(len(drawn)):
        row, resample = drawn[place], first + place
        for block in range((len(row) + 3) // 4):
            words = _philox(
                np.uint64(block), PURPOSE, np.uint64(resample), np.uint64(0), key, high_key
            )
            for lane in range(min(4, len(row) - 4 * block)):
                row[words[lane] * clusters >> HALF] += 1
