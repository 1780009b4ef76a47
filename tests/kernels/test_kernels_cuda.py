"""The CUDA kernels give the CPU's bytes. Needs a GPU; compiled without one, never run."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from fastclip import _kernels
from fastclip.distortions.levels import parse
from fastclip.stimuli.base import PixelSpec
from fastclip.stimuli.pixels import geometry, preprocess

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(
        not (_kernels.built_with_cuda and _kernels.cuda_devices()[0]), reason="no CUDA device"
    ),
]

NOISES = (
    "gaussian_noise:sigma=0.1",
    "speckle_noise:sigma=0.3",
    "uniform_noise:width=0.2",
    "impulse_noise:amount=0.1",
    "shot_noise:photons=12",
)


@pytest.mark.parametrize("text", NOISES)
def test_noise_equals_the_cpu(text: str) -> None:
    rng = np.random.default_rng(0)
    pictures = rng.integers(0, 256, (64, 96, 128, 3), np.uint8)
    keys = rng.integers(0, 2**63, 64, np.uint64)
    noise: Any = parse(text, seed=7)
    strength = {
        name: torch.from_numpy(value).cuda() if isinstance(value, np.ndarray) else value
        for name, value in noise._strength().items()
    }
    placed = torch.from_numpy(pictures).cuda()
    out = torch.empty_like(placed)
    kind = noise.kind.removesuffix("_noise")
    _kernels.noise_cuda(kind, placed, out, torch.from_numpy(keys).cuda(), 7, 0, **strength)
    np.testing.assert_array_equal(out.cpu().numpy(), noise.apply(pictures, keys))


@pytest.mark.parametrize("interpolation", ["bicubic", "bilinear"])
@pytest.mark.parametrize("mode", ["shortest", "longest", "squash"])
@pytest.mark.parametrize("size", [(384, 512), (512, 384), (32, 32), (500, 333)])
def test_resize_equals_the_cpu(size: tuple[int, int], mode: str, interpolation: str) -> None:
    rng = np.random.default_rng(1)
    pictures = rng.integers(0, 256, (8, *size, 3), np.uint8)
    spec = PixelSpec(224, 224, mode, interpolation, fill=7)
    place = geometry(*size, spec)
    placed = torch.from_numpy(pictures).cuda()
    out = torch.empty((8, 224, 224, 3), dtype=torch.uint8, device="cuda")
    fill = spec.fill if mode == "longest" else 0
    _kernels.resize_cuda(
        placed, out, place.height, place.width, place.top, place.left, interpolation, fill
    )
    np.testing.assert_array_equal(out.cpu().numpy(), preprocess(list(pictures), spec))
