"""Tiny data sets in the published layouts, drawn the same on every machine."""

from __future__ import annotations

import pickle
from pathlib import Path

import numpy as np
from PIL import Image

CUE_CLASSES = ("airplane", "bear", "bicycle", "bird")


def draw(seed: int, size: tuple[int, int]) -> np.ndarray:
    """A picture `[height, width, 3]` uint8: smooth waves and a little grain, unlike any other.

    Args:
        size: (width, height).
    """
    width, height = size
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[0 : 1 : height * 1j, 0 : 1 : width * 1j]
    waves = [
        np.sin(2 * np.pi * (rng.uniform(0.5, 4) * x + rng.uniform(0.5, 4) * y + rng.random()))
        for _ in range(3)
    ]
    picture = 128 + 90 * np.stack(waves, -1) + rng.normal(0, 4, (height, width, 3))
    return np.clip(picture, 0, 255).astype(np.uint8)


def distort(picture: np.ndarray, kind: int, level: int, seed: int) -> np.ndarray:
    """Gaussian noise (kind 1) or a mean shift (any other), stronger with `level` 1 to 5."""
    rng = np.random.default_rng(seed)
    added = rng.normal(0, 6.0 * level, picture.shape) if kind == 1 else 9.0 * level
    return np.clip(picture + added, 0, 255).astype(np.uint8)


def make_tid2013(
    path: Path,
    references: int = 3,
    size: tuple[int, int] = (64, 48),
    types: tuple[int, ...] = (1, 16),
    levels: int = 3,
) -> Path:
    """A set in TID2013's layout, with its mixture of upper and lower case.

    Scores fall with the level; `references * len(types) * levels` pairs. Returns `path`.
    """
    for folder in ("reference_images", "distorted_images"):
        (path / folder).mkdir(parents=True)
    lines = []
    for reference in range(1, references + 1):
        picture = draw(reference, size)
        Image.fromarray(picture).save(path / "reference_images" / f"I{reference:02d}.BMP", "BMP")
        for kind in types:
            for level in range(1, levels + 1):
                name = f"{'I' if level == 1 else 'i'}{reference:02d}_{kind:02d}_{level}.bmp"
                seed = reference * 1000 + kind * 10 + level
                distorted = distort(picture, kind, level, seed)
                Image.fromarray(distorted).save(path / "distorted_images" / name.lower())
                score = 7 - 1.1 * level - 0.05 * kind + 0.1 * reference
                lines.append(f"{score:.5f} {name}\r\n")
    (path / "mos_with_names.txt").write_bytes("".join(lines).encode())
    return path


def make_cue_conflict(
    path: Path,
    classes: tuple[str, ...] = CUE_CLASSES,
    per_pair: int = 1,
    size: int = 32,
) -> Path:
    """A set in the cue-conflict layout: `per_pair` pictures of every (shape, texture) pair.

    `len(classes) ** 2 * per_pair` pictures, `len(classes) * per_pair` of them not in conflict.
    Returns `path`.
    """
    for i, shape in enumerate(classes):
        (path / shape).mkdir(parents=True)
        for j, texture in enumerate(classes):
            for n in range(1, per_pair + 1):
                picture = draw(10_000 + i * 1000 + j * 10 + n, (size, size))
                Image.fromarray(picture).save(path / shape / f"{shape}{n}-{texture}{n}.png")
    return path


def make_cifar100(path: Path, n: int = 20, classes: int = 100) -> Path:
    """`n` pictures of 32 x 32 in CIFAR-100's pickle layout; labels run through the classes.

    Names have underscores as in the published `meta`. Returns `path`.
    """
    path.mkdir(parents=True)
    labels = [row % classes for row in range(n)]
    data = np.stack([draw(20_000 + row, (32, 32)).transpose(2, 0, 1).ravel() for row in range(n)])
    names = [f"some_class_{label}" for label in range(classes)]
    batch = {
        "batch_label": "testing batch 1 of 1",
        "filenames": [f"{names[label]}_s_{row:06d}.png" for row, label in enumerate(labels)],
        "fine_labels": labels,
        "coarse_labels": [label // 5 for label in labels],
        "data": data,
    }
    (path / "test").write_bytes(pickle.dumps(batch, protocol=2))
    (path / "meta").write_bytes(pickle.dumps({"fine_label_names": names}, protocol=2))
    return path
