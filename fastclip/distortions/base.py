"""A named distortion at a level, the same bytes wherever it is made."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any, ClassVar, TypeVar

import numpy as np
import numpy.typing as npt

from fastclip import kernels
from fastclip.errors import UsageError

A = TypeVar("A")
"""uint8 pictures: a numpy array, or a CUDA tensor of torch or cupy."""


@dataclass(frozen=True)
class Distortion(ABC):
    """One distortion at one level.

    Attributes:
        level: the strength, in the unit of the kind (standard deviation on [0, 1] for
            `gaussian_noise`); what the `level` column holds.
        seed: the noise seed; distortions without randomness ignore it.
        draw: number of the repeat; likewise.

    Raises:
        UsageError: a level out of the kind's range.
    """

    level: float
    seed: int = 0
    draw: int = 0

    name: ClassVar[str]
    """In the registry and in the `distortion` column."""
    parameters: ClassVar[tuple[str, ...]]
    """What the level is called (`gaussian_noise:sigma=0.1`), then fields that may follow it."""
    definition: ClassVar[str]
    """What names the bytes besides the parameters; raised when they change."""
    random: ClassVar[bool] = False
    """Whether seeds make a difference."""
    smallest: ClassVar[float] = 0.0
    largest: ClassVar[float] = float("inf")
    """Levels go from `smallest` to this, and are finite."""

    def __post_init__(self) -> None:
        if not (self.smallest <= self.level <= self.largest and self.level < float("inf")):
            upper = "" if self.largest == float("inf") else f" and at most {self.largest:g}"
            raise UsageError(
                f"{self.name}: {self.parameters[0]} {self.level:g} is out of range",
                mend=f"give a {self.parameters[0]} of at least {self.smallest:g}{upper}",
            )

    @property
    def kind(self) -> str:
        """Name in the registry and in the `distortion` column ("gaussian_noise")."""
        return self.name

    @property
    def title(self) -> str:
        """For people: "gaussian_noise 0.1 seed 0", "contrast 0.4"."""
        return f"{self.name} {self.level:g}" + (f" seed {self.seed}" if self.random else "")

    @abstractmethod
    def apply(self, pixels: A, keys: npt.NDArray[np.uint64], threads: int = 0) -> A:
        """Distort pictures.

        Args:
            pixels: uint8 `[N, H, W, 3]`: a numpy array, or a CUDA tensor of torch or cupy, on
                whose current stream the work is queued.
            keys: uint64 `[N]` in numpy: first 64 bits (little-endian) of the BLAKE2b digest of
                each picture's *encoded* bytes. With `seed`, `draw` and the element's index it keys
                the generator; position in the batch never matters. Distortions without randomness
                ignore it.
            threads: 0 for all cores; never changes the bytes.

        Returns:
            A new array of the same kind, place and shape; the bytes do not depend on the place.
        """

    def identity(self) -> dict[str, Any]:
        """What goes into a protocol id."""
        strength = {"level": self.level} | {key: getattr(self, key) for key in self.parameters[1:]}
        draw = {"seed": self.seed, "draw": self.draw} if self.random else {}
        return {"kind": self.kind, **strength, **draw, "definition": self.definition}


class KernelDistortion(Distortion):
    """A distortion that is one native kernel, on the CPU and on CUDA."""

    def apply(self, pixels: A, keys: npt.NDArray[np.uint64], threads: int = 0) -> A:
        """See `Distortion.apply`."""
        kernel, arguments = self._kernel(keys)
        return kernels.run(kernel, pixels, threads, **arguments)

    @abstractmethod
    def _kernel(self, keys: npt.NDArray[np.uint64]) -> tuple[str, dict[str, Any]]:
        """The kernel and the arguments that it takes besides the pictures."""
