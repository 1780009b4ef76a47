"""Whether a curve over training peaked, rose or fell."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from fastclip.statistics.curves.base import PairedCurve
from fastclip.statistics.curves.maximum import best_set
from fastclip.statistics.curves.maxt import (
    LEVEL,
    MaxT,
    deviations,
    spread,
    studentised,
    two_sided,
    variance,
)

Indices = npt.NDArray[np.int64]

CHECKPOINTS = 3
UNITS = 2
"""Fewest for any statement."""


@dataclass(frozen=True)
class Contrast:
    """A difference between two checkpoints, later minus earlier, in units of the quantity.

    `low` and `high` bound it at 95 % together with every other of its question; `p` is adjusted
    likewise. `p` is at most 0.05 exactly where the bounds exclude 0.
    """

    earlier: int
    later: int
    value: float
    low: float
    high: float
    p: float

    def among(self, rows: Indices) -> Contrast:
        """The same of a curve of which the judged one was the points `rows`."""
        earlier, later = int(rows[self.earlier]), int(rows[self.later])
        return replace(self, earlier=earlier, later=later)


@dataclass(frozen=True)
class Peak:
    """What a curve shows.

    Attributes:
        kind: "peak": it rises from the first to its highest and falls from there to the last,
            both beyond chance; else "rise" or "fall": the last is above, below the first; else
            "undecided"; "too_few": fewer than 3 checkpoints or 2 units.
        highest: index of the (first) highest estimate; None without checkpoints.
        best: indices of the confidence set of `best_set`.
        rise: highest minus first, among all "some checkpoint minus first".
        fall: last minus highest, among all "last minus some checkpoint".
        change: last minus first: one comparison, fixed in advance.
        p: of the peak: the larger of the rise's and the fall's; 1 where the highest is the first
            or the last.
    """

    kind: str
    highest: int | None
    best: tuple[int, ...]
    rise: Contrast | None
    fall: Contrast | None
    change: Contrast | None
    p: float

    def among(self, rows: Indices) -> Peak:
        """The same of a curve of which the judged one was the points `rows`."""
        return replace(
            self,
            highest=None if self.highest is None else int(rows[self.highest]),
            best=tuple(int(rows[index]) for index in self.best),
            rise=self.rise and self.rise.among(rows),
            fall=self.fall and self.fall.among(rows),
            change=self.change and self.change.among(rows),
        )


UNJUDGED = Peak("too_few", None, (), None, None, None, 1.0)
"""Of a curve without a usable point."""


def judge(curve: PairedCurve, level: float = LEVEL, *, with_set: bool = True) -> Peak:
    """Judges the curve's highest estimate against its first and its last.

    The highest estimate was picked because it is high. So its rise is tested as the largest of
    all T - 1 differences from the first, its fall as the largest of all T - 1 differences to the
    last, each two-sided by max-T (`maxt`). A peak needs both (an intersection-union test: at most
    1 - level where either is nil, and far less on a flat curve). Differences are of the quantity
    itself, with standard errors by the delta method, not of its scale of inference: so estimate,
    bounds and p speak of one thing. `with_set=False` leaves `best` empty, which takes most of the
    time.
    """
    highest = int(np.argmax(curve.estimates)) if len(curve) else None
    stay = best_set(curve, level) if with_set else np.zeros(0)
    best = tuple(int(index) for index in np.flatnonzero(stay))
    if highest is None or len(curve) < CHECKPOINTS or curve.units < UNITS:
        return Peak("too_few", highest, best, None, None, None, 1.0)
    differences = Differences(curve, level)
    last = len(curve) - 1
    every = np.arange(len(curve))
    rise = differences.one(0, highest, every[:1], every[1:])
    fall = differences.one(highest, last, every[:-1], every[-1:])
    change = differences.one(0, last)
    p = max(rise.p, fall.p) if 0 < highest < last else 1.0
    kind = "undecided"
    if p <= 1 - level:
        kind = "peak"
    elif change.p <= 1 - level:
        kind = "rise" if change.value > 0 else "fall"
    return Peak(kind, highest, best, rise, fall, change, p)


class Differences:
    """Differences between checkpoints of one curve, in units of the quantity."""

    def __init__(self, curve: PairedCurve, level: float = LEVEL) -> None:
        self._curve, self._level = curve.natural(), level
        self._moved = deviations(self._curve)
        self._between = spread(self._moved)

    def family(self, earlier: Indices, later: Indices) -> MaxT:
        """Of |later - earlier| over pairs; one of them may be a single checkpoint."""
        moved = self._moved[later] - self._moved[earlier]
        return two_sided(moved, variance(self._between, earlier, later), self._curve.units)

    def one(self, earlier: int, later: int, *family: Indices) -> Contrast:
        """A difference, bounded and tested as one of a family; alone without one."""
        if not family:
            family = (np.array([earlier]), np.array([later]))
        largest = self.family(*family)
        value = float(self._curve.estimates[later] - self._curve.estimates[earlier])
        squared = variance(self._curve.covariance, earlier, later)
        p = float(largest.p(np.abs(studentised(np.asarray(value), squared))))
        error = float(np.sqrt(squared))
        margin = largest.critical(self._level) * error if error > 0 else 0.0
        return Contrast(earlier, later, value, value - margin, value + margin, p)
