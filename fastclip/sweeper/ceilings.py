"""What the hardware can do: the rates that engines are held against."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from fastclip.towers.base import Towers

_DTYPES = {"fp32": "float32", "fp16": "float16", "bf16": "bfloat16"}


def matrix_product_rate(
    device: str = "cpu", precision: str = "fp32", seconds: float = 0.2
) -> float:
    """FLOP/s of torch's square matrix product, random operands, measured for a moment.

    The fastest of several products, each timed with the device idle before and after.
    """
    import torch

    cuda = device.startswith("cuda")
    size = 8192 if cuda else 1024
    a, b = (torch.randn(size, size, device=device) for _ in range(2))
    a, b = (x.to(getattr(torch, _DTYPES[precision])) for x in (a, b))
    times: list[float] = []
    began = time.perf_counter()
    while len(times) < 4 or time.perf_counter() - began < seconds:
        start = time.perf_counter()
        a @ b
        if cuda:
            torch.cuda.synchronize(device)
        times.append(time.perf_counter() - start)
    return 2.0 * size**3 / min(times)


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
