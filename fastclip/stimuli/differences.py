"""What a decoder changes against the reference, picture by picture."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from fastclip.evaluators.base import ViewRequest
from fastclip.stimuli.base import Dataset, DatasetInfo, PictureSource, PixelSpec, UInt8Array
from fastclip.stimuli.dali.maker import DaliMaker
from fastclip.stimuli.decoders import DECODERS, DEFAULT
from fastclip.stimuli.drop import SubsetPictures
from fastclip.stimuli.manifest import in_order
from fastclip.stimuli.pixels import preprocess
from fastclip.stimuli.views import ViewStore

OTHERS = tuple(name for name in DECODERS if name != DEFAULT)
"""The decoders that are compared with the reference."""

DECODED = "decode size"
NOT_KNOWN = DatasetInfo("", "", "", "", "", "")


@dataclass
class Difference:
    """Pictures of one decoder against the reference's.

    Attributes:
        decoder, definition: its name and its pixel definition.
        at: "decode size", or the model's input size, "224x224".
        pictures: how many were compared.
        identical: how many of them are equal in every byte.
        pixels, equal: how many pixels they have, and in how many all three values are equal.
        total, largest: sum of the absolute differences of all values, and the largest.
    """

    decoder: str
    definition: str
    at: str
    pictures: int = 0
    identical: int = 0
    pixels: int = 0
    equal: int = 0
    total: int = 0
    largest: int = 0

    def add(self, pictures: Sequence[UInt8Array], reference: Sequence[UInt8Array]) -> None:
        """Compare pictures, uint8 `[h, w, 3]` each, with their references."""
        for picture, wanted in zip(pictures, reference, strict=True):
            difference = np.abs(picture.astype(np.int16) - wanted)
            largest = int(difference.max())
            self.pictures += 1
            self.identical += largest == 0
            self.pixels += difference.shape[0] * difference.shape[1]
            self.equal += int((difference.max(axis=2) == 0).sum())
            self.total += int(difference.sum(dtype=np.int64))
            self.largest = max(self.largest, largest)

    def figures(self) -> dict[str, Any]:
        """As JSON values: percentage of equal pixels, mean and largest difference of values."""
        return {
            "decoder": self.decoder,
            "definition": self.definition,
            "at": self.at,
            "pictures": self.pictures,
            "identical_pictures": self.identical,
            "equal_pixels_percent": 100 * self.equal / max(1, self.pixels),
            "mean": self.total / max(1, 3 * self.pixels),
            "max": self.largest,
        }


def compare(
    source: PictureSource,
    decoder: str,
    spec: PixelSpec,
    *,
    threads: int = 0,
    device: str = "cuda",
    limit: int | None = None,
) -> list[Difference]:
    """Compare one of DALI's decoders with the reference on the pictures of a set.

    Args:
        source: the pictures.
        decoder: a name in `OTHERS`.
        spec: the input size to compare at besides the decoded one.
        threads: 0 for all cores.
        device: where a decoder that uses a GPU finds it.
        limit: only so many pictures, from the first.

    Returns:
        The difference at decode size (unless it resizes at once, or the pictures are no files),
        and that after resize and crop.

    Raises:
        UsageError: an unknown decoder.
        RefusalError: it cannot run here.
        DataError: a picture cannot be decoded; names it.
    """
    pictures = SubsetPictures(source, np.arange(len(source))[:limit])
    dataset = Dataset("", "", NOT_KNOWN, pictures, len(pictures), len(pictures), "")
    store = ViewStore(threads=threads, decoder=decoder, device=device)
    maker = store.maker(ViewRequest(dataset, spec))
    assert isinstance(maker, DaliMaker)
    at_size = Difference(decoder, store.pixel_definition, DECODED)
    fitted = Difference(decoder, store.pixel_definition, f"{spec.width}x{spec.height}")
    for lo in range(0, len(pictures), maker.plan.batch):
        rows = range(lo, min(lo + maker.plan.batch, len(pictures)))
        reference = list(
            in_order(lambda r: pictures.decode(r, pictures.encoded(r)), rows, store.threads)
        )
        if maker.plan.resize is None:
            decoded = maker.decoded(rows)
            at_size.add(_on_host(decoded), reference)
            made = preprocess(decoded, spec, threads)
        else:
            made = maker.batch(rows)
        fitted.add(_on_host(made), list(preprocess(reference, spec, threads)))
    return [fitted] if maker.plan.resize is not None or source.raw else [at_size, fitted]


def _on_host(pictures: Iterable[Any]) -> list[UInt8Array]:
    return [np.asarray(p.cpu() if hasattr(p, "cpu") else p) for p in pictures]
