"""Distortions for the toy image-quality set, under the numbers they have in TID2013."""

from __future__ import annotations

import io
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from PIL import Image
from scipy import ndimage

UInt8Array = npt.NDArray[np.uint8]
FloatArray = npt.NDArray[np.floating[Any]]
Distort = Callable[[FloatArray, float, np.random.Generator], FloatArray]


def _gaussian_noise(picture: FloatArray, sigma: float, rng: np.random.Generator) -> FloatArray:
    return np.asarray(picture + rng.normal(0, sigma, picture.shape))


def _correlated_noise(picture: FloatArray, sigma: float, rng: np.random.Generator) -> FloatArray:
    field = ndimage.gaussian_filter(rng.standard_normal(picture.shape), (1.2, 1.2, 0), mode="wrap")
    return np.asarray(picture + field / field.std() * sigma)


def _high_frequency_noise(
    picture: FloatArray, sigma: float, rng: np.random.Generator
) -> FloatArray:
    field = rng.standard_normal(picture.shape)
    field -= ndimage.gaussian_filter(field, (0.8, 0.8, 0), mode="wrap")
    return np.asarray(picture + field / field.std() * sigma)


def _impulse_noise(picture: FloatArray, share: float, rng: np.random.Generator) -> FloatArray:
    hit = rng.random(picture.shape) < share
    return np.where(hit, rng.integers(0, 2, picture.shape) * 255.0, picture)


def _quantization(picture: FloatArray, levels: float, rng: np.random.Generator) -> FloatArray:
    step = 255 / (levels - 1)
    return np.asarray(np.rint(picture / step) * step)


def _blur(picture: FloatArray, sigma: float, rng: np.random.Generator) -> FloatArray:
    return np.asarray(ndimage.gaussian_filter(picture, (sigma, sigma, 0), mode="nearest"))


def _jpeg(picture: FloatArray, quality: float, rng: np.random.Generator) -> FloatArray:
    file = io.BytesIO()
    Image.fromarray(picture.astype(np.uint8)).save(file, "JPEG", quality=int(quality))
    return np.asarray(Image.open(file), dtype=np.float64)


def _blocks(picture: FloatArray, count: float, rng: np.random.Generator) -> FloatArray:
    spoiled, side = picture.copy(), 6
    for _ in range(int(count)):
        y = rng.integers(0, picture.shape[0] - side)
        x = rng.integers(0, picture.shape[1] - side)
        spoiled[y : y + side, x : x + side] = rng.integers(0, 256, 3)
    return spoiled


def _mean_shift(picture: FloatArray, shift: float, rng: np.random.Generator) -> FloatArray:
    return np.asarray(picture + shift * (1 if picture.mean() < 128 else -1))


def _contrast(picture: FloatArray, gain: float, rng: np.random.Generator) -> FloatArray:
    mean = picture.mean()
    return np.asarray(mean + (picture - mean) * gain)


def _saturation(picture: FloatArray, gain: float, rng: np.random.Generator) -> FloatArray:
    gray = (picture @ np.array([0.299, 0.587, 0.114]))[..., None]
    return np.asarray(gray + (picture - gray) * gain)


def _aberration(picture: FloatArray, pixels: float, rng: np.random.Generator) -> FloatArray:
    red = ndimage.shift(picture[..., 0], (0, pixels), order=1, mode="nearest")
    blue = ndimage.shift(picture[..., 2], (0, -pixels), order=1, mode="nearest")
    return np.stack([red, picture[..., 1], blue], axis=-1)


class ToyDistortion(NamedTuple):
    """A distortion: its number among TID2013's types, its function, a strength per level."""

    number: int
    distort: Distort
    strengths: tuple[float, float, float, float, float]


DISTORTIONS = (
    ToyDistortion(1, _gaussian_noise, (5, 9, 15, 24, 36)),
    ToyDistortion(3, _correlated_noise, (4, 7, 12, 19, 30)),
    ToyDistortion(5, _high_frequency_noise, (5, 9, 15, 24, 36)),
    ToyDistortion(6, _impulse_noise, (0.005, 0.01, 0.025, 0.06, 0.12)),
    ToyDistortion(7, _quantization, (18, 11, 7, 5, 3)),
    ToyDistortion(8, _blur, (0.5, 0.8, 1.2, 1.8, 2.8)),
    ToyDistortion(10, _jpeg, (60, 35, 20, 10, 4)),
    ToyDistortion(15, _blocks, (1, 3, 6, 12, 24)),
    ToyDistortion(16, _mean_shift, (8, 16, 28, 42, 60)),
    ToyDistortion(17, _contrast, (0.85, 0.7, 0.55, 0.4, 0.25)),
    ToyDistortion(18, _saturation, (0.8, 0.6, 0.4, 0.2, 0.0)),
    ToyDistortion(23, _aberration, (0.4, 0.8, 1.4, 2.2, 3.4)),
)


def distort(picture: UInt8Array, kind: ToyDistortion, level: int, seed: list[int]) -> UInt8Array:
    """Distort one picture.

    Args:
        picture: uint8 `[H, W, 3]`.
        level: 1 (weakest) to 5.
        seed: of the random fields, where the kind has any.
    """
    strength = kind.strengths[level - 1]
    spoiled = kind.distort(picture.astype(np.float64), strength, np.random.default_rng(seed))
    return np.clip(np.rint(spoiled), 0, 255).astype(np.uint8)


PIXELS_PER_DEGREE = 32
CHROMA_WEIGHT = 0.25

FORMULA = """\
score = 9 / (1 + e / 10), 9 best, 0 worst.
e: root mean square, in grey levels, of the difference between reference and distorted picture
   after weighting its Fourier spectrum (Y: 1, Cb and Cr: 0.25 each, in power) with the contrast
   sensitivity A(f) = 2.6 (0.0192 + 0.114 f) exp(-(0.114 f)^1.1) of Mannos and Sakrison (1974),
   f in cycles per degree at 32 pixels per degree.
"""


def pseudo_score(reference: UInt8Array, distorted: UInt8Array) -> float:
    """What stands where a human score would: `FORMULA`, which uses no CLIP.

    Args:
        reference, distorted: uint8 `[H, W, 3]`.

    Returns:
        9 (equal) down to 0.
    """
    to_ycc = np.array(
        [[0.299, 0.587, 0.114], [-0.168736, -0.331264, 0.5], [0.5, -0.418688, -0.081312]]
    )
    error = (distorted.astype(np.float64) - reference) @ to_ycc.T
    height, width, _ = error.shape
    spectrum = np.abs(np.fft.fft2(error, axes=(0, 1))) ** 2 / (height * width) ** 2
    fy = np.fft.fftfreq(height)[:, None] * PIXELS_PER_DEGREE
    fx = np.fft.fftfreq(width)[None, :] * PIXELS_PER_DEGREE
    f = 0.114 * np.hypot(fy, fx)
    sensitivity = 2.6 * (0.0192 + f) * np.exp(-(f**1.1))
    power = spectrum @ np.array([1, CHROMA_WEIGHT, CHROMA_WEIGHT])
    return float(9 / (1 + np.sqrt((power * sensitivity**2).sum()) / 10))
