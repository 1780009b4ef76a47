"""Cue-conflict decisions as model-vs-human's raw data, one CSV per checkpoint.

Below `raw-data/` of a clone of bethgelab/model-vs-human they stand beside its human observers.
Its analysis knows the shape by the column `category` and the texture by the picture's name.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from pathlib import Path

from fastclip.errors import RefusalError
from fastclip.exports.base import Export, Options, Selection
from fastclip.exports.folder import plain, unique_name, write_folder
from fastclip.results.record import read_items

HEADER = (
    "subj",
    "session",
    "trial",
    "rt",
    "object_response",
    "category",
    "condition",
    "imagename",
)
NOT_KNOWN = "NaN"
"""What its own models have for reaction time and condition."""

COLUMNS = ("picture", "shape", "texture", "decision")


def write(selection: Selection, target: Path, options: Options) -> str:
    """`<data set>/<data set>_<checkpoint>_session-1.csv`, for each checkpoint."""
    count = write_folder(target, _files(selection))
    return f"{count} files of one checkpoint each: {target}; copy its folders into raw-data/"


def texture_of(imagename: str) -> str:
    """The texture that a picture's name tells: "dog10-bird2.png" -> "bird"."""
    last = imagename.rsplit("_", 1)[-1].split(".")[0].rsplit("-", 1)[-1]
    return "".join(letter for letter in last if not letter.isdigit())


def _files(selection: Selection) -> Iterator[tuple[str, bytes]]:
    for m in selection.measured:
        items = read_items(selection.record_file(m.record), COLUMNS)
        subject = unique_name(m.sighting, m.record.dataset)
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow(HEADER)
        rows = zip(*(items[name] for name in COLUMNS), strict=True)
        for trial, (picture, shape, texture, decision) in enumerate(rows, start=1):
            name = picture.rsplit("/", 1)[-1]
            if texture_of(name) != texture:
                raise RefusalError(
                    f"model-vs-human would read the texture '{texture_of(name)}' from "
                    f"'{name}', and it is '{texture}'",
                    where=m.record.dataset,
                    mend="classes must be words without digits, hyphens, dots and underscores",
                )
            writer.writerow((subject, 1, trial, NOT_KNOWN, decision, shape, NOT_KNOWN, name))
        dataset = plain(m.record.dataset)
        yield f"{dataset}/{dataset}_{subject}_session-1.csv", text.getvalue().encode()


EXPORT = Export("model-vs-human", write, task="shape-bias")
