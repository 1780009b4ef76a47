"""Whether there is a CUDA device, which one, and what fp32 means on it."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from typing import Any

import torch

from fastclip.machine import processor_name


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


def describe_device(device: str) -> dict[str, str]:
    """The GPU's name, the driver's version and torch's CUDA version; empty on a CPU."""
    if torch.device(device).type != "cuda":
        return {}
    return {
        "gpu": torch.cuda.get_device_name(device),
        "driver": driver_version(),
        "cuda": str(torch.version.cuda),
    }


@lru_cache
def driver_version() -> str:
    """The NVIDIA driver's version, "unknown" where nvidia-smi does not say."""
    command = ["nvidia-smi", "--query-gpu=driver_version", "--format=csv,noheader"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=30, check=True)
    except (OSError, subprocess.SubprocessError):
        return "unknown"
    return done.stdout.split("\n")[0].strip()


@contextmanager
def exact_products() -> Iterator[None]:
    """No TF32 for float32, and no half-precision sums inside half-precision products.

    torch's defaults give convolutions TF32 (10 bits) and let a product that is split along its
    sum add the parts in half precision.
    """
    matmul, cudnn = torch.backends.cuda.matmul, torch.backends.cudnn
    # Not `fp32_precision`, the newer name: some releases' torch.compile fails where it was used.
    settings: tuple[tuple[Any, str], ...] = (
        (matmul, "allow_tf32"),
        (cudnn, "allow_tf32"),
        (matmul, "allow_fp16_reduced_precision_reduction"),
        (matmul, "allow_bf16_reduced_precision_reduction"),
    )
    before = [getattr(where, name) for where, name in settings]
    for where, name in settings:
        setattr(where, name, False)
    try:
        yield
    finally:
        for (where, name), value in zip(settings, before, strict=True):
            setattr(where, name, value)


@contextmanager
def fused_attention() -> Iterator[None]:
    """`nn.MultiheadAttention` through `scaled_dot_product_attention`, not its own inference path.

    That path does not compile, and not every kernel it takes is a fused one.
    """
    before = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)
    try:
        yield
    finally:
        torch.backends.mha.set_fastpath_enabled(before)


def device_identity(device: torch.device) -> dict[str, str]:
    """What compiled code is tied to: the GPU, its capability, the driver."""
    if device.type != "cuda":
        return {"gpu": processor_name(), "compute_capability": "none", "driver": "none"}
    properties = torch.cuda.get_device_properties(device)
    return {
        "gpu": f"{properties.name}, {properties.multi_processor_count} multiprocessors, "
        f"{properties.total_memory} bytes",
        "compute_capability": f"{properties.major}.{properties.minor}",
        "driver": driver_version(),
    }
