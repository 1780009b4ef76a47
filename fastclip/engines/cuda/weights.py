"""A checkpoint's tensors on the device."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from fastclip.errors import EngineError
from fastclip.towers.module import as_tensor

FP16_MAX = float(torch.finfo(torch.float16).max)


def upload(tensors: Mapping[str, Any], device: torch.device) -> dict[str, Tensor]:
    """Every tensor as float32 on `device`; integer tensors stay as they are, on the host.

    float16 and bfloat16 become float32 on the device: half the bytes cross the bus. Copies from
    pinned memory run one behind the other without the host; when this returns they are through,
    and the memory may be written again.
    """
    uploaded = {name: _uploaded(as_tensor(value), device) for name, value in tensors.items()}
    if device.type == "cuda":
        torch.cuda.current_stream(device).synchronize()
    return uploaded


def _uploaded(tensor: Tensor, device: torch.device) -> Tensor:
    if not tensor.is_floating_point():
        return tensor
    return tensor.to(device, non_blocking=True).float()


def refuse_overflow(copies: Mapping[str, Tensor], packed: Mapping[str, Any]) -> None:
    """Check that weights which became float16 are finite still; `pack` found them finite.

    Waits for the device, once.

    Args:
        copies: `{packed name: tensor}`; those that are not float16 are passed over.
        packed: what they are copies of.

    Raises:
        EngineError: names the first weight that is too large.
    """
    names = [name for name, copy in copies.items() if copy.dtype == torch.float16]
    if not names:
        return
    largest = torch.stack([torch.linalg.vector_norm(copies[n], float("inf")) for n in names])
    for name, value in zip(names, largest.tolist(), strict=True):
        if value > FP16_MAX:
            found = float(as_tensor(packed[name]).abs().max())
            raise EngineError(
                f"tensor '{name}' holds {found:.6g}, beyond float16's {FP16_MAX:.0f}",
                mend="measure this checkpoint into another folder with --precision bf16, or fp32 "
                "if its rounding must not show",
            )
