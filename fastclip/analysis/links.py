"""Do the primary curves of a run move together, and with clean accuracy?"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import combinations

import numpy as np
import numpy.typing as npt

from fastclip.analysis.base import Curve, Link
from fastclip.analysis.sentences import run_label
from fastclip.statistics.curves.links import (
    CHECKPOINTS,
    RUN_CHECKPOINTS,
    RUNS,
    Moves,
    increments_link,
    lagged,
    level_correlation,
    link_over_runs,
)

Float64Array = npt.NDArray[np.float64]
Key = tuple[str, str, str]
Series = tuple[Float64Array, Float64Array, Float64Array]
"""Samples seen and two curves at the checkpoints that both can use."""

CLEAN = "robustness/acc1/clean"

REASONS = {
    "too_few_checkpoints": f"not tested: fewer than {CHECKPOINTS} usable checkpoints",
    "constant": "not tested: a curve does not move",
    "too_few_runs": f"not tested: fewer than {RUNS} runs of {RUN_CHECKPOINTS} checkpoints",
}
NONE = "not tested: no checkpoint that both can use"
NO_PLACE = "not tested: no samples seen, steps or epochs"


def links_of(curves: Sequence[Curve]) -> list[Link]:
    """A link for every two curves of a run, and one over runs where there are several."""
    wanted = [curve for curve in curves if curve.endpoint.primary or curve.endpoint.key == CLEAN]
    by_run: dict[Key, list[Curve]] = {}
    for curve in wanted:
        by_run.setdefault(curve.group, []).append(curve)
    labels = {key: run_label(key, list(by_run)) for key in by_run}
    links = [
        replace(link_of(a, b), run=labels[key])
        for key, mine in by_run.items()
        for a, b in combinations(mine, 2)
    ]
    return [*links, *_over_runs(list(by_run.values()))]


def link_of(a: Curve, b: Curve) -> Link:
    """How two curves of one run move together."""
    samples, first, second = common(a, b)
    level = level_correlation([first, second])[0, 1] if len(first) else np.nan
    link = Link(name(a), name(b), a.run, len(first), _known(level), None, None, "", NO_PLACE)
    if not len(first):
        return replace(link, reason=NONE)
    if samples is None:
        return link
    moves = increments_link(samples, first, second)
    lags = lagged(samples, first, second)
    link = _tested(link, moves)
    if lags.largest is None:
        return link
    return replace(link, lag=lags.largest, lag_r=lags.r[lags.lags.index(lags.largest)])


def common(a: Curve, b: Curve) -> tuple[Float64Array | None, Float64Array, Float64Array]:
    """Place in training and both values at the checkpoints that both curves can use.

    Place is samples seen, else step, else epoch; None where none is known. Of checkpoints at one
    place the first is taken.
    """
    rows = {
        checkpoint: row
        for row, (checkpoint, usable) in enumerate(zip(b.checkpoints, b.usable, strict=True))
        if usable
    }
    pairs = [
        (row, rows[checkpoint])
        for row, (checkpoint, usable) in enumerate(zip(a.checkpoints, a.usable, strict=True))
        if usable and checkpoint in rows
    ]
    values = np.array([(a.value[i], b.value[j]) for i, j in pairs], np.float64).reshape(-1, 2)
    for axis in (a.samples_seen, a.step, a.epoch):
        place = np.array([axis[row] for row, _ in pairs], np.float64)
        if len(place) and np.isfinite(place).all():
            _, first = np.unique(place, return_index=True)
            return place[first], values[first, 0], values[first, 1]
    return None, values[:, 0], values[:, 1]


def name(curve: Curve) -> str:
    """What a link calls a curve."""
    return f"{curve.endpoint.title} on {curve.dataset}"


def _tested(link: Link, moves: Moves) -> Link:
    return replace(
        link,
        increments=moves.spearman,
        r=moves.r,
        low=moves.low,
        high=moves.high,
        p=moves.p,
        method=moves.method,
        reason=REASONS.get(moves.reason, moves.reason),
    )


def _over_runs(runs: Sequence[Sequence[Curve]]) -> Iterator[Link]:
    """Links over the runs of one architecture."""
    found: dict[tuple[str, str, str, str], list[Series]] = {}
    for mine in runs:
        for a, b in combinations(mine, 2):
            samples, first, second = common(a, b)
            if samples is not None:
                key = (a.arch, a.weights, name(a), name(b))
                found.setdefault(key, []).append((samples, first, second))
    for (arch, weights, first_name, second_name), series in found.items():
        if len(series) > 1:
            link = Link(
                first_name, second_name, _runs(len(series), arch, weights),
                sum(len(values) for _, values, _ in series), None, None, None, "", "",
            )  # fmt: skip
            yield _tested(link, link_over_runs(series))


def _runs(count: int, arch: str, weights: str) -> str:
    return f"{count} runs of {arch}" + ", averaged weights" * (weights == "ema")


def _known(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None
