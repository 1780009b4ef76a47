"""What the hardware can do: the rates that engines are held against."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from fastclip.towers.base import Towers

_DTYPES = {"fp32": "float32", "fp16": "float16", "bf16": "bfloat16"}

MATRIX_PRECISIONS = tuple(_DTYPES)
"""Precisions that torch has a matrix product of; int8 has none to be held against."""


def matrix_product_rate(
    device: str = "cpu", precision: str = "fp32", seconds: float = 0.2, threads: int = 0
) -> float:
    """FLOP/s of torch's square matrix product, random operands, measured for a moment.

    The fastest of several products, each timed with the device idle before and after.

    Args:
        precision: one of `MATRIX_PRECISIONS`.
        threads: of a CPU; 0 for as many as torch takes.
    """
    import torch

    size = 8192 if device.startswith("cuda") else 1024
    a, b = (torch.randn(size, size, device=device) for _ in range(2))
    a, b = (x.to(getattr(torch, _DTYPES[precision])) for x in (a, b))
    return 2.0 * size**3 / _fastest(lambda: a @ b, device, seconds, threads)


def memory_bandwidth(device: str = "cpu", seconds: float = 0.2, threads: int = 0) -> float:
    """Bytes/s of copying an array of 256 MiB, read and written, measured for a moment.

    Args:
        threads: of a CPU; 0 for as many as torch takes.
    """
    import torch

    source = torch.ones(2**26, dtype=torch.float32, device=device)
    target = torch.empty_like(source)
    moved = 2.0 * source.numel() * source.element_size()
    return moved / _fastest(lambda: target.copy_(source), device, seconds, threads)


def _fastest(action: Callable[[], Any], device: str, seconds: float, threads: int) -> float:
    """Seconds of the fastest of at least four calls, the device idle before and after each."""
    import torch

    times: list[float] = []
    began = time.perf_counter()
    with _torch_threads(threads):
        while len(times) < 4 or time.perf_counter() - began < seconds:
            start = time.perf_counter()
            action()
            if device.startswith("cuda"):
                torch.cuda.synchronize(device)
            times.append(time.perf_counter() - start)
    return min(times)


@contextmanager
def _torch_threads(threads: int) -> Iterator[None]:
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(threads or before)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def flop_per_picture(towers: Towers) -> float:
    """Floating-point operations of one picture through the visual tower, as torch counts them.

    Matrix products, convolutions and attention count two per multiply-add; nothing else counts.
    """
    import torch
    from torch.utils.flop_counter import FlopCounterMode

    from fastclip.towers.module import build_module

    spec = towers.architecture.preprocessing.pixels
    module = build_module(towers).to("meta")
    pixels = torch.empty((1, spec.height, spec.width, 3), dtype=torch.uint8, device="meta")
    fast: Any = torch.backends.mha
    was = fast.get_fastpath_enabled()
    fast.set_fastpath_enabled(False)  # its one fused operation is not counted
    try:
        with FlopCounterMode(display=False) as counter, torch.no_grad():
            module.encode_image(pixels)
    finally:
        fast.set_fastpath_enabled(was)
    return float(counter.get_total_flops())
