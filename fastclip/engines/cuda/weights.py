"""A checkpoint's tensors on the device."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor


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


def as_tensor(value: Any) -> Tensor:
    """A numpy array or torch tensor as a torch tensor, sharing its memory."""
    if isinstance(value, Tensor):
        return value
    with warnings.catch_warnings():
        # torch warns of read-only memory, which mapped files are; nothing here writes to it.
        warnings.filterwarnings("ignore", message="The given NumPy array is not writable")
        return torch.from_numpy(np.ascontiguousarray(value).reshape(np.shape(value)))


def _uploaded(tensor: Tensor, device: torch.device) -> Tensor:
    if not tensor.is_floating_point():
        return tensor
    return tensor.to(device, non_blocking=True).float()
