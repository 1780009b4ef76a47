"""What an interval is, whatever made it."""

from __future__ import annotations

from dataclasses import dataclass

LEVEL = 0.95
"""Coverage of every interval in the table."""


@dataclass(frozen=True)
class Interval:
    """A two-sided interval of coverage `LEVEL`, or None and None where there is none.

    Attributes:
        low, high: in units of the value.
        method: what the `ci_method` column holds ("jackknife-t", "bootstrap", "bca",
            "two-way-bootstrap", "wilson", "fieller", "paired-t", "t"); "" without an interval.
        units: independent units behind it (reference pictures, exemplars, pictures).
    """

    low: float | None
    high: float | None
    method: str
    units: int


def no_interval(units: int) -> Interval:
    """Where an interval is undefined: fewer than two units, an unbounded ratio."""
    return Interval(None, None, "", units)
