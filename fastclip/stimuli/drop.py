"""Leave pictures that cannot be decoded out of a data set, and say so."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from fastclip.files import digest_of
from fastclip.stimuli.base import (
    ClassificationDataset,
    CueConflictDataset,
    Dataset,
    ImageQualityDataset,
    Int64Array,
    PictureSource,
    UInt8Array,
)


class SubsetPictures(PictureSource):
    """Some rows of another source, in its order."""

    def __init__(self, source: PictureSource, rows: Int64Array) -> None:
        self._source = source
        self._rows = rows
        self.raw = source.raw

    def __len__(self) -> int:
        return len(self._rows)

    def name(self, row: int) -> str:
        return self._source.name(int(self._rows[row]))

    def stat(self, row: int) -> tuple[str, int, int]:
        return self._source.stat(int(self._rows[row]))

    def encoded(self, row: int) -> bytes:
        return self._source.encoded(int(self._rows[row]))

    def decode(self, row: int, encoded: bytes) -> UInt8Array:
        return self._source.decode(int(self._rows[row]), encoded)


def drop_pictures(dataset: Dataset, bad: Sequence[int]) -> Dataset:
    """The data set less these rows of its `pictures`, and less the pairs that need them.

    The result is incomplete, so every row of the table names it `set[found/expected]`; the names
    of the pictures left out are in its notes and its labels digest.
    """
    if not len(bad):
        return dataset
    keep = np.setdiff1d(np.arange(len(dataset.pictures)), np.asarray(bad))
    names = [dataset.pictures.name(row) for row in sorted(bad)]
    fields: dict[str, Any] = {
        "pictures": SubsetPictures(dataset.pictures, keep),
        "labels_digest": digest_of([dataset.labels_digest, "without", names]),
        "notes": (*dataset.notes, f"left out, cannot be decoded: {', '.join(names)}"),
    }
    if isinstance(dataset, ImageQualityDataset):
        fields |= _pairs(dataset, keep)
        fields["found"] = len(fields["score"])
    else:
        fields |= _rows(dataset, keep)
        fields["found"] = dataset.found - len(bad)
    return replace(dataset, **fields)


def _pairs(dataset: ImageQualityDataset, keep: Int64Array) -> dict[str, Any]:
    moved = np.full(len(dataset.pictures), -1, dtype=np.int64)
    moved[keep] = np.arange(len(keep))
    pairs = np.flatnonzero((moved[dataset.reference] >= 0) & (moved[dataset.distorted] >= 0))
    return {
        "reference": moved[dataset.reference[pairs]],
        "distorted": moved[dataset.distorted[pairs]],
        "score": dataset.score[pairs],
        "type": tuple(dataset.type[pair] for pair in pairs),
        "level": dataset.level[pairs],
        "score_error": dataset.score_error[pairs] if len(dataset.score_error) else np.empty(0),
    }


def _rows(dataset: Dataset, keep: Int64Array) -> dict[str, Any]:
    if isinstance(dataset, CueConflictDataset):
        return {
            "shape": dataset.shape[keep],
            "texture": dataset.texture[keep],
            "shape_exemplar": tuple(dataset.shape_exemplar[row] for row in keep),
            "texture_exemplar": tuple(dataset.texture_exemplar[row] for row in keep),
        }
    if isinstance(dataset, ClassificationDataset):
        return {"label_index": dataset.label_index[keep]}
    raise TypeError(f"no rule for dropping pictures of a {type(dataset).__name__}")
