"""Blur, colour, JPEG and pixelation against scipy, matplotlib's HSV and Pillow."""

from __future__ import annotations

from collections.abc import Callable
from hashlib import blake2b
from io import BytesIO

import numpy as np
import pytest
from matplotlib.colors import hsv_to_rgb, rgb_to_hsv
from PIL import Image
from scipy.ndimage import gaussian_filter

from fastclip import _kernels
from fastclip.distortions.blur import weights
from fastclip.distortions.levels import PUBLISHED, parse

KEYS = np.zeros(4, np.uint64)
SETS = ("cifar-c", "imagenet-c")
Reference = Callable[..., np.ndarray]


def pictures(height: int, width: int) -> np.ndarray:
    """Noise, a soft gradient, and pixels of few values: many greys and equal channels."""
    rng = np.random.default_rng(height * width)
    noise = rng.integers(0, 256, (2, height, width, 3), np.uint8)
    ramp = np.linspace(0, 255, height * width).reshape(1, height, width, 1)
    soft = np.clip(ramp + np.array([0, 9, -20]), 0, 255).astype(np.uint8)
    few = rng.choice(np.array([0, 1, 128, 255], np.uint8), (1, height, width, 3))
    few[:, ::2] = few[:, ::2, :, :1]
    return np.concatenate([noise, soft, few])


def apply(text: str, batch: np.ndarray) -> np.ndarray:
    return parse(text).apply(batch, KEYS[: len(batch)])


def is_rounded(result: np.ndarray, exact: np.ndarray, slack: float = 3e-4) -> bool:
    """Whether `result` is 255 times `exact` on [0, 1], rounded; `slack` is for float32."""
    return bool(np.abs(result - 255 * np.clip(exact, 0, 1)).max() <= 0.5 + slack)


# corruptions.py of hendrycks/robustness (Hendrycks and Dietterich 2019), before its truncation.


def blur(x: np.ndarray, sigma: float) -> np.ndarray:
    return np.stack([gaussian_filter(one, (sigma, sigma, 0), mode="nearest") for one in x])


def brightness(x: np.ndarray, shift: float) -> np.ndarray:
    hsv = rgb_to_hsv(x)
    hsv[..., 2] = np.clip(hsv[..., 2] + shift, 0, 1)
    return hsv_to_rgb(hsv)


def contrast(x: np.ndarray, factor: float) -> np.ndarray:
    means = x.mean(axis=(1, 2), keepdims=True)
    return (x - means) * factor + means


def saturate(x: np.ndarray, factor: float, shift: float) -> np.ndarray:
    hsv = rgb_to_hsv(x)
    hsv[..., 1] = np.clip(hsv[..., 1] * factor + shift, 0, 1)
    return hsv_to_rgb(hsv)


FORMULAS: dict[str, Reference] = {
    "gaussian_blur": blur,
    "brightness": brightness,
    "contrast": contrast,
    "saturate": saturate,
}


@pytest.mark.parametrize("kind", FORMULAS)
@pytest.mark.parametrize("set_", SETS)
def test_published_formulas_at_every_severity(kind: str, set_: str) -> None:
    batch = pictures(45, 61)
    for severity, level in enumerate(PUBLISHED[set_][kind], 1):
        exact = FORMULAS[kind](batch / 255, *(level if isinstance(level, tuple) else (level,)))
        assert is_rounded(apply(f"{kind}:{set_}={severity}", batch), exact), severity


@pytest.mark.parametrize("size", [(1, 1), (1, 40), (40, 1), (5, 3), (32, 32)])
@pytest.mark.parametrize("kind", ["gaussian_blur:sigma=6", "gaussian_blur:sigma=0.4"])
def test_blur_wider_than_the_picture(size: tuple[int, int], kind: str) -> None:
    batch = pictures(*size)
    sigma = float(kind.partition("=")[2])
    assert is_rounded(apply(kind, batch), blur(batch / 255, sigma))


def test_darkening_and_grey() -> None:
    batch = pictures(20, 20)
    assert is_rounded(apply("brightness:shift=-0.3", batch), brightness(batch / 255, -0.3))
    grey = np.full((1, 2, 2, 3), 200, np.uint8)
    assert np.array_equal(apply("saturate:factor=20", grey), grey)
    assert apply("saturate:factor=20:shift=0.2", grey)[0, 0, 0].tolist() == [200, 160, 160]


NEUTRAL = "gaussian_blur:sigma=0 brightness:shift=0 contrast:factor=1 saturate:factor=1"


@pytest.mark.parametrize("text", [*NEUTRAL.split(), "pixelate:factor=1"])
def test_levels_that_change_nothing(text: str) -> None:
    batch = pictures(33, 21)
    assert np.array_equal(apply(text, batch), batch)


def test_one_colour_stays_under_blur_and_contrast() -> None:
    for value in range(256):
        flat = np.full((1, 9, 7, 3), value, np.uint8)
        assert np.array_equal(apply("gaussian_blur:sigma=3", flat), flat)
        assert np.array_equal(apply("contrast:factor=0.3", flat), flat)


def test_blur_weights_are_a_gaussian() -> None:
    for sigma in (0.1, 0.4, 1.0, 2.6, 6.0):
        radius = int(4 * sigma + 0.5)
        exact = np.exp(-0.5 * (np.arange(-radius, radius + 1) / sigma) ** 2)
        np.testing.assert_allclose(weights(sigma), exact / exact.sum(), rtol=1e-7)


@pytest.mark.parametrize("set_", SETS)
def test_jpeg_is_pillows_own(set_: str) -> None:
    batch = pictures(37, 50)
    for severity, quality in enumerate(PUBLISHED[set_]["jpeg_compression"], 1):
        result = apply(f"jpeg_compression:{set_}={severity}", batch)
        for picture, compressed in zip(batch, result, strict=True):
            file = BytesIO()
            Image.fromarray(picture).save(file, "JPEG", quality=quality)
            assert np.array_equal(compressed, np.asarray(Image.open(file)))


@pytest.mark.parametrize("size", [(32, 32), (224, 224), (120, 161)])
def test_pixelate_is_pillows_box(size: tuple[int, int]) -> None:
    batch = pictures(*size)[::2]
    for set_ in SETS:
        for severity, factor in enumerate(PUBLISHED[set_]["pixelate"], 1):
            small = (int(size[1] * factor), int(size[0] * factor))
            result = apply(f"pixelate:{set_}={severity}", batch)
            for picture, pixelated in zip(batch, result, strict=True):
                image = Image.fromarray(picture).resize(small, Image.Resampling.BOX)
                expected = image.resize(size[::-1], Image.Resampling.BOX)
                assert np.array_equal(pixelated, np.asarray(expected))


KERNELS = {
    "gaussian_blur:sigma=1.7": lambda x, out, **more: _kernels.blur(x, out, weights(1.7), **more),
    "brightness:shift=0.2": lambda x, out, **more: _kernels.recolour(
        "brightness", x, out, shift=51.0, **more
    ),
    "saturate:factor=2:shift=0.1": lambda x, out, **more: _kernels.recolour(
        "saturate", x, out, 2.0, 0.1, **more
    ),
}


@pytest.mark.parametrize("text", KERNELS)
def test_same_bytes_for_batches_threads_and_instruction_sets(text: str) -> None:
    batch = pictures(37, 29)
    whole = apply(text, batch)
    assert not np.array_equal(whole, batch)
    assert np.array_equal(np.concatenate([apply(text, batch[i : i + 1]) for i in range(4)]), whole)
    for isa in _kernels.instruction_sets():
        for threads in (1, 3):
            out = np.empty_like(batch)
            KERNELS[text](batch, out, isa=isa, threads=threads)
            assert np.array_equal(out, whole)


GOLDEN = {
    "gaussian_blur:sigma=1": "c8ee4a610e2e32fa",
    "brightness:shift=0.1": "bbb0994d6c09538f",
    "contrast:factor=0.4": "2f27d316488d8b97",
    "saturate:factor=5:shift=0.1": "2f012362c1fba373",
    "pixelate:factor=0.6": "04a67e2f89a3a16a",
}


def test_golden_bytes() -> None:
    """Bytes that must never change: results on disk depend on them."""
    picture = (np.arange(16 * 12 * 3) ** 2 % 251).astype(np.uint8).reshape(1, 16, 12, 3)
    sums = {
        text: blake2b(apply(text, picture).tobytes(), digest_size=8).hexdigest() for text in GOLDEN
    }
    assert sums == GOLDEN
