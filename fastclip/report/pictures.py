"""Pictures worth a look: decisions that flip in training, image-quality pairs most misjudged."""

from __future__ import annotations

import json
from base64 import b64encode
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from fastclip.analysis.base import Analysis, Curve
from fastclip.errors import FastclipError
from fastclip.report.panels import primary_curves
from fastclip.results.record import read_items, record_path

if TYPE_CHECKING:
    import pandas as pd

    from fastclip.stimuli.base import Dataset

SIZE = 96
"""Longer side of a thumbnail, in pixels."""

FLIPS, PAIRS = 12, 6
"""Pictures shown of each direction."""


def flips(out: Path, rows: pd.DataFrame, analysis: Analysis) -> Iterator[dict[str, Any]]:
    """Per run and set: the conflict pictures that go over from one cue to the other for good.

    Only checkpoints above chance count. A picture's worth is how many of its decisions are
    explained by one change of cue, less how many by none; `decisions` has a letter per
    checkpoint ("s" shape, "t" texture, "o" other). `turned` counts pictures by (first, last).
    """
    for curve in primary_curves(analysis, "shape-bias"):
        usable = [name for name, ok in zip(curve.checkpoints, curve.usable, strict=True) if ok]
        paths = _record_paths(out, rows, curve)
        found = [read_items(paths[name], _CUE_COLUMNS) for name in usable if name in paths]
        if len(found) < 2:
            continue
        conflict = found[0]["conflict"]
        shape = np.stack([items["is_shape"] for items in found])[:, conflict]
        texture = np.stack([items["is_texture"] for items in found])[:, conflict]
        names = found[0]["picture"][conflict]
        letters = np.where(shape, "s", np.where(texture, "t", "o"))
        thumbnails = _Thumbnails(out, curve.dataset)
        to_shape, to_texture = (_worth(a, b) for a, b in ((texture, shape), (shape, texture)))
        yield {
            "group": curve.group,
            "dataset": curve.dataset,
            "checkpoints": usable,
            "pictures": len(names),
            "turned": _counts(letters[0], letters[-1]),
            "missing": thumbnails.missing,
            "to_shape": [_flip(names, letters, i, thumbnails) for i in _top(to_shape, FLIPS)],
            "to_texture": [_flip(names, letters, i, thumbnails) for i in _top(to_texture, FLIPS)],
        }


_CUE_COLUMNS = ("picture", "is_shape", "is_texture", "conflict")


def _worth(before: npt.NDArray[np.bool_], after: npt.NDArray[np.bool_]) -> npt.NDArray[np.int64]:
    """`[T, N]` twice -> `[N]`: decisions that one change explains, less those that none does."""
    zeros = np.zeros((1, before.shape[1]), np.int64)
    until = np.concatenate([zeros, np.cumsum(before, axis=0)])
    since = np.concatenate([np.cumsum(after[::-1], axis=0)[::-1], zeros])
    constant = np.maximum(before.sum(axis=0), after.sum(axis=0))
    return np.asarray((until + since).max(axis=0) - constant)


def _top(worth: npt.NDArray[Any], count: int) -> list[int]:
    """Indices of the largest values above 0, the first of equals first."""
    order = np.argsort(-worth, kind="stable")[:count]
    return [int(i) for i in order if worth[i] > 0]


def _counts(first: npt.NDArray[np.str_], last: npt.NDArray[np.str_]) -> dict[str, int]:
    pairs, counts = np.unique(np.char.add(first, last), return_counts=True)
    return {str(pair): int(n) for pair, n in zip(pairs, counts, strict=True)}


def _flip(
    names: npt.NDArray[Any], letters: npt.NDArray[np.str_], row: int, thumbnails: _Thumbnails
) -> dict[str, Any]:
    name = str(names[row])
    return {"name": name, "decisions": "".join(letters[:, row]), "picture": thumbnails(name)}


def misjudged(out: Path, rows: pd.DataFrame, analysis: Analysis) -> Iterator[dict[str, Any]]:
    """Per run and set: the pairs where model and observers differ most, by rank.

    At the last usable checkpoint. Ranks are shares of all pairs, 0 for the best picture and 1
    for the worst: by the score that people gave, and by the model's distance.
    """
    from scipy.stats import rankdata, spearmanr

    for curve in primary_curves(analysis, "iqa"):
        last = max((i for i, ok in enumerate(curve.usable) if ok), default=None)
        paths = _record_paths(out, rows, curve)
        if last is None or curve.checkpoints[last] not in paths:
            continue
        distance = str(curve.endpoint.factors.get("distance") or "cosine")
        items = read_items(paths[curve.checkpoints[last]], (*_PAIR_COLUMNS, distance))
        # The polarity of the scores is in no record: aligned scores fall with the distance.
        sign = np.sign(curve.value[last] or 1.0)
        raw = spearmanr(items["score"], items[distance]).statistic
        count = len(items["score"])
        people = (rankdata(sign * np.sign(raw) * items["score"]) - 0.5) / count
        model = (rankdata(items[distance]) - 0.5) / count
        pairs = _Pairs(items, people, model, _Thumbnails(out, curve.dataset))
        yield {
            "group": curve.group,
            "dataset": curve.dataset,
            "checkpoint": curve.checkpoints[last],
            "pairs": count,
            "missing": pairs.thumbnails.missing,
            "too_far": [pairs[row] for row in _top(model - people, PAIRS)],
            "too_near": [pairs[row] for row in _top(people - model, PAIRS)],
        }


_PAIR_COLUMNS = ("reference", "distorted", "type", "level", "score")


@dataclass(frozen=True)
class _Pairs:
    """Pairs of an image-quality set as the page shows them."""

    items: Mapping[str, npt.NDArray[Any]]
    people: npt.NDArray[np.float64]
    model: npt.NDArray[np.float64]
    thumbnails: _Thumbnails

    def __getitem__(self, row: int) -> dict[str, Any]:
        names = [str(self.items[column][row]) for column in ("reference", "distorted")]
        return {
            "names": names,
            "type": str(self.items["type"][row]),
            "level": int(self.items["level"][row]),
            "score": float(self.items["score"][row]),
            "people": float(self.people[row]),
            "model": float(self.model[row]),
            "pictures": [self.thumbnails(name) for name in names],
        }


class _Thumbnails:
    """Small pictures of a data set by name, as data URLs; None where the file is not there.

    `missing` says why there are none at all, "" where the set was found.
    """

    def __init__(self, out: Path, label: str) -> None:
        self.missing = ""
        self._rows: dict[str, int] = {}
        found = _dataset(out, label.split("[")[0])
        if isinstance(found, str):
            self.missing = found
            return
        self._pictures = found.pictures
        self._rows = {self._pictures.name(row): row for row in range(len(self._pictures))}

    def __call__(self, name: str) -> str | None:
        if name not in self._rows:
            return None
        row = self._rows[name]
        try:
            pixels = self._pictures.decode(row, self._pictures.encoded(row))
        except (FastclipError, OSError):
            return None
        return _data_url(pixels)


def _data_url(pixels: npt.NDArray[np.uint8]) -> str:
    from PIL import Image

    picture = Image.fromarray(pixels)
    picture.thumbnail((SIZE, SIZE), Image.Resampling.LANCZOS)
    data = BytesIO()
    picture.save(data, "WEBP", quality=72, method=6)
    return "data:image/webp;base64," + b64encode(data.getvalue()).decode()


def _dataset(out: Path, name: str) -> Dataset | str:
    """The data set as the sweep was told to find it, or why it is not there."""
    from fastclip.stimuli.locate import locate

    config = out / "config.json"
    options = json.loads(config.read_bytes())["options"] if config.is_file() else {}
    data_dir = options.get("data_dir")
    try:
        locations = locate(
            None if data_dir is None else Path(data_dir),
            tuple(options.get("data", ())),
            higher_is_better=options.get("higher_is_better"),
        )
        if name not in locations:
            return "the sweep that settled this folder did not name this data set"
        return locations[name].load(partial=True, limit=options.get("limit"))
    except (FastclipError, OSError) as error:
        return str(error).splitlines()[0]


def _record_paths(out: Path, rows: pd.DataFrame, curve: Curve) -> dict[str, Path]:
    """Record of each checkpoint of a curve whose items are there."""
    of_run = rows[
        (rows["run"] == curve.run)
        & (rows["arch"] == curve.arch)
        & (rows["weights"] == curve.weights)
        & (rows["task"] == curve.endpoint.task)
        & (rows["protocol_id"] == curve.protocol_id)
    ].drop_duplicates("checkpoint")
    paths = {
        str(name): record_path(out, str(key), curve.endpoint.task, curve.protocol_id)
        for name, key in zip(of_run["checkpoint"], of_run["checkpoint_id"], strict=True)
    }
    return {name: p for name, p in paths.items() if p.with_suffix(".items.parquet").is_file()}
