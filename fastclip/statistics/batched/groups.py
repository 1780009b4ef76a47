"""A group of pictures in the order of its target, and score vectors sorted once."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

TIED = np.uint32(1 << 31)
"""Bit of an order's entry: the next entry has the same score."""
POSITION = np.uint32(TIED - 1)
"""Bits of an order's entry: a position in the group."""
UNROLL = 4
"""Orders are padded to a multiple of this."""


@dataclass(frozen=True)
class Group:
    """Members in ascending order of target; a member's *position* is its place in that order.

    Attributes:
        members: `[n]` int64, indices into the call's pictures.
        target: `[n]` float64, ascending.
        levels: `[n]` uint32, dense ranks of `target`, from 0.
        codes: `[n]` uint32, each member's cluster.
    """

    members: npt.NDArray[np.int64]
    target: npt.NDArray[np.float64]
    levels: npt.NDArray[np.uint32]
    codes: npt.NDArray[np.uint32]

    @classmethod
    def of(
        cls,
        members: npt.NDArray[np.int64],
        target: npt.NDArray[np.float64],
        codes: npt.NDArray[np.uint32],
    ) -> Group:
        """The group of `members` under `target` `[N]`, with clusters `codes` `[N]`."""
        members = members[np.argsort(target[members])]
        values = target[members]
        levels = np.zeros(len(members), np.uint32)
        np.cumsum(values[1:] != values[:-1], out=levels[1:])
        return cls(members, values, levels, codes[members])

    def __len__(self) -> int:
        return len(self.members)

    @property
    def distinct(self) -> int:
        """Number of distinct targets."""
        return int(self.levels[-1]) + 1


def padded(length: int, multiple: int = UNROLL) -> int:
    """`length` rounded up to a multiple."""
    return -(-length // multiple) * multiple


def order(scores: npt.NDArray[np.float64], stable: bool = True) -> npt.NDArray[np.uint32]:
    """Positions in ascending order of score, `[K, n]` -> `[K, padded(n)]`.

    `TIED` is set in an entry whose successor has the same score. Padded with position n. With
    `stable`, which takes four times as long, tied entries ascend in position, so in target.
    """
    count, length = scores.shape
    places = np.argsort(scores, axis=1, kind="stable" if stable else "quicksort")
    ordered = np.take_along_axis(scores, places, axis=1)
    entries = np.full((count, padded(length)), length, np.uint32)
    entries[:, :length] = places
    entries[:, : length - 1][ordered[:, 1:] == ordered[:, :-1]] |= TIED
    return entries
