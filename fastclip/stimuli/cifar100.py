"""CIFAR-100's test batch in the published layout: pickles `test` and `meta`.

A pickle is a program, so these are read by an unpickler that knows only what arrays and strings
in this file need. Krizhevsky 2009, https://www.cs.toronto.edu/~kriz/cifar.html.
"""

from __future__ import annotations

import pickle
from collections.abc import Mapping
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from fastclip.errors import DataError
from fastclip.files import digest_of
from fastclip.stimuli.base import ClassificationDataset
from fastclip.stimuli.info import COUNTS, info_of
from fastclip.stimuli.sources import ArrayPictures, check_complete, folder_with

SIDE = 32

_QUALITIES = ("", "blurry ", "black and white ", "low contrast ", "high contrast ", "bad ", "good ")
TEMPLATES = tuple(
    template
    for article in ("a", "the")
    for template in (
        *(f"a {quality}photo of {article} {{}}." for quality in _QUALITIES),
        f"a photo of {article} small {{}}.",
        f"a photo of {article} big {{}}.",
    )
)
"""OpenAI's 18 templates for CIFAR-10 and CIFAR-100, in the order of its `data/prompts.md`
(github.com/openai/CLIP)."""


def load(
    path: Path, *, name: str, partial: bool = False, limit: int | None = None
) -> ClassificationDataset:
    """Read a test batch in CIFAR-100's layout; noise is added at 32 x 32 by default.

    Args:
        path: the folder with `test` and `meta`, or the one above it.
        name: under "cifar100" 10000 pictures are expected, else what the file holds.
        partial: go on with the pictures there are.
        limit: keep the first N (the published order is shuffled).

    Raises:
        DataError: a file is missing, damaged, asks for a forbidden global or does not fit the
            layout; or the set is incomplete without `partial`.
    """
    root = folder_with(path, "test", name)
    test, meta = root / "test", root / "meta"
    batch = read_pickle(test)
    classes = tuple(_text(word) for word in _entry(read_pickle(meta), "fine_label_names", meta))
    data, labels = _checked(batch, len(classes), test)
    expected = COUNTS[name] if name == "cifar100" else len(labels)
    problems = [f"the file holds {len(labels)} pictures"] if len(labels) != expected else []
    check_complete(name, path, len(labels), expected, problems, partial)

    kept = len(labels) if limit is None else min(limit, len(labels))
    files = [_text(file) for file in batch.get("filenames", [""] * len(labels))]
    names = [f"{row:05d}_{file}" if file else f"{row:05d}" for row, file in enumerate(files[:kept])]
    return ClassificationDataset(
        name=name,
        kind="cifar100",
        info=info_of("cifar100", name),
        pictures=ArrayPictures(
            data[:kept].reshape(-1, 3, SIDE, SIDE), names, test, planes_first=True
        ),
        found=kept,
        expected=expected,
        labels_digest=digest_of([classes, labels[:kept].tolist()]),
        notes=tuple(problems),
        label_index=labels[:kept],
        class_names={
            "dataset": classes,
            "openai": tuple(word.replace("_", " ") for word in classes),
        },
        templates=TEMPLATES,
        templates_name="openai-cifar-18",
        noise_at="native",
    )


def read_pickle(path: Path) -> dict[str, Any]:
    """Read a CIFAR pickle: a dictionary of lists, strings and arrays.

    Raises:
        DataError: missing, damaged, not a dictionary, or it asks for a forbidden global.
    """
    try:
        with path.open("rb") as file:
            content = _Unpickler(file, path).load()
    except DataError:
        raise
    except FileNotFoundError as error:
        raise DataError("a file is missing", where=path, mend=_FETCH) from error
    except Exception as error:  # a damaged pickle can raise nearly anything
        raise DataError(f"a damaged file: {error}", where=path, mend=_FETCH) from error
    if not isinstance(content, dict):
        raise DataError(
            f"it holds a {type(content).__name__}, not a dictionary", where=path, mend=_FETCH
        )
    return {_text(key): value for key, value in content.items()}


def _text(word: str | bytes) -> str:
    """Words are `str` in the published pickles, and `bytes` in copies written by Python 3."""
    return word.decode("latin1") if isinstance(word, bytes) else word


_FETCH = "fetch it again: fastclip data prepare cifar100"


def _checked(
    batch: Mapping[str, Any], classes: int, path: Path
) -> tuple[np.ndarray[Any, np.dtype[np.uint8]], np.ndarray[Any, np.dtype[np.int64]]]:
    """Pictures uint8 `[N, 3072]` and labels int64 `[N]`, once they are known to be that."""
    data = _entry(batch, "data", path)
    labels = np.asarray(_entry(batch, "fine_labels", path), np.int64)
    shape = (len(labels), 3 * SIDE * SIDE)
    if not isinstance(data, np.ndarray) or data.dtype != np.uint8 or data.shape != shape:
        raise DataError(f"'data' is not an array of uint8 {list(shape)}", where=path, mend=_FETCH)
    if labels.ndim != 1 or (len(labels) and not 0 <= labels.min() <= labels.max() < classes):
        raise DataError(f"a label is not one of {classes} classes", where=path, mend=_FETCH)
    return data, labels


def _entry(content: Mapping[str, Any], key: str, path: Path) -> Any:
    if key not in content:
        raise DataError(
            f"it has no '{key}'; it has: {', '.join(content)}",
            where=path,
            mend="give the folder of CIFAR-100's Python version (CIFAR-10 is laid out otherwise)",
        )
    return content[key]


def _latin1(text: str, encoding: str) -> bytes:
    """What `_codecs.encode` does in these files, and no more."""
    return text.encode("latin1")


class _Unpickler(pickle.Unpickler):
    """Knows the globals of a pickled array, under numpy's old and new module names."""

    def __init__(self, file: BinaryIO, path: Path):
        super().__init__(file, encoding="latin1")
        self.path = path

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) == ("_codecs", "encode"):
            return _latin1
        if (module, name) in (("numpy", "ndarray"), ("numpy", "dtype")):
            return getattr(np, name)
        if name == "_reconstruct" and module in (
            "numpy.core.multiarray",
            "numpy._core.multiarray",
        ):
            return _reconstruct
        raise DataError(
            f"the pickle asks for '{module}.{name}', which no CIFAR file needs; it was not run",
            where=self.path,
            mend="do not trust this file; " + _FETCH,
        )


def _reconstruct(subtype: type, shape: tuple[int, ...], code: Any) -> Any:
    """An empty array, whose contents the pickle sets afterwards."""
    return np.ndarray.__new__(np.ndarray, shape, code)
