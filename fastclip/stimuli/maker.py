"""Making the pictures of a view, one by one: decode, distort, resize."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import replace
from hashlib import blake2b
from typing import TYPE_CHECKING

import numpy as np

from fastclip.errors import DataError
from fastclip.stimuli.base import Int64Array, UInt8Array, View
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
    """Makes single pictures of a view.

    Noise after resizing starts from the clean view, so that several levels decode once.

    Args:
        request: the view that is wanted.
        manifest: of its pictures.
        counters: where decoded pictures are counted.
        open_view: opens the clean view.
    """

    def __init__(
        self,
        request: ViewRequest,
        manifest: Manifest,
        counters: Counters,
        open_view: Callable[[ViewRequest], View],
    ) -> None:
        self.request = request
        self.manifest = manifest
        self._source = request.dataset.pictures
        self._counters = counters
        self._open_view = open_view
        self._clean: View | None = None

    def prepare(self) -> None:
        """Open what `picture` needs; before any thread calls it."""
        if self.request.distortion is not None and self.request.noise_at == "input":
            self._clean = self._open_view(replace(self.request, distortion=None, noise_at=""))

    def picture(self, row: int) -> UInt8Array:
        """uint8 `[H, W, 3]` of one row of the set.

        Raises:
            DataError: it cannot be decoded, or is too narrow to be resized.
        """
        if self._clean is not None:
            place = int(self._clean.index[row])
            return self._distort(self._clean.pixels[place : place + 1], row)
        encoded = self._source.encoded(row)
        if blake2b(encoded, digest_size=32).hexdigest() != self.manifest.content["digests"][row]:
            raise DataError(
                "a picture changed while the sweep was running",
                where=self._source.stat(row)[0],
                mend="leave the data set alone while a sweep runs; run the same command again",
            )
        picture = self._source.decode(row, encoded)
        self._counters.add(decoded=1)
        if self.request.distortion is not None:
            picture = self._distort(picture[None], row)
        try:
            resized: UInt8Array = preprocess([picture], self.request.pixels, threads=1)[0]
        except DataError as error:
            raise DataError(error.what, where=self._source.name(row), mend=error.mend) from error
        return resized

    def _distort(self, pictures: UInt8Array, row: int) -> UInt8Array:
        assert self.request.distortion is not None
        keys = self.manifest.keys[row : row + 1]
        noisy: UInt8Array = self.request.distortion.apply(pictures, keys, threads=1)[0]
        return noisy


class GeneratedPixels:
    """Pictures made anew each time they are asked for; nothing is kept.

    `pixels[lo:hi]` is uint8 `[hi - lo, H, W, 3]`, the same bytes as a stored view's.
    """

    def __init__(
        self, maker: Maker, index: Int64Array, shape: tuple[int, ...], threads: int
    ) -> None:
        self.shape = shape
        self._maker = maker
        self._threads = threads
        self._rows = np.unique(index, return_index=True)[1]  # distinct picture -> its first row

    def __getitem__(self, rows: slice) -> UInt8Array:
        wanted = self._rows[rows].tolist()
        out = np.empty((len(wanted), *self.shape[1:]), np.uint8)
        for place, picture in enumerate(in_order(self._maker.picture, wanted, self._threads)):
            out[place] = picture
        return out
