"""Whether there is a CUDA device, and which one."""

from __future__ import annotations

import torch


def no_device(device: str) -> str | None:
    """Why `device` ("cuda", "cuda:1") cannot be used here, or None where it can."""
    if torch.version.cuda is None:
        return "this torch is built without CUDA"
    if not torch.cuda.is_available():
        return "torch finds no CUDA device (see nvidia-smi)"
    index = torch.device(device).index or 0
    if index >= torch.cuda.device_count():
        return f"there is no device {index}: this machine has {torch.cuda.device_count()}"
    return None
