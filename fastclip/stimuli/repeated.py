"""Pictures that come again as often as a plain loop would encode them."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from fastclip.stimuli.base import Int64Array, Pixels, UInt8Array, View


class RepeatedPixels:
    """Rows of other pixels in any order and number.

    Args:
        pixels: uint8 `[U, H, W, 3]`.
        rows: `[N]` of them.
    """

    def __init__(self, pixels: Pixels, rows: Int64Array) -> None:
        self._pixels = pixels
        self._rows = rows
        self.shape = (len(rows), *pixels.shape[1:])

    def __getitem__(self, rows: slice) -> UInt8Array:
        return np.concatenate([self._pixels[row : row + 1] for row in self._rows[rows].tolist()])


def repeat(view: View, again: Int64Array) -> View:
    """The same view with every picture of the set in it, alike or not, and some once more.

    Args:
        again: `[R]`, rows of the set that follow after the set's own; their embeddings stand for
            all of that row.
    """
    own = np.arange(len(view.index))
    index = own.copy()
    index[again] = len(own) + np.arange(len(again))
    rows = view.index[np.concatenate([own, again])]
    return replace(view, pixels=RepeatedPixels(view.pixels, rows), index=index)
