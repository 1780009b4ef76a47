"""From rows and items to curves with bands and verdicts."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from fastclip.analysis.base import Curve, Endpoint, Numbers
from fastclip.analysis.endpoints import matching
from fastclip.analysis.replicates import (
    Resampling,
    accuracy_curve,
    correlation_curves,
    drop_curve,
    partial_curve,
    shape_bias_curves,
)
from fastclip.analysis.sentences import scope, sentence
from fastclip.analysis.source import Source
from fastclip.statistics.curves.bands import simultaneous_band
from fastclip.statistics.curves.base import PairedCurve
from fastclip.statistics.curves.peak import UNJUDGED, judge
from fastclip.stimuli.sources import counted

if TYPE_CHECKING:
    import pandas as pd

RUN = ["run", "arch", "weights"]
FLAGS = ("clean_at_chance", "at_chance")
"""Flags of points that no statement is made about."""


@dataclass(frozen=True)
class Measured:
    """A curve with the paired resamples of its usable points, where there are any."""

    curve: Curve
    paired: PairedCurve | None


def curves_of(source: Source, endpoint: Endpoint, how: Resampling) -> Iterator[Measured]:
    """The endpoint's curve of every run and data set.

    Raises:
        RefusalError: a record's items are not there.
    """
    rows = matching(source.rows, endpoint)
    runs = len(source.rows[RUN].drop_duplicates())
    for _, group in rows.groupby([*RUN, "dataset"], sort=False):
        yield _measured(source, endpoint, group.reset_index(drop=True), runs, how)


def _measured(
    source: Source, endpoint: Endpoint, group: pd.DataFrame, runs: int, how: Resampling
) -> Measured:
    why = [_why(row["value"], row["flag"]) for _, row in group.iterrows()]
    usable = np.array([not reason for reason in why])
    paired = (
        RESAMPLERS[endpoint.task](source, endpoint, group[usable], how) if any(usable) else None
    )
    low, high = _bands(paired, usable)
    first = group.iloc[0]
    verdict = judge(paired).among(np.flatnonzero(usable)) if paired else UNJUDGED
    curve = Curve(
        endpoint=endpoint,
        run=str(first["run"]),
        arch=str(first["arch"]),
        weights=str(first["weights"]),
        dataset=str(first["dataset"]),
        protocol_id=str(first["protocol_id"]),
        checkpoints=tuple(group["checkpoint"].astype(str)),
        samples_seen=_numbers(group["samples_seen"]),
        step=_numbers(group["step"]),
        epoch=_numbers(group["epoch"]),
        value=_numbers(group["value"]),
        ci_low=_numbers(group["ci_low"]),
        ci_high=_numbers(group["ci_high"]),
        band_low=low,
        band_high=high,
        usable=tuple(bool(one) for one in usable),
        why=tuple(why),
        n=int(first["n"]),
        n_units=paired.units if paired else 0,
        scope=scope(str(first["run"]), runs, _units(source, endpoint, first)),
        verdict=verdict,
        sentence="",
    )
    return Measured(_with_sentence(curve), paired)


def _units(source: Source, endpoint: Endpoint, row: pd.Series[Any]) -> str:
    """What the resamples draw, in words."""
    if endpoint.task != "shape-bias":
        return counted(int(row["n_units"]), endpoint.unit)
    items = source.items(row, ["conflict", "shape_exemplar", "texture_exemplar"])
    conflict = items["conflict"].astype(bool)
    shapes, textures = (
        len(np.unique(items[f"{kind}_exemplar"][conflict].astype(str)))
        for kind in ("shape", "texture")
    )
    return f"{shapes} shape and {counted(textures, 'texture exemplar')}"


def _with_sentence(curve: Curve) -> Curve:
    from dataclasses import replace

    return replace(curve, sentence=sentence(curve))


def _why(value: float, flag: Any) -> str:
    """Why a point is left out of every statement; "" where it is not."""
    for name in FLAGS:
        if isinstance(flag, str) and name in flag.split(";"):
            return name
    return "NA" if value != value else ""


def _numbers(column: pd.Series[Any]) -> Numbers:
    return tuple(
        None if value is None or value != value else float(value) for value in _plain(column)
    )


def _plain(column: pd.Series[Any]) -> list[Any]:
    return [
        None if missing else value for value, missing in zip(column, column.isna(), strict=True)
    ]


def _bands(paired: PairedCurve | None, usable: npt.NDArray[np.bool_]) -> tuple[Numbers, Numbers]:
    """Simultaneous over the usable points; None elsewhere and where unbounded."""
    bands: list[list[float | None]] = [[None] * len(usable), [None] * len(usable)]
    if paired is not None and paired.units > 1:
        for band, side in zip(bands, simultaneous_band(paired), strict=True):
            for row, value in zip(np.flatnonzero(usable), side, strict=True):
                band[row] = float(value) if np.isfinite(value) else None
    return tuple(bands[0]), tuple(bands[1])


def _image_quality(
    source: Source, endpoint: Endpoint, group: pd.DataFrame, how: Resampling
) -> PairedCurve:
    distance = str(endpoint.factors["distance"])
    partial = endpoint.metric == "srcc_partial_psnr"
    scores, items = pair_distances(source, group, distance, psnr=partial)
    if partial:
        return partial_curve(scores, items["score"], items["psnr"], items["reference"], how)
    every = [np.arange(scores.shape[1])]
    (curve,) = correlation_curves(
        endpoint.metric, scores, items["score"], every, items["reference"], how
    )
    return curve


def pair_distances(
    source: Source, group: pd.DataFrame, distance: str, *, psnr: bool = False
) -> tuple[npt.NDArray[np.float64], dict[str, npt.NDArray[Any]]]:
    """Distances `[T, P]`, turned so that a good picture has a high one, and the pairs' columns."""
    higher = source.protocols[group["protocol_id"].iloc[0]].get("higher_is_better", True)
    columns = ["score", "reference", "type", *(["psnr"] if psnr else [])]
    first = source.items(group.iloc[0], columns)
    scores = np.stack([source.items(row, [distance])[distance] for _, row in group.iterrows()])
    return scores * (-1.0 if higher else 1.0), first


def _shape_bias(
    source: Source, endpoint: Endpoint, group: pd.DataFrame, how: Resampling
) -> PairedCurve:
    first = source.items(group.iloc[0], ["conflict", "shape_exemplar", "texture_exemplar"])
    conflict = first["conflict"].astype(bool)
    found = [source.items(row, ["is_shape", "is_texture"]) for _, row in group.iterrows()]
    curves = shape_bias_curves(
        np.stack([items["is_shape"].astype(bool)[conflict] for items in found]),
        np.stack([items["is_texture"].astype(bool)[conflict] for items in found]),
        first["shape_exemplar"][conflict].astype(str),
        first["texture_exemplar"][conflict].astype(str),
        how,
    )
    return curves[endpoint.metric]


def _robustness(
    source: Source, endpoint: Endpoint, group: pd.DataFrame, how: Resampling
) -> PairedCurve:
    right = _right(source, group)
    if endpoint.metric == "acc1":
        return accuracy_curve(right, how)
    protocol = group["protocol_id"].iloc[0]
    clean = _right(source, group.assign(protocol_id=source.clean_of[protocol]))
    return drop_curve(clean, right, 1 / source.protocols[protocol]["classes"], how)


def _right(source: Source, group: pd.DataFrame) -> npt.NDArray[np.bool_]:
    found = [source.items(row, ["label", "decision"]) for _, row in group.iterrows()]
    return np.stack([items["label"] == items["decision"] for items in found])


RESAMPLERS: dict[str, Callable[[Source, Endpoint, pd.DataFrame, Resampling], PairedCurve]] = {
    "iqa": _image_quality,
    "shape-bias": _shape_bias,
    "robustness": _robustness,
}
"""How each task's items become a paired curve."""


def usable_names(curves: Sequence[Measured]) -> set[str]:
    """Checkpoints that every one of these curves can use."""
    sets = [
        {name for name, usable in zip(m.curve.checkpoints, m.curve.usable, strict=True) if usable}
        for m in curves
    ]
    return set.intersection(*sets) if sets else set()
