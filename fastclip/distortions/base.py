"""A named distortion at a level, the same bytes wherever it is drawn."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt


@dataclass(frozen=True)
class Distortion(ABC):
    """One distortion at one level.

    Attributes:
        level: the strength, in the unit of the kind (standard deviation on [0, 1] for
            `gaussian_noise`); what the `level` column holds.
        seed: the noise seed; distortions without randomness ignore it.
        draw: number of the repeat (`--noise-seeds N` gives 0 .. N-1).
    """

    level: float
    seed: int = 0
    draw: int = 0

    @property
    @abstractmethod
    def kind(self) -> str:
        """Name in the registry and in the `distortion` column ("gaussian_noise")."""

    @abstractmethod
    def apply(
        self, pixels: npt.NDArray[np.uint8], keys: npt.NDArray[np.uint64], threads: int = 0
    ) -> npt.NDArray[np.uint8]:
        """Distort pictures.

        Args:
            pixels: uint8 `[N, H, W, 3]`.
            keys: uint64 `[N]`: first 64 bits (little-endian) of the BLAKE2b digest of each
                picture's *encoded* bytes. With `seed`, `draw` and the element's index it keys
                the generator; position in the batch never matters.
            threads: 0 for all cores; never changes the bytes.

        Returns:
            A new uint8 array of the same shape.
        """

    def identity(self) -> dict[str, Any]:
        """What goes into a protocol id."""
        return {"kind": self.kind, "level": self.level, "seed": self.seed, "draw": self.draw}
