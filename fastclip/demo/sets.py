"""Held-out sets of the toy world, in the published layouts of the real ones."""

from __future__ import annotations

import pickle
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from fastclip.demo import world
from fastclip.demo.distort import DISTORTIONS, FORMULA, distort, pseudo_score
from fastclip.files import write_atomic

STAMP = "synthetic, no human data"

# Generators of the held-out sets; training draws from streams 0 and 1 of the same seed.
_TID, _CUE, _CIFAR = 2, 3, 4

CUE_EXEMPLARS = 4  # of each shape and of each texture
CUE_PER_PAIR = 2
CIFAR_PER_CLASS = 40


def write_tid2013(folder: Path, seed: int) -> int:
    """toy-tid2013: `reference_images/I01.BMP`, `distorted_images/i01_01_1.bmp`, scores.

    16 references of 64 x 48, one of each class, 12 of TID2013's distortion types at 5 levels.
    `mos_with_names.txt` holds pseudo-scores (`FORMULA`), higher is better.

    Returns:
        Number of distorted pictures.
    """
    rng = np.random.default_rng([seed, _TID])
    labels = np.arange(len(world.CLASSES))
    references = world.draw(_sharp(world.sample(rng, labels, labels)), (48, 64))
    lines = []
    for number, reference in enumerate(references, start=1):
        _write(folder / "reference_images" / f"I{number:02d}.BMP", reference, "BMP")
        for kind in DISTORTIONS:
            for level in range(1, 6):
                name = f"i{number:02d}_{kind.number:02d}_{level}.bmp"
                picture = distort(reference, kind, level, [seed, number, kind.number, level])
                _write(folder / "distorted_images" / name, picture, "BMP")
                lines.append(f"{pseudo_score(reference, picture):.5f} {name}\n")
    write_atomic(folder / "readme.txt", f"toy-tid2013: {STAMP}.\n\n{FORMULA}".encode())
    write_atomic(folder / "mos_with_names.txt", "".join(lines).encode())
    return len(lines)


def write_cue_conflict(folder: Path, seed: int) -> int:
    """toy-cue-conflict: `<shape>/<shape><i>-<texture><j>.png`, 64 x 64, every pair of classes.

    A shape exemplar is a place, size and angle; a texture exemplar a scale, an offset and two
    colours. Each of the 256 pairs of 16 classes has 2 pictures, 16 pairs are not in conflict.

    Returns:
        Number of pictures.
    """
    rng = np.random.default_rng([seed, _CUE])
    classes = np.repeat(np.arange(len(world.CLASSES)), CUE_EXEMPLARS)
    shapes, textures = (world.sample(rng, classes, classes) for _ in range(2))
    pairs = [
        (a, i, b, (i + a + b + 2 * k) % CUE_EXEMPLARS)
        for a in range(len(world.CLASSES))
        for b in range(len(world.CLASSES))
        for k, i in enumerate(rng.permutation(CUE_EXEMPLARS)[:CUE_PER_PAIR].tolist())
    ]
    a, i, b, j = np.array(pairs).T
    form, paint = shapes.take(a * CUE_EXEMPLARS + i), textures.take(b * CUE_EXEMPLARS + j)
    scenes = replace(
        world.sample(rng, a, b),
        centre=form.centre,
        radius=form.radius,
        angle=form.angle,
        period=paint.period,
        phase=paint.phase,
        turn=paint.turn,
        first=paint.first,
        second=paint.second,
    )
    pictures = world.draw(_sharp(scenes), (64, 64))
    for (a_, i_, b_, j_), picture in zip(pairs, pictures, strict=True):
        shape, texture = world.WORDS[a_], world.WORDS[b_]
        _write(folder / shape / f"{shape}{i_ + 1}-{texture}{j_ + 1}.png", picture, "PNG")
    return len(pairs)


def write_cifar100(folder: Path, seed: int) -> int:
    """toy-cifar: CIFAR-100's pickles `test` and `meta` with the toy's classes, 32 x 32.

    The pictures are of the kind the model was trained on.

    Returns:
        Number of pictures.
    """
    rng = np.random.default_rng([seed, _CIFAR])
    labels = rng.permutation(np.repeat(np.arange(len(world.CLASSES)), CIFAR_PER_CLASS))
    pictures = world.draw(world.everyday(rng, labels), (32, 32))
    test = {
        "filenames": [f"{world.WORDS[label]}_{row:04d}.png" for row, label in enumerate(labels)],
        "batch_label": f"toy-cifar: {STAMP}",
        "fine_labels": labels.tolist(),
        "coarse_labels": labels.tolist(),
        "data": pictures.transpose(0, 3, 1, 2).reshape(len(labels), -1),
    }
    names = list(world.WORDS)
    write_atomic(
        folder / "meta", _pickled({"fine_label_names": names, "coarse_label_names": names})
    )
    write_atomic(folder / "test", _pickled(test))
    return len(labels)


def _sharp(scenes: world.Scenes) -> world.Scenes:
    """The same scenes without blur and nearly without noise."""
    return replace(scenes, blur=scenes.blur * 0, noise=scenes.noise / 4)


def _write(path: Path, picture: npt.NDArray[np.uint8], format: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(picture).save(path, format)


def _pickled(content: dict[str, Any]) -> bytes:
    """A pickle as the published files are: protocol 2, and numpy's name of before 2.0."""
    return pickle.dumps(content, protocol=2).replace(b"numpy._core", b"numpy.core")
