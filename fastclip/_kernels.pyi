"""Native kernels, called by way of `fastclip.kernels` and `fastclip.stimuli.pixels`.

`out` is written. The `_cuda` twins are there in a build with CUDA only: pictures and `out` are
CUDA tensors of the current device, everything else stays in numpy; `stream` is a `cudaStream_t`.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

UInt8 = npt.NDArray[np.uint8]
Float32 = npt.NDArray[np.float32]

built_with_cuda: bool

def cuda_devices() -> tuple[int, str]: ...
def instruction_sets() -> list[str]: ...
def philox4x32(counter: Sequence[int], key: Sequence[int]) -> list[int]: ...
def noise(
    kind: str,
    pictures: UInt8,
    out: UInt8,
    keys: npt.NDArray[np.uint64],
    seed: int,
    draw: int,
    scale: float = 0.0,
    threshold: int = 0,
    table: npt.NDArray[np.uint32] | None = None,
    threads: int = 0,
    isa: str = "",
) -> None: ...
def resize(
    pictures: Sequence[UInt8],
    windows: npt.NDArray[np.int32],
    out: UInt8,
    interpolation: str,
    fill: int = 0,
    threads: int = 0,
    isa: str = "",
) -> None: ...
def recolour(
    kind: str,
    pictures: UInt8,
    out: UInt8,
    factor: float = 1.0,
    shift: float = 0.0,
    threads: int = 0,
    isa: str = "",
) -> None: ...
def blur(
    pictures: UInt8, out: UInt8, weights: Float32, threads: int = 0, isa: str = ""
) -> None: ...
def noise_cuda(
    kind: str,
    pictures: Any,
    out: Any,
    keys: npt.NDArray[np.uint64],
    seed: int,
    draw: int,
    scale: float = 0.0,
    threshold: int = 0,
    table: npt.NDArray[np.uint32] | None = None,
    stream: int = 0,
) -> None: ...
def resize_cuda(
    pictures: Any,
    out: Any,
    resized_height: int,
    resized_width: int,
    top: int,
    left: int,
    interpolation: str,
    fill: int = 0,
    stream: int = 0,
) -> None: ...
def recolour_cuda(
    kind: str,
    pictures: Any,
    out: Any,
    factor: float = 1.0,
    shift: float = 0.0,
    stream: int = 0,
) -> None: ...
def blur_cuda(pictures: Any, out: Any, weights: Float32, stream: int = 0) -> None: ...
