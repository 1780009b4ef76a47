"""What an analysis says: curves with bands, verdicts on them, links between them, sentences."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from fastclip.statistics.curves.peak import Peak

if TYPE_CHECKING:
    import pandas as pd

Numbers = tuple[float | None, ...]


def numbers_of(column: pd.Series[Any]) -> Numbers:
    """A column of the table as floats, None where NA."""
    return tuple(None if v != v else v for v in column.astype("float64").tolist())


@dataclass(frozen=True)
class Endpoint:
    """One quantity of one task, singled out by columns of the table.

    Attributes:
        key: "iqa", "shape-bias", "robustness" for the primary ones; unique.
        task, metric: as in the table.
        factors: column -> value; None is NA ("category": None, the row over all categories).
        title: what people call it ("Image-quality alignment").
        unit: what one unit is ("reference picture", "exemplar", "picture").
    """

    key: str
    task: str
    metric: str
    factors: Mapping[str, str | float | None]
    title: str
    unit: str
    primary: bool = False


@dataclass(frozen=True)
class Curve:
    """One endpoint of one run on one data set, over training; lists have one entry per point.

    Attributes:
        checkpoints: names, in order of training.
        samples_seen, step, epoch: the axes; None where not known.
        value: None where NA.
        ci_low, ci_high: pointwise 95 %, as in the table.
        band_low, band_high: simultaneous over the curve's usable points; None elsewhere.
        usable: False where the point is left out of every statement; `why` says why ("at_chance",
            "clean_at_chance", "no_place", "no_spread", "NA").
        scope: what the sentence is about ("this run, over 25 reference pictures").
        verdict: its indices are those of the points.
    """

    endpoint: Endpoint
    run: str
    arch: str
    weights: str
    dataset: str
    protocol_id: str
    checkpoints: tuple[str, ...]
    samples_seen: Numbers
    step: Numbers
    epoch: Numbers
    value: Numbers
    ci_low: Numbers
    ci_high: Numbers
    band_low: Numbers
    band_high: Numbers
    usable: tuple[bool, ...]
    why: tuple[str, ...]
    n: int
    n_units: int
    scope: str
    verdict: Peak
    sentence: str

    @property
    def group(self) -> tuple[str, str, str]:
        """(run, arch, weights): what tells its run from others."""
        return self.run, self.arch, self.weights


@dataclass(frozen=True)
class Link:
    """How two curves of one run move together.

    Attributes:
        level: Spearman over checkpoints: descriptive, never tested.
        increments: Spearman of increments per doubling of samples seen: descriptive too, because
            both curves move most early in training.
        r: correlation of the increments' local ranks, which `p` is about
            (`fastclip.statistics.curves.links`); None where `reason`. Over runs `low` and `high`
            bound its mean at 95 %.
        method: "circular-shift" within a run, "runs-t" over runs.
        lag, lag_r: exploratory: the shift in checkpoints with the largest correlation; positive
            where the second curve follows. None below 20 usable checkpoints.
    """

    first: str
    second: str
    run: str
    checkpoints: int
    level: float | None
    increments: float | None
    p: float | None
    method: str
    reason: str
    r: float | None = None
    low: float | None = None
    high: float | None = None
    lag: int | None = None
    lag_r: float | None = None


@dataclass(frozen=True)
class Context:
    """A line to compare with: "PSNR on the same pictures", "humans", "guessing", an anchor.

    `endpoint` is an `Endpoint.key`; `low` and `high` where it is a range; `source` says where it
    comes from.
    """

    endpoint: str
    label: str
    value: float
    low: float | None = None
    high: float | None = None
    source: str = ""
    dataset: str = ""


@dataclass(frozen=True)
class TypeFinding:
    """One distortion type of an image-quality set: exploratory, Benjamini-Hochberg over types.

    `group` is (run, arch, weights).
    """

    group: tuple[str, str, str]
    dataset: str
    type: str
    kind: str
    p: float
    q: float


@dataclass(frozen=True)
class RunsMean:
    """Several runs of one architecture: the mean over runs, with a t-interval from 3 runs on.

    `axis` is "samples_seen" or "acc1" (matched clean accuracy); lists are over `x`.
    """

    endpoint: str
    dataset: str
    axis: str
    runs: tuple[str, ...]
    x: tuple[float, ...]
    mean: Numbers
    low: Numbers
    high: Numbers
    sentence: str


@dataclass(frozen=True)
class Analysis:
    """Everything `fastclip analyze OUT` found; `OUT/analysis.json`.

    Attributes:
        curves: the primary ones first, then exploratory ones.
        sentences: what to read first: means over runs, then one for each primary curve.
        checks: the check strip: name -> text ("data" -> "complete", "failures" -> "none", ...);
            text that begins with "!" is a warning.
        comparisons: number of tests and intervals behind the exploratory statements.
        notes: what was left out and why.
        settings: level, resamples and their definition, seed, what was chosen among records,
            primary endpoints.
    """

    curves: tuple[Curve, ...]
    links: tuple[Link, ...]
    context: tuple[Context, ...]
    types: tuple[TypeFinding, ...]
    means: tuple[RunsMean, ...]
    sentences: tuple[str, ...]
    checks: Mapping[str, str]
    comparisons: int
    notes: tuple[str, ...]
    settings: Mapping[str, Any] = field(default_factory=dict)
