"""24 types of distortion at 5 levels, drawn with numpy and Pillow: a set of TID2013's make."""

from __future__ import annotations

import io

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageEnhance, ImageFilter

Floats = npt.NDArray[np.float64]

TYPES = 24
KINDS = 12


def distort(picture: Image.Image, kind: int, level: int, seed: int) -> Image.Image:
    """`picture` distorted by type 1 to 24 at level 1 to 5; types from 13 on raise contrast too."""
    if kind > KINDS:
        picture = ImageEnhance.Contrast(picture).enhance(1.0 + 0.05 * level)
    rng = np.random.default_rng([seed, kind, level])
    base = (kind - 1) % KINDS + 1
    if base in FILTERS:
        return FILTERS[base](picture, level)
    pixels = np.asarray(picture, dtype=np.float64)
    return Image.fromarray(np.clip(np.rint(_noise(base, pixels, level, rng)), 0, 255).astype("u1"))


def _noise(base: int, pixels: Floats, level: int, rng: np.random.Generator) -> Floats:
    height, width, _ = pixels.shape
    if base == 1:  # white
        return pixels + rng.normal(0, 7 * level, pixels.shape)
    if base == 2:  # in brightness alone
        return pixels + rng.normal(0, 7 * level, (height, width, 1))
    if base == 3:  # coarse
        coarse = rng.normal(0, 7 * level, (height // 4, width // 4, 3))
        return pixels + coarse.repeat(4, axis=0).repeat(4, axis=1)
    if base == 4:  # multiplicative
        return pixels * (1 + rng.normal(0, 0.06 * level, pixels.shape))
    if base == 5:  # impulses
        hit = rng.random((height, width, 1)) < 0.012 * level
        return np.where(hit, 255.0 * rng.integers(0, 2, pixels.shape), pixels)
    if base == 6:  # mean shift
        return pixels + 13.0 * level
    # quantisation
    step = 9.0 * level
    return np.floor(pixels / step) * step + step / 2


def _jpeg(picture: Image.Image, level: int) -> Image.Image:
    buffer = io.BytesIO()
    picture.save(buffer, "JPEG", quality=70 - 13 * level)
    return Image.open(buffer).convert("RGB")


def _smaller(picture: Image.Image, level: int) -> Image.Image:
    width, height = picture.size
    small = picture.resize((width // (level + 1), height // (level + 1)))
    return small.resize((width, height), Image.Resampling.BICUBIC)


FILTERS = {
    8: lambda picture, level: picture.filter(ImageFilter.GaussianBlur(0.6 * level)),
    9: lambda picture, level: picture.filter(ImageFilter.BoxBlur(level)),
    10: _jpeg,
    11: _smaller,
    12: lambda picture, level: ImageEnhance.Color(picture).enhance(1 - 0.2 * level),
}
