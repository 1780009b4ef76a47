"""From decoded pictures to a model's input size: resize, then centre crop or pad."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, overload

import numpy as np

from fastclip import _kernels, kernels
from fastclip.errors import DataError, UsageError
from fastclip.stimuli.base import PixelSpec, UInt8Array

RESIZE_MODES = ("shortest", "longest", "squash")
INTERPOLATIONS = ("bicubic", "bilinear")


@dataclass(frozen=True)
class Geometry:
    """Where a picture goes.

    Attributes:
        height, width: size the whole picture is resized to.
        top, left: corner of the output window in the resized picture; negative where the window
            reaches beyond it and is padded.
    """

    height: int
    width: int
    top: int
    left: int


def geometry(height: int, width: int, spec: PixelSpec) -> Geometry:
    """The resized size and the window, as open_clip's `image_transform` has them.

    Three rules of rounding meet there. For a square "shortest" target torchvision's `Resize`
    truncates the longer edge; for any other target open_clip's `ResizeKeepRatio` rounds both
    edges half to even; the window is rounded half to even (Python's `round`) where it crops and
    truncated where it pads.

    Raises:
        UsageError: an unknown resize mode.
        DataError: the picture is so narrow that an edge would become 0.
    """
    if spec.resize_mode == "squash":
        return Geometry(spec.height, spec.width, 0, 0)
    if spec.resize_mode == "shortest" and spec.height == spec.width:
        short = min(height, width)
        resized = (
            spec.height if height == short else int(spec.height * height / short),
            spec.width if width == short else int(spec.width * width / short),
        )
    elif spec.resize_mode in RESIZE_MODES:
        choose = max if spec.resize_mode == "longest" else min
        ratio = choose(height / spec.height, width / spec.width)
        resized = (round(height / ratio), round(width / ratio))
    else:
        raise UsageError(
            f"unknown resize mode '{spec.resize_mode}'",
            mend=f"choose one of: {', '.join(RESIZE_MODES)}",
        )
    if min(resized) < 1:
        raise DataError(
            f"a picture of {height} x {width} is too narrow to be resized to "
            f"{spec.height} x {spec.width} ({spec.resize_mode})",
            mend="leave such pictures out with --skip-bad-pictures",
        )
    top, left = _window(resized[0], spec.height), _window(resized[1], spec.width)
    return Geometry(*resized, top, left)


def _window(resized: int, wanted: int) -> int:
    return -((wanted - resized) // 2) if wanted > resized else round((resized - wanted) / 2)


@overload
def preprocess(pictures: Sequence[UInt8Array], spec: PixelSpec, threads: int = 0) -> UInt8Array: ...
@overload
def preprocess(pictures: Any, spec: PixelSpec, threads: int = 0) -> Any: ...
def preprocess(pictures: Any, spec: PixelSpec, threads: int = 0) -> Any:
    """Resize pictures of any sizes to the model's input size.

    The resampling is Pillow's as it was up to 12.1 (horizontal pass, then vertical, 8 bits
    between, antialiased), computed in integers: the same bytes for any number of threads and on
    any device.

    Args:
        pictures: uint8 `[h, w, 3]` each: numpy arrays, or CUDA tensors of torch or cupy (see
            `fastclip.kernels`); one array `[N, h, w, 3]` is fastest there.
        spec: input size, resize mode, interpolation, padding value.
        threads: 0 for all cores; a device takes no notice.

    Returns:
        uint8 `[len(pictures), spec.height, spec.width, 3]`, where the pictures are.

    Raises:
        UsageError: an unknown resize mode or interpolation.
        DataError: a picture is too narrow to be resized.
    """
    if spec.interpolation not in INTERPOLATIONS:
        raise UsageError(
            f"unknown interpolation '{spec.interpolation}'",
            mend=f"choose one of: {', '.join(INTERPOLATIONS)}",
        )
    # open_clip's own non-square "shortest" transform forgets the interpolation and is bicubic;
    # and only "longest" pads with the fill colour, a crop pads with black.
    keeps_ratio = spec.resize_mode == "shortest" and spec.height != spec.width
    interpolation = "bicubic" if keeps_ratio else spec.interpolation
    fill = spec.fill if spec.resize_mode == "longest" else 0
    if len(pictures) and kernels.on_device(pictures[0]):
        return _on_device(pictures, spec, interpolation, fill)
    windows = np.empty((len(pictures), 4), np.int32)
    for row, picture in enumerate(pictures):
        place = geometry(picture.shape[0], picture.shape[1], spec)
        windows[row] = place.height, place.width, place.top, place.left
    out = np.empty((len(pictures), spec.height, spec.width, 3), np.uint8)
    contiguous = [np.ascontiguousarray(picture) for picture in pictures]
    _kernels.resize(contiguous, windows, out, interpolation, fill, threads)
    return out


def _on_device(pictures: Any, spec: PixelSpec, interpolation: str, fill: int) -> Any:
    one_size = hasattr(pictures, "shape")
    parts = []
    for batch in [pictures] if one_size else [picture[None] for picture in pictures]:
        place = geometry(batch.shape[1], batch.shape[2], spec)
        window = (place.top, place.left, spec.height, spec.width)
        size = (place.height, place.width)
        parts.append(kernels.resize(batch, size, interpolation, window, fill))
    return parts[0] if one_size else kernels.stack(parts)
