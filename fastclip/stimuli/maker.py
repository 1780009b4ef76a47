"""Making the pictures of a view: read, decode, distort, resize."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from hashlib import blake2b
from typing import TYPE_CHECKING, Any

import numpy as np

from fastclip.errors import DataError
from fastclip.stimuli.base import Int64Array, Pixels, UInt8Array, View
from fastclip.stimuli.generated import GeneratedPixels
from fastclip.stimuli.manifest import Manifest, in_order
from fastclip.stimuli.pixels import preprocess

if TYPE_CHECKING:
    from fastclip.evaluators.base import ViewRequest


class Counters:
    """Work done so far: files hashed, pictures decoded. A second sweep leaves both at 0."""

    def __init__(self) -> None:
        self.hashed = 0
        self.decoded = 0
        self._lock = threading.Lock()

    def add(self, *, hashed: int = 0, decoded: int = 0) -> None:
        """Count, from any thread."""
        with self._lock:
            self.hashed += hashed
            self.decoded += decoded


class Maker:
    """Makes pictures of a view, each on its own.

    Noise after resizing starts from the clean view where that is kept, so that several levels
    decode once.

    Args:
        request: the view that is wanted.
        manifest: of its pictures.
        counters: where decoded pictures are counted.
        open_view: opens the clean view.
        threads: for reading, decoding and resizing.
    """

    def __init__(
        self,
        request: ViewRequest,
        manifest: Manifest,
        counters: Counters,
        open_view: Callable[[ViewRequest], View],
        threads: int,
    ) -> None:
        self.request = request
        self.manifest = manifest
        self.threads = threads
        self._source = request.dataset.pictures
        self._counters = counters
        self._open_view = open_view
        self._clean: View | None = None

    def prepare(self) -> None:
        """Open what is needed; before any thread asks for pictures."""
        if self.request.distortion is not None and self.request.noise_at == "input":
            clean = self._open_view(replace(self.request, distortion=None, noise_at=""))
            self._clean = None if clean.mode == "generated" else clean

    def pictures(self, rows: Sequence[int]) -> Iterator[UInt8Array]:
        """uint8 `[H, W, 3]` of each of these rows of the set, in order.

        Raises:
            DataError: one cannot be decoded, or is too narrow to be resized; names it.
        """
        return in_order(self._picture, rows, self.threads)

    def batch(self, rows: Sequence[int]) -> Any:
        """uint8 `[len(rows), H, W, 3]` of these rows: an array, or a tensor on a device.

        Raises:
            DataError: as `pictures`.
        """
        spec = self.request.pixels
        out = np.empty((len(rows), spec.height, spec.width, 3), np.uint8)
        for place, picture in enumerate(self.pictures(rows)):
            out[place] = picture
        return out

    def generated(self, index: Int64Array, shape: tuple[int, ...]) -> Pixels:
        """Pixels of the distinct pictures that are made each time they are asked for.

        Args:
            index: `[N]`, row of the set -> distinct picture.
            shape: (U, H, W, 3).
        """
        return GeneratedPixels(self.batch, index, shape)

    def _picture(self, row: int) -> UInt8Array:
        if self._clean is not None:
            place = int(self._clean.index[row])
            return self._distort(self._clean.pixels[place : place + 1], row)
        picture = self._source.decode(row, self._encoded(row))
        self._counters.add(decoded=1)
        distorted = self.request.distortion is not None
        if distorted and self.request.noise_at == "native":
            picture = self._distort(picture[None], row)
        try:
            resized: UInt8Array = preprocess([picture], self.request.pixels, threads=1)[0]
        except DataError as error:
            raise DataError(error.what, where=self._source.name(row), mend=error.mend) from error
        if distorted and self.request.noise_at == "input":
            resized = self._distort(resized[None], row)
        return resized

    def _encoded(self, row: int) -> bytes:
        """A picture's bytes, which are those its digest was taken of."""
        encoded = self._source.encoded(row)
        if blake2b(encoded, digest_size=32).hexdigest() != self.manifest.content["digests"][row]:
            raise DataError(
                "a picture changed while the sweep was running",
                where=self._source.stat(row)[0],
                mend="leave the data set alone while a sweep runs; run the same command again",
            )
        return encoded

    def _distort(self, pictures: UInt8Array, row: int) -> UInt8Array:
        assert self.request.distortion is not None
        keys = self.manifest.keys[row : row + 1]
        noisy: UInt8Array = self.request.distortion.apply(pictures, keys, threads=1)[0]
        return noisy
