"""TID2013: 25 references, 24 distortion types, 5 levels, mean opinion scores (0 to 9).

Layout: `reference_images/I01.BMP`, `distorted_images/i01_01_1.bmp`, `mos_with_names.txt` with
lines `5.51429 I01_01_1.bmp`. Upper and lower case differ between the table, the archive and the
copies in use, so files are looked up without regard to it and pictures are named in lower case.
Ponomarenko et al. 2015, doi 10.1016/j.image.2014.10.009.

`mos_std.txt`, one line for each of the scores', is the "standard deviation of MOS" (readme): the
mean's standard error, which is that of its about 36 ratings (divided by n) over sqrt(n). For 2,998
of the 3,000 published lines there are so many whole numbers with that mean and error; as the
ratings' own deviations there are for 3.
"""

from __future__ import annotations

import math
import re
from pathlib import Path

from fastclip.errors import DataError
from fastclip.stimuli.base import ImageQualityDataset
from fastclip.stimuli.iqa_table import (
    Pair,
    Table,
    assemble,
    finite,
    leftovers,
    standard_error,
)
from fastclip.stimuli.sources import Folder, counted, folder_with, some, spelled

TYPES = (
    "additive_gaussian_noise",
    "colour_component_noise",
    "spatially_correlated_noise",
    "masked_noise",
    "high_frequency_noise",
    "impulse_noise",
    "quantization_noise",
    "gaussian_blur",
    "image_denoising",
    "jpeg",
    "jpeg2000",
    "jpeg_transmission_errors",
    "jpeg2000_transmission_errors",
    "non_eccentricity_pattern_noise",
    "local_blockwise_distortions",
    "mean_shift",
    "contrast_change",
    "colour_saturation_change",
    "multiplicative_gaussian_noise",
    "comfort_noise",
    "lossy_compression_of_noisy_images",
    "colour_quantization_with_dither",
    "chromatic_aberrations",
    "sparse_sampling_and_reconstruction",
)
"""Types 1 to 24, in the words of the readme."""

SCORES, ERRORS = "mos_with_names.txt", "mos_std.txt"
REFERENCES, DISTORTED = "reference_images", "distorted_images"
NAME = re.compile(r"(i\d+)_(\d+)_(\d+)(\.\w+)", re.IGNORECASE)


def load(
    path: Path, *, name: str, partial: bool = False, limit: int | None = None
) -> ImageQualityDataset:
    """Read a set in TID2013's layout.

    Args:
        path: folder with `mos_with_names.txt`, or the folder above it.
        name: under "tid2013" 3000 pairs are expected, else what the table lists.
        partial: go on with the pairs whose files exist.
        limit: keep whole references up to this many pairs (one reference at least).

    Raises:
        DataError: incomplete without `partial`, or a score cannot be read.
    """
    root = folder_with(path, SCORES, name)
    scores = spelled(root, SCORES)
    assert scores is not None  # folder_with has seen it
    folder = Folder(root, (REFERENCES, DISTORTED))
    table = read_scores(scores, folder, spelled(root, ERRORS))
    return assemble(
        table,
        folder.find,
        root,
        kind="tid2013",
        name=name,
        path=path,
        higher_is_better=True,
        partial=partial,
        limit=limit,
        notes=leftovers(table, folder),
    )


def read_scores(path: Path, folder: Folder, errors: Path | None = None) -> Table:
    """Read lines `<mos> <name>`; the reference is the name up to the first underscore.

    Args:
        path: the scores.
        folder: the pictures.
        errors: standard errors, a line for each score; taken only where lines are as many.
    """
    pairs: list[Pair] = []
    bad: list[str] = []
    lines = [
        line.split() for line in path.read_text(encoding="ascii", errors="replace").split("\n")
    ]
    rows = [words for words in lines if words]
    for words, error in zip(rows, _errors(errors, len(rows)), strict=True):
        try:
            pairs.append(_pair(words, folder, error))
        except ValueError as error:
            bad.append(f"'{' '.join(words)}' ({error})")
    if not rows:
        raise DataError("the score table is empty", where=path, mend="fetch it again")
    problems = [f"{counted(len(bad), 'score row')} cannot be read: {some(bad)}"] if bad else []
    return Table(pairs, len(rows), problems)


def _errors(path: Path | None, rows: int) -> list[float]:
    try:
        words = path.read_text(encoding="ascii").split() if path else []
        errors = [standard_error(word) for word in words]
    except ValueError:  # of another kind
        errors = []
    return errors if len(errors) == rows else [math.nan] * rows


def _pair(words: list[str], folder: Folder, error: float) -> Pair:
    if len(words) != 2 or not (match := NAME.fullmatch(words[1])):
        raise ValueError("not '<score> iRR_TT_L.bmp'")
    reference, type_number, level, suffix = match.groups()
    number = int(type_number)
    if not 1 <= number <= len(TYPES):
        raise ValueError(f"distortion type {number} is not one of 1 to {len(TYPES)}")
    endings = dict.fromkeys((suffix.lower(), ".bmp", ".png"))
    choices = [f"{REFERENCES}/{reference.lower()}{ending}" for ending in endings]
    found = next((choice for choice in choices if folder.find(choice)), choices[0])
    distorted = f"{DISTORTED}/{words[1].lower()}"
    return Pair(found, distorted, finite(words[0]), TYPES[number - 1], int(level), error)
