"""Gaussian blur: skimage's `gaussian(x, sigma)`, columns then rows, rounded once at the end."""

from __future__ import annotations

from decimal import ROUND_HALF_EVEN, Context, Decimal, localcontext
from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt

from fastclip.distortions.base import KernelDistortion

TRUNCATE = 4.0
"""Where the kernel ends, in sigmas."""


class GaussianBlur(KernelDistortion):
    """Each channel with a Gaussian of `sigma` pixels, cut at 4 sigma; edges are repeated."""

    name = "gaussian_blur"
    parameters = ("sigma",)
    definition = "separable/nearest/truncate-4/float32/half-even/1"
    largest = 256.0

    def _kernel(self, keys: npt.NDArray[np.uint64]) -> tuple[str, dict[str, Any]]:
        return "blur", {"weights": weights(self.level)}


@lru_cache(maxsize=16)
def weights(sigma: float) -> npt.NDArray[np.float32]:
    """exp(-k^2 / (2 sigma^2)) for k = -radius .. radius, over their sum.

    The radius is 4 sigma, rounded half up (`scipy.ndimage.gaussian_filter1d`). Computed in decimal
    arithmetic of 40 digits: libraries' `exp` differ in the last bit.

    Returns:
        float32 `[2 radius + 1]`.
    """
    radius = int(TRUNCATE * sigma + 0.5)
    with localcontext(Context(prec=40, rounding=ROUND_HALF_EVEN)):
        twice = 2 * Decimal(sigma) ** 2
        half = [(-k * k / twice).exp() for k in map(Decimal, range(1, radius + 1))]
        values = [*reversed(half), Decimal(1), *half]
        total = sum(values)
        return np.array([value / total for value in values], np.float32)
