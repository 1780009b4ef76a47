"""Brightness, contrast and saturation, as ImageNet-C has them; `kernels/colour.h` computes them.

With h, s and v of HSV, all on [0, 1], and results clipped there and rounded half to even (the
published corruption sets truncate instead).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from fastclip.distortions.base import KernelDistortion
from fastclip.errors import UsageError


class Brightness(KernelDistortion):
    """v + shift; a negative shift darkens."""

    name = "brightness"
    parameters = ("shift",)
    definition = "hsv-value/float32/half-even/1"
    smallest, largest = -1.0, 1.0

    def _kernel(self, keys: npt.NDArray[np.uint64]) -> tuple[str, dict[str, Any]]:
        return "recolour", {"kind": self.name, "shift": 255.0 * self.level}


class Contrast(KernelDistortion):
    """(x - mean) factor + mean, with the mean of each channel of the picture."""

    name = "contrast"
    parameters = ("factor",)
    definition = "about-channel-mean/float32/half-even/1"
    largest = 1_000.0

    def _kernel(self, keys: npt.NDArray[np.uint64]) -> tuple[str, dict[str, Any]]:
        return "recolour", {"kind": self.name, "factor": self.level}


@dataclass(frozen=True)
class Saturate(KernelDistortion):
    """s factor + shift.

    The level is the factor. Where it comes with a shift (two of the five published severities),
    the protocol has both. As in the published code grey counts as red of saturation 0, so a shift
    above 0 turns it reddish.

    Raises:
        UsageError: the factor or the shift is out of range.
    """

    shift: float = 0.0

    name = "saturate"
    parameters = ("factor", "shift")
    definition = "hsv-saturation/grey-is-red/float32/half-even/1"
    largest = 1_000.0

    def __post_init__(self) -> None:
        super().__post_init__()
        if not -1 <= self.shift <= 1:
            raise UsageError(
                f"saturate: shift {self.shift:g} is out of range", mend="give one from -1 to 1"
            )

    @property
    def title(self) -> str:
        """See `Distortion.title`."""
        return super().title + (f"{self.shift:+g}" if self.shift else "")

    def _kernel(self, keys: npt.NDArray[np.uint64]) -> tuple[str, dict[str, Any]]:
        return "recolour", {"kind": self.name, "factor": self.level, "shift": self.shift}
