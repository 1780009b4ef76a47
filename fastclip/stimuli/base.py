"""Pictures, data sets and views: what the evaluators measure on."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol, runtime_checkable

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from torch import Tensor

UInt8Array = npt.NDArray[np.uint8]
Int64Array = npt.NDArray[np.int64]
Float64Array = npt.NDArray[np.float64]

PIXEL_DEFINITION = "libjpeg-turbo/rgb/pillow12-horizontal-then-vertical/1"
"""Identity of decode + resize + crop by the reference; part of every protocol. Another decoder is
another id (`fastclip.stimuli.decoders`)."""


class PictureSource(ABC):
    """Encoded pictures in a fixed order; nothing is decoded until asked for.

    Attributes:
        raw: `encoded` is pixels as they are, not the bytes of a picture file.
    """

    raw: bool = False

    @abstractmethod
    def __len__(self) -> int: ...

    @abstractmethod
    def name(self, row: int) -> str:
        """Name of the picture within its set, stable over machines ("bear/bear1-cat2.png")."""

    @abstractmethod
    def stat(self, row: int) -> tuple[str, int, int]:
        """(path, size in bytes, mtime in ns) of the file the picture comes from."""

    @abstractmethod
    def encoded(self, row: int) -> bytes:
        """The picture's encoded bytes (for array sets, its raw bytes): what its digest covers."""

    @abstractmethod
    def decode(self, row: int, encoded: bytes) -> UInt8Array:
        """Decode to RGB `[height, width, 3]`.

        Raises:
            DataError: truncated or corrupt; names the picture.
        """


@dataclass(frozen=True)
class DatasetInfo:
    """What `fastclip ls datasets` prints and `fastclip cite` quotes."""

    name: str
    title: str
    source: str
    licence: str
    size: str
    citation: str  # one BibTeX entry


@dataclass(frozen=True, eq=False)
class Dataset:
    """A data set as found on disk. Two are equal only when they are one object.

    Attributes:
        name: name in every row ("tid2013", "toy-tid2013").
        kind: its layout's name in `fastclip.stimuli.DATASETS` ("tid2013").
        pictures: all pictures the set needs, each once.
        found, expected: rows found and rows a complete set has (equal when complete).
        notes: what was noticed: files missing, extra files, names that differ in case.
        labels_digest: BLAKE2b hex of everything but the pixels (scores, labels, class names).
    """

    name: str
    kind: str
    info: DatasetInfo
    pictures: PictureSource
    found: int
    expected: int
    labels_digest: str
    notes: tuple[str, ...] = ()

    @property
    def complete(self) -> bool:
        return self.found == self.expected

    @property
    def label(self) -> str:
        """`name`, or `name[found/expected]` for an incomplete set: what rows carry."""
        return self.name if self.complete else f"{self.name}[{self.found}/{self.expected}]"


@dataclass(frozen=True, eq=False)
class ImageQualityDataset(Dataset):
    """Pairs of a reference and a distorted picture with a human score.

    Arrays have one entry per pair, `[P]`; `reference` and `distorted` index `pictures`.
    `type` is "" and `level` is -1 where the table has none. `score_error` is the standard error of
    each mean score over its observers, NaN where it is not known; empty where none is.
    """

    reference: Int64Array = field(default_factory=lambda: np.empty(0, np.int64))
    distorted: Int64Array = field(default_factory=lambda: np.empty(0, np.int64))
    score: Float64Array = field(default_factory=lambda: np.empty(0))
    type: tuple[str, ...] = ()
    level: Int64Array = field(default_factory=lambda: np.empty(0, np.int64))
    higher_is_better: bool = True
    score_error: Float64Array = field(default_factory=lambda: np.empty(0))


@dataclass(frozen=True, eq=False)
class CueConflictDataset(Dataset):
    """Pictures whose shape is of one class and whose texture is of another.

    `shape` and `texture` `[N]` index `classes`, which is sorted by name. Pictures with
    `shape == texture` are the non-conflict ones. `shape_exemplar` and `texture_exemplar` are
    the file's own words ("airplane10", "cat2").
    """

    classes: tuple[str, ...] = ()
    shape: Int64Array = field(default_factory=lambda: np.empty(0, np.int64))
    texture: Int64Array = field(default_factory=lambda: np.empty(0, np.int64))
    shape_exemplar: tuple[str, ...] = ()
    texture_exemplar: tuple[str, ...] = ()


@dataclass(frozen=True, eq=False)
class ClassificationDataset(Dataset):
    """Labelled pictures for zero-shot classification.

    Attributes:
        label_index: `[N]`, index into the class names.
        class_names: by variant: "dataset" (the set's own words) and "openai" (as open_clip and
            OpenAI's notebook write them, spaces for underscores).
        templates: prompt templates, each with one `{}`.
        templates_name: name of that list, for the `prompts` column ("openai-cifar-18").
        noise_at: where noise is added by default: "native" before resizing, "input" after.
    """

    label_index: Int64Array = field(default_factory=lambda: np.empty(0, np.int64))
    class_names: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    templates: tuple[str, ...] = ()
    templates_name: str = ""
    noise_at: str = "native"


@dataclass(frozen=True)
class PixelSpec:
    """How a decoded picture becomes the model's input pixels; all of it is part of identity.

    Attributes:
        height, width: input size of the model.
        resize_mode: "shortest" (then centre crop), "longest" (then centre pad), "squash".
        interpolation: "bicubic" or "bilinear".
        fill: padding value for "longest", 0 to 255.
    """

    height: int
    width: int
    resize_mode: str = "shortest"
    interpolation: str = "bicubic"
    fill: int = 0


class Pixels(Protocol):
    """Anything that yields uint8 `[hi - lo, H, W, 3]` for `pixels[lo:hi]`."""

    @property
    def shape(self) -> tuple[int, ...]: ...

    def __getitem__(self, rows: slice) -> UInt8Array: ...


@runtime_checkable
class DevicePixels(Pixels, Protocol):
    """Pixels that are made on a device, which CUDA engines take from there."""

    def copy_batch(self, lo: int, hi: int, out: Tensor) -> None:
        """Put rows `lo:hi` into `out`, uint8 `[hi - lo, H, W, 3]`, on its device's current stream.

        Returns before the copy is done.
        """


@dataclass(frozen=True)
class View:
    """The pictures of a set as the model sees them, one row per picture of the set.

    Attributes:
        key: digest of (set, pixel spec, pixel definition, distortion, noise place and seed);
            equal keys mean equal bytes.
        pixels: the *distinct* pictures, uint8 `[U, H, W, 3]`: pictures identical after
            preprocessing are stored, and encoded, once.
        index: `[N]`, row of the set -> row of `pixels`.
        mode: "resident", "mapped" or "generated"; the bytes are the same in all three.
    """

    key: str
    pixels: Pixels
    index: Int64Array
    mode: str
