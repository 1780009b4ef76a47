"""ImageNet's validation set sorted into folders: `val/<wnid>/*.JPEG`.

Classes are the 1000 WordNet ids of ILSVRC 2012 in sorted order, which is the order of
open_clip's `IMAGENET_CLASSNAMES`. Russakovsky et al. 2015, doi 10.1007/s11263-015-0816-y.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from fastclip.errors import DataError
from fastclip.files import digest_of
from fastclip.open_clip_tables import imagenet_class_names, imagenet_templates
from fastclip.stimuli.base import ClassificationDataset
from fastclip.stimuli.info import COUNTS, info_of
from fastclip.stimuli.sources import (
    PICTURE_SUFFIXES,
    FilePictures,
    check_complete,
    counted,
    some,
    spread,
)

PER_CLASS = 50


def load(
    path: Path, *, name: str, partial: bool = False, limit: int | None = None
) -> ClassificationDataset:
    """Read a validation folder; noise is added after resizing and cropping by default.

    Every picture is classified among all 1000 classes, also where few folders are there.

    Args:
        path: the folder of wnid folders, or the folder above `val`.
        name: under "imagenet" 50000 pictures are expected, else what is there.
        partial: go on with the pictures there are.
        limit: keep this many: the first picture of each class, then the second, and so on.

    Raises:
        DataError: no wnid folders, or incomplete without `partial`.
    """
    root = path / "val" if (path / "val").is_dir() else path
    wnids, descriptions = wordnet_ids()
    names, labels, extra = _pictures(root, wnids, name)

    expected = COUNTS[name] if name == "imagenet" else len(names)
    counts = np.bincount(np.array(labels, np.int64), minlength=len(wnids))
    problems = []
    if len(names) != expected:
        absent = [wnid for wnid, count in zip(wnids, counts, strict=True) if not count]
        short = int(np.sum((counts != PER_CLASS) & (counts > 0)))
        if absent:
            problems.append(f"{counted(len(absent), 'class folder')} missing: {some(absent)}")
        if short:
            problems.append(f"{counted(short, 'folder')} without exactly {PER_CLASS} pictures")
    check_complete(name, path, len(names), expected, problems, partial)
    keep = spread(labels, limit)
    kept = np.array(labels, np.int64)[keep]
    notes = [f"{counted(len(extra), 'extra entry')} left out: {some(extra)}"] if extra else []
    return ClassificationDataset(
        name=name,
        kind="imagenet",
        info=info_of("imagenet", name),
        pictures=FilePictures(root, [names[row] for row in keep]),
        found=len(keep),
        expected=expected,
        labels_digest=digest_of([wnids, kept.tolist()]),
        notes=(*problems, *notes),
        label_index=kept,
        class_names={"dataset": descriptions, "openai": imagenet_class_names()},
        templates=imagenet_templates(),
        templates_name="openai-imagenet-80",
        noise_at="input",
    )


def wordnet_ids() -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The 1000 wnids in class order, and the synsets' own words ("tench, Tinca tinca")."""
    from timm.data.imagenet_info import ImageNetInfo

    info: Any = ImageNetInfo("imagenet-1k")  # timm declares no types
    words = tuple(info.index_to_description(index) for index in range(info.num_classes()))
    return tuple(info.label_names()), words


def _pictures(
    root: Path, wnids: tuple[str, ...], name: str
) -> tuple[list[str], list[int], list[str]]:
    """Names and class indices of the pictures, sorted by class, and what is left out."""
    index = {wnid: label for label, wnid in enumerate(wnids)}
    entries = sorted(root.iterdir()) if root.is_dir() else []
    folders = [e for e in entries if e.name in index and e.is_dir()]
    if not folders:
        raise DataError(
            f"the data set '{name}' has no class folders such as 'n01440764' here",
            where=root,
            mend="sort the validation pictures into folders named by their wnid",
        )
    names: list[str] = []
    labels: list[int] = []
    extra = [e.name for e in entries if e not in set(folders) and not e.name.startswith(".")]
    for folder in folders:
        for file in sorted(folder.iterdir()):
            if file.suffix.lower() in PICTURE_SUFFIXES:
                names.append(f"{folder.name}/{file.name}")
                labels.append(index[folder.name])
            else:
                extra.append(f"{folder.name}/{file.name}")
    return names, labels, extra
