"""KADID-10k: 81 references, 25 distortion types, 5 levels, scores 1 to 5.

Layout: `dmos.csv` with `dist_img,ref_img,dmos,var` and `images/` with references `I01.png` and
distorted pictures `I01_01_01.png`. The column is called dmos, yet *higher is better* (the site
says so; observed 1.0 to 4.93). Lin, Hosu, Saupe 2019, doi 10.1109/QoMEX.2019.8743252.

The column called var holds the *standard deviation* of a picture's 30 ratings, divided by n: no
30 whole numbers have mean 4.57 and variance .496, or 4.33 and .869, as its first rows would say,
but 30 have these means and standard deviations.
"""

from __future__ import annotations

import csv
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
    "gaussian_blur",
    "lens_blur",
    "motion_blur",
    "colour_diffusion",
    "colour_shift",
    "colour_quantization",
    "colour_saturation_hsv",
    "colour_saturation_lab",
    "jpeg2000",
    "jpeg",
    "white_noise",
    "white_noise_in_colour_component",
    "impulse_noise",
    "multiplicative_noise",
    "denoise",
    "brighten",
    "darken",
    "mean_shift",
    "jitter",
    "non_eccentricity_patch",
    "pixelate",
    "quantization",
    "colour_block",
    "high_sharpen",
    "contrast_change",
)
"""Types 1 to 25, in the words of the site."""

RATINGS = 30
"""Of each picture, as published."""

SCORES, PICTURES = "dmos.csv", "images"
NAME = re.compile(r"(i\d+)_(\d+)_(\d+)\.\w+", re.IGNORECASE)


def load(
    path: Path, *, name: str, partial: bool = False, limit: int | None = None
) -> ImageQualityDataset:
    """Read a set in KADID-10k's layout.

    Args:
        path: folder with `dmos.csv`, or the folder above it.
        name: under "kadid10k" 10125 pairs are expected, else what the table lists.
        partial: go on with the pairs whose files exist.
        limit: keep whole references up to this many pairs (one reference at least).

    Raises:
        DataError: incomplete without `partial`, or a score cannot be read.
    """
    root = folder_with(path, SCORES, name)
    scores = spelled(root, SCORES)
    assert scores is not None  # folder_with has seen it
    table = read_scores(scores)
    folder = Folder(root, (PICTURES,))
    return assemble(
        table,
        folder.find,
        root,
        kind="kadid10k",
        name=name,
        path=path,
        higher_is_better=True,
        partial=partial,
        limit=limit,
        notes=leftovers(table, folder),
    )


def read_scores(path: Path) -> Table:
    """Read `dmos.csv`; pictures are named in lower case."""
    pairs: list[Pair] = []
    bad: list[str] = []
    with path.open(newline="", encoding="utf-8-sig") as file:
        reader = csv.DictReader(file)
        if not {"dist_img", "ref_img", "dmos"} <= set(reader.fieldnames or ()):
            raise DataError(
                f"its columns are {some(reader.fieldnames or ['none'])}",
                where=path,
                mend="the published dmos.csv begins with dist_img,ref_img,dmos,var",
            )
        for row in reader:
            try:
                pairs.append(_pair(row))
            except ValueError as error:
                bad.append(f"line {reader.line_num} ({error})")
    problems = [f"{counted(len(bad), 'score row')} cannot be read: {some(bad)}"] if bad else []
    return Table(pairs, len(pairs) + len(bad), problems)


def _pair(row: dict[str, str]) -> Pair:
    match = NAME.fullmatch(row["dist_img"] or "")
    if not match or not row["ref_img"]:
        raise ValueError("not 'Irr_tt_ll.png,Irr.png,score,variance'")
    number = int(match[2])
    if not 1 <= number <= len(TYPES):
        raise ValueError(f"distortion type {number} is not one of 1 to {len(TYPES)}")
    return Pair(
        f"{PICTURES}/{row['ref_img'].lower()}",
        f"{PICTURES}/{row['dist_img'].lower()}",
        finite(row["dmos"] or ""),
        TYPES[number - 1],
        int(match[3]),
        _error(row.get("var") or ""),
    )


def _error(deviation: str) -> float:
    """The mean's standard error; NaN where the column is absent or holds something else."""
    try:
        return standard_error(deviation) / math.sqrt(RATINGS)
    except ValueError:
        return math.nan
