"""What a checkpoint is to the rest of fastclip."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, ClassVar, Self

if TYPE_CHECKING:
    from fastclip.checkpoints.memory import Memory


@dataclass(frozen=True)
class Checkpoint:
    """One checkpoint as found on disk; no weights have been read.

    Attributes:
        path: the file, or the folder of a Hugging Face checkpoint.
        run: name of the training run (`--run`, else the run's folder).
        format: name of its reader in `fastclip.checkpoints.FORMATS`.
        weights: `"raw"`, or `"ema"` for the averaged weights of the same file.
        step, epoch, samples_seen: from the file's name and folder where known before opening,
            else None; `CheckpointFile.metadata` wins over the name once the file is open.
        stamp: what decides "the same file as last time" without reading weights: size, mtime
            and a digest of the zip directory (which holds every entry's CRC-32) or of the
            safetensors header.
        anchor: the open_clip tag (`openclip:ViT-B-16/openai`) when it was given as one.
    """

    path: Path
    run: str
    format: str
    stamp: str
    weights: str = "raw"
    step: int | None = None
    epoch: int | None = None
    samples_seen: int | None = None
    anchor: str | None = None

    @property
    def name(self) -> str:
        """`runA/epoch_2.pt`-like label that ends with the file's name; an anchor's is its tag."""
        return self.anchor if self.anchor is not None else f"{self.run}/{self.path.name}"


@dataclass(frozen=True)
class TensorInfo:
    """A tensor's entry in a checkpoint: known without reading its values."""

    shape: tuple[int, ...]
    dtype: str  # torch's name without "torch.": "float32", "bfloat16", "int64"


@dataclass(frozen=True)
class Metadata:
    """What the checkpoint file itself says of its place in training; None where it is silent."""

    step: int | None = None
    epoch: int | None = None
    samples_seen: int | None = None
    extra: Mapping[str, Any] = field(default_factory=dict)


class CheckpointFile(ABC):
    """An open checkpoint: names, shapes and metadata at once, values on demand with pread.

    Names are the model's own: `module.` and `_orig_mod.` prefixes are gone. Use as a context
    manager.
    """

    tensors: Mapping[str, TensorInfo]
    metadata: Metadata
    layout: str = "open_clip"  # or "huggingface": how the tensors are named

    @abstractmethod
    def read(self, names: Iterable[str], memory: Memory | None = None) -> dict[str, Any]:
        """Read these tensors and no others.

        Args:
            memory: where they are read to, prepared; arrays of their own by default.

        Returns:
            `{name: array}`, C-contiguous: floating tensors as float32 (float16, bfloat16 and
            float64 are converted), integer tensors in their own dtype. With an `Arena`,
            `{name: torch tensor}` as stored, in memory that the arena's next checkpoint
            writes over.

        Raises:
            CheckpointError: a name is missing, the file is cut short, or `memory` was told to
                cancel.
        """

    @abstractmethod
    def digest(self, names: Iterable[str]) -> str:
        """Hex SHA-256 over (name, dtype, shape, stored bytes) of these tensors, by name.

        Tensors that `read` has already been asked for are hashed while they are read and are
        not read twice.
        """

    @abstractmethod
    def close(self) -> None: ...

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


class Reader(ABC):
    """One file format. A new format is one subclass and one line in `FORMATS`."""

    name: ClassVar[str]

    @classmethod
    @abstractmethod
    def recognises(cls, path: Path) -> bool:
        """Whether `path` looks like this format, from its name and first bytes only."""

    @classmethod
    @abstractmethod
    def stamp(cls, path: Path) -> str:
        """The stamp of `path` (see `Checkpoint.stamp`); reads no weights.

        Raises:
            CheckpointError: the file is still being written, or was cut short.
        """

    @classmethod
    @abstractmethod
    def open(
        cls, path: Path, *, weights: str = "raw", trust_pickle: bool = False
    ) -> CheckpointFile:
        """Open `path`.

        Raises:
            CheckpointError: not this format, cut short, or a pickle that names a global outside
                the allow-list (the message names it and `--trust-pickle`).
        """
