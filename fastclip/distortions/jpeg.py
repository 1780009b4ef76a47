"""JPEG compression: Pillow's own encoder and decoder, on the CPU."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from io import BytesIO
from typing import cast

import numpy as np
import numpy.typing as npt
from PIL import Image

from fastclip import kernels
from fastclip.distortions.base import A, Distortion
from fastclip.errors import UsageError


class JpegCompression(Distortion):
    """`Image.save(quality=...)` and back: chroma at half resolution, libjpeg's exact transform.

    No GPU has this encoder bit by bit, so a CUDA tensor is refused.
    """

    name = "jpeg_compression"
    parameters = ("quality",)
    definition = "pillow-jpeg/4:2:0/1"
    smallest, largest = 1.0, 100.0

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.level != int(self.level):
            raise UsageError(
                f"jpeg_compression: quality {self.level:g} is no whole number", mend="give 1 to 100"
            )

    def apply(self, pixels: A, keys: npt.NDArray[np.uint64], threads: int = 0) -> A:
        """See `Distortion.apply`.

        Raises:
            UsageError: a CUDA tensor.
        """
        if kernels.on_device(pixels):
            raise UsageError(
                "jpeg_compression runs on the CPU only",
                mend="pass pictures.cpu().numpy() and upload the result",
            )
        whole = cast(npt.NDArray[np.uint8], pixels)
        out = np.empty_like(whole)
        with ThreadPoolExecutor(threads or None) as pool:
            several = map if threads == 1 else pool.map
            for row, picture in enumerate(several(self._compressed, whole)):
                out[row] = picture
        return cast(A, out)

    def _compressed(self, picture: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
        file = BytesIO()
        Image.fromarray(picture).save(file, "JPEG", quality=int(self.level), subsampling="4:2:0")
        return np.asarray(Image.open(file))
