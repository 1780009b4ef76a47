"""The native kernels on numpy arrays and on CUDA tensors: the same bytes on both.

A CUDA tensor is one of torch's or cupy's; it reaches the kernels by DLPack, its result is
allocated by its own library, and the work is queued on that library's current stream and not
waited for. Anything else on a device goes through `torch.from_dlpack`.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, TypeVar, cast

import numpy as np

from fastclip import _kernels
from fastclip.errors import RefusalError, UsageError

A = TypeVar("A")
"""uint8 pictures: a numpy array, or a CUDA tensor of torch or cupy."""


def on_device(pictures: object) -> bool:
    """Whether these pictures are a CUDA tensor.

    Raises:
        UsageError: one of a library whose streams are not known here.
        RefusalError: this build has no CUDA kernels.
    """
    if isinstance(pictures, np.ndarray) or not hasattr(pictures, "__dlpack_device__"):
        return False
    if pictures.__dlpack_device__()[0] != _CUDA:
        return False
    if _library(pictures) not in ("torch", "cupy"):
        raise UsageError(
            f"{type(pictures).__name__} is a CUDA array of neither torch nor cupy",
            mend="pass torch.from_dlpack(array)",
        )
    if not _kernels.built_with_cuda:
        raise RefusalError(
            "pictures are on a CUDA device, but fastclip was built without CUDA kernels",
            mend="install fastclip again where nvcc is found, or pass pictures.cpu().numpy()",
        )
    return True


def run(kernel: str, pictures: A, threads: int, **arguments: Any) -> A:
    """What a kernel that keeps the shape makes of pictures.

    Args:
        kernel: "noise", "recolour" or "blur"; its arguments are in `fastclip/_kernels.pyi`.
        pictures: uint8 `[N, H, W, 3]`.
        threads: 0 for all cores; a device takes no notice.
        **arguments: numpy arrays (they stay on the host) and numbers.
    """
    if not on_device(pictures):
        whole = np.ascontiguousarray(cast(np.ndarray, pictures))
        out = np.empty_like(whole)
        getattr(_kernels, kernel)(pictures=whole, out=out, threads=threads, **arguments)
        return cast(A, out)
    with _queue(pictures) as stream:
        placed, result = _contiguous(pictures), _empty(pictures, _shape(pictures))
        getattr(_kernels, f"{kernel}_cuda")(pictures=placed, out=result, stream=stream, **arguments)
    return result


def resize(
    pictures: A,
    size: tuple[int, int],
    interpolation: str,
    window: tuple[int, int, int, int] | None = None,
    fill: int = 0,
    threads: int = 0,
) -> A:
    """Pictures of one size, resized as Pillow did it up to 12.1, or a window of the result.

    Args:
        pictures: uint8 `[N, h, w, 3]`.
        size: height and width that the whole picture is resized to.
        interpolation: "bicubic", "bilinear" or "box".
        window: top, left, height and width of what is wanted of it; `fill` where it reaches
            beyond. All by default.
        threads: 0 for all cores; a device takes no notice.

    Returns:
        uint8 `[N, window height, window width, 3]`.
    """
    top, left, height, width = window or (0, 0, *size)
    shape = (_shape(pictures)[0], height, width, 3)
    if not on_device(pictures):
        out = np.empty(shape, np.uint8)
        whole = np.ascontiguousarray(cast(np.ndarray, pictures))
        windows = np.tile(np.array([*size, top, left], np.int32), (len(whole), 1))
        _kernels.resize(list(whole), windows, out, interpolation, fill, threads)
        return cast(A, out)
    with _queue(pictures) as stream:
        placed, result = _contiguous(pictures), _empty(pictures, shape)
        _kernels.resize_cuda(placed, result, *size, top, left, interpolation, fill, stream)
    return result


def stack(parts: Sequence[A]) -> A:
    """Pictures of several arrays of one library in one array."""
    if not on_device(parts[0]):
        return cast(A, np.concatenate(cast(Any, parts)))
    with _queue(parts[0]):
        return cast(A, sys.modules[_library(parts[0])].concatenate(list(parts)))


_CUDA = 2  # kDLCUDA


def _library(pictures: object) -> str:
    return type(pictures).__module__.partition(".")[0]


def _shape(pictures: object) -> tuple[int, ...]:
    return tuple(cast(Any, pictures).shape)


def _contiguous(pictures: Any) -> Any:
    if _library(pictures) == "torch":
        return pictures.detach().contiguous()
    return sys.modules["cupy"].ascontiguousarray(pictures)


def _empty(like: A, shape: tuple[int, ...]) -> A:
    if _library(like) == "torch":
        return cast(A, cast(Any, like).new_empty(shape))
    return cast(A, sys.modules["cupy"].empty(shape, np.uint8))


@contextmanager
def _queue(pictures: Any) -> Iterator[int]:
    """The current stream of the pictures' device, which is the current device meanwhile."""
    if _library(pictures) == "torch":
        torch = sys.modules["torch"]
        with torch.cuda.device(pictures.device):
            yield torch.cuda.current_stream().cuda_stream
    else:
        with pictures.device:
            yield sys.modules["cupy"].cuda.get_current_stream().ptr
