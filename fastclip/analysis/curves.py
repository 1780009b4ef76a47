"""From rows and items to curves with bands and verdicts."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from fastclip.analysis.base import Curve, Endpoint, Numbers, numbers_of
from fastclip.analysis.endpoints import matching
from fastclip.analysis.paired import paired_curve
from fastclip.analysis.replicates import Resampling
from fastclip.analysis.sentences import run_label, scope, sentence
from fastclip.analysis.source import Source
from fastclip.results.protocols import condition_of
from fastclip.results.table import AXES, FLAG_SEPARATOR
from fastclip.statistics.curves.bands import simultaneous_band
from fastclip.statistics.curves.base import PairedCurve
from fastclip.statistics.curves.peak import UNJUDGED, judge
from fastclip.stimuli.sources import counted

if TYPE_CHECKING:
    import pandas as pd

RUN = ["run", "arch", "weights"]

FLAGS = {"drop_rel_chance": "clean_at_chance", "shape_bias": "at_chance"}
"""Metric -> the flag of points that no statement is made about: a ratio at chance is noise."""


@dataclass(frozen=True)
class Measured:
    """A curve, the rows of its usable points, and their paired resamples where there are any."""

    curve: Curve
    rows: pd.DataFrame
    paired: PairedCurve | None


def curves_of(source: Source, endpoint: Endpoint, how: Resampling) -> Iterator[Measured]:
    """The endpoint's curve of every run, data set and protocol.

    Raises:
        RefusalError: a record's items are not there.
    """
    rows = matching(source.rows, endpoint)
    labels = labels_of(source.rows)
    for (run, arch, weights, _), of_set in rows.groupby([*RUN, "dataset"], sort=False):
        label = labels[str(run), str(arch), str(weights)]
        for protocol, group in of_set.groupby("protocol_id", sort=False):
            alone = len(group) == len(of_set)
            named = endpoint if alone else _named(endpoint, source.protocols[str(protocol)])
            yield _measured(source, named, in_order(group), label, how)


def labels_of(rows: pd.DataFrame) -> dict[tuple[str, str, str], str]:
    """What each run is called: (run, arch, weights) -> words; "" where there is one run only."""
    found = rows[RUN].drop_duplicates().itertuples(index=False, name=None)
    keys = [(str(run), str(arch), str(weights)) for run, arch, weights in found]
    return {key: "" if len(keys) == 1 else run_label(key, keys) for key in keys}


def axis_of(group: pd.DataFrame) -> str:
    """The axis of training that most of these rows have, the preferred of equals."""
    known = {axis: int(group[axis].count()) for axis in AXES}
    return max(AXES, key=known.__getitem__)


def in_order(group: pd.DataFrame) -> pd.DataFrame:
    """Rows in order of training; those without a place in it last."""
    ordered = group.sort_values(axis_of(group), kind="stable", na_position="last")
    return ordered.reset_index(drop=True)


def _named(endpoint: Endpoint, protocol: Mapping[str, Any]) -> Endpoint:
    """The endpoint with the parameters that tell two protocols of one level apart."""
    words = condition_of(protocol)
    return replace(
        endpoint, key=f"{endpoint.key}/{words}", title=f"{endpoint.title} ({words})", primary=False
    )


def _measured(
    source: Source, endpoint: Endpoint, group: pd.DataFrame, label: str, how: Resampling
) -> Measured:
    why = list(_reasons(endpoint, group))
    rows = np.flatnonzero([not reason for reason in why])
    paired = paired_curve(source, endpoint, group.iloc[rows], how) if len(rows) else None
    if paired is not None:
        spread = has_spread(paired)
        for row in rows[~spread]:
            why[row] = "no_spread"
        rows, paired = rows[spread], paired.subset(np.flatnonzero(spread))
    low, high = _bands(paired, rows, len(group))
    first = group.iloc[0]
    curve = Curve(
        endpoint=endpoint,
        run=str(first["run"]),
        arch=str(first["arch"]),
        weights=str(first["weights"]),
        dataset=str(first["dataset"]),
        protocol_id=str(first["protocol_id"]),
        checkpoints=tuple(group["checkpoint"].astype(str)),
        samples_seen=numbers_of(group["samples_seen"]),
        step=numbers_of(group["step"]),
        epoch=numbers_of(group["epoch"]),
        value=numbers_of(group["value"]),
        ci_low=numbers_of(group["ci_low"]),
        ci_high=numbers_of(group["ci_high"]),
        band_low=low,
        band_high=high,
        usable=tuple(not reason for reason in why),
        why=tuple(why),
        n=int(first["n"]),
        n_units=paired.units if paired else int(first["n_units"]),
        scope=scope(label, _units(source, endpoint, first)),
        verdict=judge(paired).among(rows) if paired is not None and len(paired) else UNJUDGED,
        sentence="",
    )
    return Measured(replace(curve, sentence=sentence(curve)), group.iloc[rows], paired)


def has_spread(paired: PairedCurve) -> npt.NDArray[np.bool_]:
    """Points `[T]` whose standard error is known and not nil.

    Where every decision is alike, or a resample has no coefficient, the units say nothing of those
    that were not drawn.
    """
    variances = np.diag(paired.covariance)
    return np.isfinite(paired.estimates) & np.isfinite(variances) & (variances > 0)


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


def _reasons(endpoint: Endpoint, group: pd.DataFrame) -> Iterator[str]:
    """Why each point is left out of every statement; "" where it is not."""
    placed = group[axis_of(group)].notna()
    some = placed.any()  # where no checkpoint has a place, none is left out for it
    wanted = FLAGS.get(endpoint.metric)
    for value, flag, known in zip(group["value"], group["flag"], placed, strict=True):
        if some and not known:
            yield "no_place"
        elif isinstance(flag, str) and wanted in flag.split(FLAG_SEPARATOR):
            yield str(wanted)
        else:
            yield "NA" if value != value else ""


def _bands(
    paired: PairedCurve | None, rows: npt.NDArray[np.int64], count: int
) -> tuple[Numbers, Numbers]:
    """Simultaneous over the usable points `rows`; None elsewhere and where unbounded."""
    bands: list[list[float | None]] = [[None] * count, [None] * count]
    if paired is not None and len(paired) and paired.units > 1:
        for band, side in zip(bands, simultaneous_band(paired), strict=True):
            for row, value in zip(rows, side, strict=True):
                band[row] = float(value) if np.isfinite(value) else None
    return tuple(bands[0]), tuple(bands[1])
