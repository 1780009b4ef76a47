"""Texture-shape cue-conflict pictures: `<shape>/<shape><i>-<texture><j>.png`.

Published: 16 classes x 80 pictures of 224 x 224; each of the 256 (shape, texture) pairs has 5,
so 80 pictures are not in conflict. Geirhos et al., ICLR 2019.
"""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path

import numpy as np

from fastclip.errors import DataError
from fastclip.files import digest_of
from fastclip.stimuli.base import CueConflictDataset
from fastclip.stimuli.info import COUNTS, info_of
from fastclip.stimuli.sources import (
    PICTURE_SUFFIXES,
    FilePictures,
    check_complete,
    counted,
    some,
    spread,
)

CLASSES = (
    "airplane",
    "bear",
    "bicycle",
    "bird",
    "boat",
    "bottle",
    "car",
    "cat",
    "chair",
    "clock",
    "dog",
    "elephant",
    "keyboard",
    "knife",
    "oven",
    "truck",
)
"""The 16 classes of the published set, sorted."""

PER_CLASS = 80
IN_REPOSITORY = Path("stimuli", "style-transfer-preprocessed-512")
"""Where the stimuli are in a clone of rgeirhos/texture-vs-shape."""

NAME = re.compile(r"((?P<shape>.*?\D)\d*)-((?P<texture>.*?\D)\d*)")


def load(
    path: Path, *, name: str, partial: bool = False, limit: int | None = None
) -> CueConflictDataset:
    """Read a set in the published layout; the classes are the folders.

    Args:
        path: the folder of class folders, or a clone of rgeirhos/texture-vs-shape.
        name: under "cue-conflict" the 16 published classes and 1280 pictures are expected;
            a set under another name is complete by itself.
        partial: go on with the pictures there are.
        limit: keep this many: the first picture of each shape, then the second, and so on.

    Raises:
        DataError: no pictures, incomplete without `partial`, or a texture that is no class.
    """
    if not path.is_dir():
        raise DataError(
            f"the data set '{name}' needs a folder, and there is none here",
            where=path,
            mend="check the path given with --data NAME=PATH or --data-dir",
        )
    root = path / IN_REPOSITORY if (path / IN_REPOSITORY).is_dir() else path
    folders = sorted(e for e in root.iterdir() if e.is_dir() and not e.name.startswith("."))
    published = name == "cue-conflict"
    classes = CLASSES if published else tuple(f.name for f in folders if _pictures(f))
    names, cues, extra = _read_names(root, classes, path)
    extra += [f.name + "/" for f in folders if f.name not in classes]

    expected = COUNTS[name] if published else len(names)
    problems = _counts(classes, cues) if published and len(names) != expected else []
    check_complete(name, path, len(names), expected, problems, partial)
    keep = spread([classes.index(shape) for shape, *_ in cues], limit)
    kept = [cues[row] for row in keep]
    shape = np.array([classes.index(shape) for shape, *_ in kept], np.int64)
    texture = np.array([classes.index(texture) for _, texture, *_ in kept], np.int64)
    notes = [f"{counted(len(extra), 'extra file')} left out: {some(extra)}"] if extra else []
    return CueConflictDataset(
        name=name,
        kind="cue-conflict",
        info=info_of("cue-conflict", name),
        pictures=FilePictures(root, [names[row] for row in keep]),
        found=len(keep),
        expected=expected,
        labels_digest=digest_of([classes, shape.tolist(), texture.tolist()]),
        notes=(*problems, *notes),
        classes=classes,
        shape=shape,
        texture=texture,
        shape_exemplar=tuple(cue[2] for cue in kept),
        texture_exemplar=tuple(cue[3] for cue in kept),
    )


Cue = tuple[str, str, str, str]  # shape, texture, shape exemplar, texture exemplar


def _read_names(
    root: Path, classes: tuple[str, ...], path: Path
) -> tuple[list[str], list[Cue], list[str]]:
    """Names and cues of the pictures, sorted, and the files that are none of the set's."""
    names: list[str] = []
    cues: list[Cue] = []
    extra: list[str] = []
    for shape in classes:
        for file in _pictures(root / shape):
            relative = f"{shape}/{file.name}"
            match = NAME.fullmatch(file.stem)
            if not match or match["shape"] != shape:
                extra.append(relative)
                continue
            if match["texture"] not in classes:
                raise DataError(
                    f"the texture '{match['texture']}' of {relative} is none of the classes",
                    where=path,
                    mend=f"the classes are the folders: {', '.join(classes)}",
                )
            names.append(relative)
            cues.append((shape, match["texture"], match[1], match[3]))
    return names, cues, extra


def _pictures(folder: Path) -> list[Path]:
    files = folder.iterdir() if folder.is_dir() else ()
    return sorted(f for f in files if f.suffix.lower() in PICTURE_SUFFIXES)


def _counts(classes: tuple[str, ...], cues: list[Cue]) -> list[str]:
    """The classes that do not have 80 pictures."""
    have = Counter(cue[0] for cue in cues)
    wrong = [f"{have[shape]} {shape}" for shape in classes if have[shape] != PER_CLASS]
    if len(wrong) == len(classes) and len({have[shape] for shape in classes}) == 1:
        wrong = [f"{have[classes[0]]} of each"]
    return [f"{PER_CLASS} pictures are expected of each shape, there are: {some(wrong, 16)}"]
