"""Native kernels; `fastclip.stimuli.pixels` and `fastclip.distortions.noise` are their callers."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

UInt8 = npt.NDArray[np.uint8]

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
def noise_cuda(
    kind: str,
    pictures: Any,
    out: Any,
    keys: Any,
    seed: int,
    draw: int,
    scale: float = 0.0,
    threshold: int = 0,
    table: Any = None,
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
) -> None: ...
