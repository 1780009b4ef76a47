"""Keyed noise: a picture's noise depends on the picture, the seed and the kind alone.

Every element of a picture has one random word, Philox4x32-10 with the noise seed as key and
(element, kind, draw, picture's key) as counter; `kernels/noise.h` is the definition. All levels
of a kind scale that same field. Results are clipped to [0, 255] and rounded half to even (the
published corruption sets truncate instead), and are the same bytes for every batch size, thread
count, compiler and processor.
"""

from __future__ import annotations

from abc import abstractmethod
from functools import lru_cache
from hashlib import blake2b
from typing import Any

import numpy as np
import numpy.typing as npt

from fastclip.distortions.base import KernelDistortion
from fastclip.distortions.poisson import thresholds
from fastclip.errors import UsageError

NOISE_DEFINITION = "philox4x32-10/half-even/1"
"""Identity of the generator, its keying and its rounding; part of every noisy protocol."""


def picture_key(encoded: bytes) -> int:
    """The key of a picture: first 64 bits, little-endian, of its 256-bit BLAKE2b."""
    return key_of_digest(blake2b(encoded, digest_size=32).digest())


def key_of_digest(digest: bytes) -> int:
    """The key of a picture whose 256-bit BLAKE2b is known."""
    return int.from_bytes(digest[:8], "little")


class Noise(KernelDistortion):
    """What the five kinds share.

    Raises:
        UsageError: a level out of the kind's range, a seed beyond 64 or a draw beyond 24 bits.
    """

    definition = NOISE_DEFINITION
    random = True

    def __post_init__(self) -> None:
        super().__post_init__()
        if not (0 <= self.seed < 2**64 and 0 <= self.draw < 2**24):
            raise UsageError(
                f"noise seed {self.seed} or draw {self.draw} is out of range",
                mend="seeds go from 0 to 2^64 - 1, draws from 0 to 2^24 - 1",
            )

    def _kernel(self, keys: npt.NDArray[np.uint64]) -> tuple[str, dict[str, Any]]:
        return "noise", {
            "kind": self.name.removesuffix("_noise"),
            "keys": np.ascontiguousarray(keys, np.uint64),
            "seed": self.seed,
            "draw": self.draw,
            **self._strength(),
        }

    @abstractmethod
    def _strength(self) -> dict[str, Any]:
        """The level as the kernel takes it."""


class GaussianNoise(Noise):
    """x + N(0, sigma) on [0, 1], each element its own normal (Box-Muller)."""

    name = "gaussian_noise"
    parameters = ("sigma",)

    def _strength(self) -> dict[str, Any]:
        return {"scale": 255.0 * self.level}


class SpeckleNoise(Noise):
    """x + x N(0, sigma): multiplicative."""

    name = "speckle_noise"
    parameters = ("sigma",)

    def _strength(self) -> dict[str, Any]:
        return {"scale": self.level}


class UniformNoise(Noise):
    """x + U(-width, width) on [0, 1], each element its own."""

    name = "uniform_noise"
    parameters = ("width",)

    def _strength(self) -> dict[str, Any]:
        return {"scale": 255.0 * self.level}


class ImpulseNoise(Noise):
    """Salt and pepper: each element is replaced with probability `amount`, by 0 or 255 evenly.

    What a small amount replaces, a larger one replaces with the same grain.
    """

    name = "impulse_noise"
    parameters = ("amount",)
    largest = 1.0

    def _strength(self) -> dict[str, Any]:
        return {"threshold": round(self.level * 2**31)}


class ShotNoise(Noise):
    """Poisson(x c) / c on [0, 1]; the level c is the mean count of a white element.

    A smaller c is stronger noise. Drawn through the inverse of the exact distribution function,
    so that the counts of different levels rise and fall together.
    """

    name = "shot_noise"
    parameters = ("photons",)
    largest = 2_000.0

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.level == 0:
            raise UsageError("shot_noise: photons 0 leaves no picture", mend="give at least 0.1")

    def _strength(self) -> dict[str, Any]:
        return {"table": _table(self.level)}


@lru_cache(maxsize=16)
def _table(photons: float) -> npt.NDArray[np.uint32]:
    return thresholds(photons)
