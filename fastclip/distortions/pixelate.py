"""Pixelation: shrunk and enlarged again with Pillow's BOX filter."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from fastclip import kernels
from fastclip.distortions.base import A, Distortion


class Pixelate(Distortion):
    """To int(factor * edge) pixels along each edge, at least one, and back.

    The filter is an area mean on the way down and picks the nearest pixel, or the mean of two,
    on the way up.
    """

    name = "pixelate"
    parameters = ("factor",)
    definition = "pillow-12.1-box/1"
    largest = 1.0

    def apply(self, pixels: A, keys: npt.NDArray[np.uint64], threads: int = 0) -> A:
        """See `Distortion.apply`."""
        _, height, width, _ = pixels.shape  # type: ignore[attr-defined]
        small = (max(1, int(height * self.level)), max(1, int(width * self.level)))
        shrunk = kernels.resize(pixels, small, "box", threads=threads)
        return kernels.resize(shrunk, (height, width), "box", threads=threads)
