"""A set in TID2013's layout made of real photographs, with TID2013's own scores for the names.

The scores are human but belong to other pictures: good for comparing programs, not for findings.
"""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
from PIL import Image, ImageFilter
from shared_data import SHARED

TYPES = (1, 8, 10, 16)
LEVELS = (1, 2, 3, 4, 5)


def make_photograph_tid(path: Path, references: int = 6) -> Path:
    """`references` photographs as 512 x 384 bitmaps, each with 4 distortions at 5 levels."""
    scores = {}
    for line in (SHARED / "mos" / "tid2013_mos_with_names.txt").read_text().splitlines():
        score, name = line.split()
        scores[name.lower()] = score
    for folder in ("reference_images", "distorted_images"):
        (path / folder).mkdir(parents=True)
    photographs = sorted((SHARED / "imagenet-samples").glob("*.JPEG"))[:references]
    lines = []
    for number, file in enumerate(photographs, start=1):
        picture = Image.open(file).convert("RGB").resize((512, 384), Image.Resampling.LANCZOS)
        picture.save(path / "reference_images" / f"I{number:02d}.BMP")
        for kind in TYPES:
            for level in LEVELS:
                name = f"i{number:02d}_{kind:02d}_{level}.bmp"
                distort(picture, kind, level, number).save(path / "distorted_images" / name)
                lines.append(f"{scores[name]} {name}\n")
    (path / "mos_with_names.txt").write_text("".join(lines))
    return path


def distort(picture: Image.Image, kind: int, level: int, seed: int) -> Image.Image:
    """White noise (1), Gaussian blur (8), JPEG (10) or a mean shift (16)."""
    if kind == 8:
        return picture.filter(ImageFilter.GaussianBlur(0.6 * level))
    if kind == 10:
        buffer = io.BytesIO()
        picture.save(buffer, "JPEG", quality=70 - 13 * level)
        return Image.open(buffer).convert("RGB")
    pixels = np.asarray(picture, dtype=np.float64)
    if kind == 1:
        generator = np.random.default_rng(100 * seed + level)
        pixels = pixels + generator.normal(0, 7 * level, pixels.shape)
    else:
        pixels = pixels + 14 * level
    return Image.fromarray(np.clip(np.rint(pixels), 0, 255).astype(np.uint8))
