"""The lines of a report: curves of the analysis, or of the table where it has none."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from fastclip.analysis.base import Curve, Numbers, numbers_of
from fastclip.parity.base import SCREENING_FLAG
from fastclip.results.table import AXES, FLAG_SEPARATOR

if TYPE_CHECKING:
    import pandas as pd

Group = tuple[str, str, str]
"""(run, arch, weights): what has a colour of its own."""


@dataclass(frozen=True)
class Places:
    """Where in training the points of a line are; one entry per checkpoint, None where unknown."""

    checkpoints: tuple[str, ...]
    samples_seen: Numbers
    step: Numbers
    epoch: Numbers


@dataclass(frozen=True)
class Line:
    """One quantity of one run on one data set over training; lists have one entry per point.

    Attributes:
        label: what tells it from the other lines of its panel.
        low, high: 95 % of each point; band_low, band_high: 95 % of all points together.
        usable: False where the point says nothing, for the reason in `why`.
        best: the 95 % confidence set for the highest point; highest: the highest estimate.
        verdict: `Peak.kind`, "" where nothing was tested.
        faint: beside the point; drawn thin and without intervals.
        style: 0 solid, 1 dashed, 2 dotted.
    """

    group: Group
    dataset: str
    label: str
    places: Places
    value: Numbers
    low: Numbers
    high: Numbers
    band_low: Numbers
    band_high: Numbers
    usable: tuple[bool, ...]
    why: tuple[str, ...]
    best: tuple[int, ...] = ()
    highest: int | None = None
    verdict: str = ""
    n: int = 0
    faint: bool = False
    style: int = 0

    def inverted(self) -> Line:
        """One minus it: a texture bias from a shape bias. `best` stays the set of the original."""
        return replace(
            self,
            value=_inverted(self.value),
            low=_inverted(self.high),
            high=_inverted(self.low),
            band_low=_inverted(self.band_high),
            band_high=_inverted(self.band_low),
        )


def _inverted(values: Numbers) -> Numbers:
    return tuple(None if v is None else 1 - v for v in values)


def line_of(curve: Curve, label: str = "", **options: Any) -> Line:
    """A curve of the analysis as a line."""
    return Line(
        curve.group,
        curve.dataset,
        label,
        Places(curve.checkpoints, curve.samples_seen, curve.step, curve.epoch),
        curve.value,
        curve.ci_low,
        curve.ci_high,
        curve.band_low,
        curve.band_high,
        curve.usable,
        curve.why,
        curve.verdict.best,
        curve.verdict.highest,
        curve.verdict.kind,
        curve.n,
        **options,
    )


FACTORS = ("dataset", "distortion", "level", "noise_seed", "distance", "protocol_id")


def lines_of(rows: pd.DataFrame, label: str = "", **options: Any) -> Iterator[Line]:
    """Lines of rows that hold one metric: one per run, data set, distortion and protocol."""
    keys = ["run", "arch", "weights", *FACTORS]
    for key, group in rows.groupby(keys, dropna=False, sort=False):
        value = numbers_of(group["value"])
        if all(v is None for v in value):
            continue
        flags = [str(flag).split(FLAG_SEPARATOR) for flag in group["flag"].fillna("")]
        nothing: Numbers = (None,) * len(value)
        yield Line(
            (str(key[0]), str(key[1]), str(key[2])),
            str(key[3]),
            label,
            places_of(group),
            value,
            numbers_of(group["ci_low"]),
            numbers_of(group["ci_high"]),
            nothing,
            nothing,
            tuple("at_chance" not in of_point for of_point in flags),
            tuple(", ".join(f for f in of_point if f != SCREENING_FLAG) for of_point in flags),
            n=int(group["n"].fillna(0).max()),
            **options,
        )


def places_of(rows: pd.DataFrame) -> Places:
    """Where in training the checkpoints of these rows are, in their order."""
    axes = {axis: numbers_of(rows[axis]) for axis in AXES}
    return Places(tuple(map(str, rows["checkpoint"])), **axes)


def known_axes(lines: Sequence[Line]) -> list[str]:
    """The axes on which some point has a place; those that place all points come first.

    "order" (of training, by name where nothing else is known) where there is no other.
    """
    places = list(dict.fromkeys(line.places for line in lines))
    known = {axis: [v for p in places for v in getattr(p, axis)] for axis in AXES}
    found = [axis for axis in AXES if any(v is not None for v in known[axis])]
    return sorted(found, key=lambda axis: None in known[axis]) or ["order"]
