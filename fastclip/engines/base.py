"""The engine: a compiled tower whose weights change and nothing else."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from concurrent.futures import Future
from dataclasses import dataclass
from types import TracebackType
from typing import TYPE_CHECKING, Any, ClassVar, Self

import numpy as np
import numpy.typing as npt

from fastclip.errors import EngineError, UsageError
from fastclip.machine import usable_cores

if TYPE_CHECKING:
    from fastclip.stimuli.base import Pixels
    from fastclip.towers.base import Manifest, Towers

Handle = Any
"""What `place` returns: pictures where the engine wants them."""

Outputs = Any
"""Raw embeddings where the engine left them, or a promise of them; `fetch` brings them to the host.
"""

Prepared = Any
"""Weights ready to be swapped in; a mapping of packed arrays is one too."""


@dataclass(frozen=True)
class Shapes:
    """Batch sizes, fixed for the sweep; a last batch that is short is padded inside."""

    image_batch: int = 32
    text_batch: int = 64


class Engine(ABC):
    """Runs one architecture's towers for many checkpoints.

    Life: `open` once per architecture, `place` once per view, then per checkpoint `load` and any
    number of `encode_*`. Normalisation, distances and scores happen outside, in float64.

    Attributes:
        name: as in `fastclip.engines.ENGINES`.
        family: engines of one family give the same numbers; one output folder holds one family.
        precisions, devices: what `__init__` accepts; the first precision is the default one.
        prepares_ahead: `prepare` does what a swap costs, and may be called from another thread
            while a checkpoint before it is encoded; there is memory for two checkpoints then.
        default_shapes: batch sizes where the user names none.
        threads: threads in use: the argument, or all cores this process may use where it is 0.
    """

    name: ClassVar[str]
    family: ClassVar[str]
    precisions: ClassVar[tuple[str, ...]] = ("fp32",)
    devices: ClassVar[tuple[str, ...]] = ("cpu",)
    prepares_ahead: ClassVar[bool] = False
    # A fixed size makes results equal from folder to folder.
    default_shapes: ClassVar[Shapes] = Shapes()

    @classmethod
    def unavailable(cls, device: str) -> str | None:
        """Why this machine cannot run the engine on `device`, or None where it can.

        May import the engine's library; never raises.
        """
        return None

    def __init__(self, *, precision: str = "fp32", threads: int = 0, device: str = "cpu") -> None:
        """Raises UsageError where the engine does not know the precision or the device."""
        for kind, value, known in (
            ("precision", precision, self.precisions),
            ("device", device, self.devices),
        ):
            # "cuda:1" is the second device of the kind "cuda".
            if value.split(":")[0] not in known:
                raise UsageError(
                    f"engine '{self.name}' does not know the {kind} '{value}'",
                    where=f"--{kind}",
                    mend=f"choose one of: {', '.join(known)}",
                )
        self.precision = precision
        self.device = device
        self.threads = threads or usable_cores()

    @property
    def takes_stored(self) -> bool:
        """Whether `upload` takes torch tensors as stored in the file, in memory that is used again.

        They are float16, bfloat16, float32 or float64, in page-locked memory where there is CUDA,
        which the next checkpoint is read into once this one is swapped in and an embedding of it
        was fetched. So `upload` or `load` must copy; a CPU engine that keeps what it is handed
        must not say so.
        """
        return self.device.startswith("cuda")

    @abstractmethod
    def open(self, towers: Towers, shapes: Shapes) -> None:
        """Compile or prepare; no weights yet. May be called again for another architecture."""

    @abstractmethod
    def manifest(self, towers: Towers) -> Manifest:
        """The manifest whose packed names `load` expects."""

    @abstractmethod
    def place(self, pixels: Pixels) -> Handle:
        """Put pictures, uint8 `[U, H, W, 3]`, where the engine reads them; once per sweep.

        A set of fewer than `image_batch` pictures is encoded as one batch of `U`.
        """

    def upload(self, tensors: Mapping[str, Any]) -> Mapping[str, Any]:
        """A checkpoint's tensors where the engine wants them packed; once per checkpoint.

        A CPU engine packs them where they are. A CUDA engine returns float32 torch tensors on
        its device; what it gets are arrays, or, where it `takes_stored`, torch tensors.
        """
        return tensors

    def prepare(self, packed: Mapping[str, Any]) -> Prepared:
        """Everything of a swap that can be done while another checkpoint is encoded.

        What it returns holds all that it needs of `packed`, and goes into `load` once.

        Raises:
            EngineError: a name is missing or unexpected, or has another shape.
        """
        return packed

    @abstractmethod
    def load(self, packed: Prepared) -> None:
        """Swap in a checkpoint's weights; every packed name, every time.

        `packed` holds float32 numpy arrays, or what `pack` makes of uploaded tensors, or is what
        `prepare` made of them.

        Raises:
            EngineError: a name is missing or unexpected, or has another shape.
        """

    @abstractmethod
    def encode_images(self, handle: Handle, lo: int, hi: int) -> Outputs:
        """Raw embeddings of rows `lo:hi` (at most `image_batch` of them), float32 `[hi-lo, D]`."""

    @abstractmethod
    def encode_texts(self, ids: npt.NDArray[np.int64], eot: npt.NDArray[np.int64]) -> Outputs:
        """Raw embeddings of token ids `[n, L]`, end-of-text at `eot` `[n]`: float32 `[n, D]`.

        `n` is at most `text_batch`.
        """

    def fetch(self, *outputs: Outputs) -> npt.NDArray[np.float32]:
        """Outputs, joined, as one host array; the only call that waits for a device or thread."""
        arrays = [o.result() if isinstance(o, Future) else o for o in outputs]
        return np.concatenate(arrays) if len(arrays) > 1 else np.asarray(arrays[0], np.float32)

    def describe(self) -> dict[str, str]:
        """Versions and settings for `env.json` and `fastclip doctor`."""
        return {
            "engine": self.name,
            "precision": self.precision,
            "device": self.device,
            "threads": str(self.threads),
        }

    def close(self) -> None:  # noqa: B027  (an engine without resources has nothing to close)
        """Give back memory and devices."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


def pad_rows(array: npt.NDArray[Any], rows: int) -> npt.NDArray[Any]:
    """`array` with its last row repeated until there are `rows`; itself where it has them.

    Every batch then has the same shape, so a row's bits do not depend on how many came with it.
    """
    if len(array) == rows:
        return array
    return np.concatenate([array, np.repeat(array[-1:], rows - len(array), axis=0)])


def refuse_misfits(packed: Mapping[str, np.ndarray], manifest: Manifest) -> None:
    """Check that `packed` holds the manifest's names, no others, in their shapes.

    Raises:
        EngineError: names what is missing, unexpected or of another shape.
    """
    expected = manifest.recipes.keys()
    misshapen = {
        name
        for name, shape in manifest.shapes.items()
        if name in packed and packed[name].shape != shape
    }
    for kind, names in (
        ("missing", expected - packed.keys()),
        ("unexpected", packed.keys() - expected),
        ("of another shape", misshapen),
    ):
        if names:
            raise EngineError(
                f"{len(names)} packed tensors are {kind}: {', '.join(sorted(names)[:5])}",
                mend="pack with the manifest that engine.manifest(towers) returns",
            )
