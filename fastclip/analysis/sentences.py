"""Findings in words: each with its number, interval, units and scope."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import isfinite
from typing import Any

from fastclip.analysis.base import Curve, Numbers, RunsMean
from fastclip.statistics.curves.peak import CHECKPOINTS, Contrast, Peak

UNITS = ((1e12, "T"), (1e9, "B"), (1e6, "M"), (1e3, "k"))

WHY = {
    "at_chance": "cue accuracy at chance",
    "clean_at_chance": "clean accuracy at chance",
    "no_place": "no place in training",
    "no_spread": "no standard error",
    "NA": "no value",
}
"""Why points are left out, in words."""

RANGES = 3
"""Stretches of a confidence set that a sentence names one by one."""


def run_label(key: tuple[str, str, str], keys: Sequence[tuple[str, str, str]]) -> str:
    """What a run is called beside others: its name, and its architecture and weights if need be."""
    run, arch, weights = key
    more = [arch] if len({other[1] for other in keys}) > 1 else []
    more += ["averaged weights"] if weights == "ema" else []
    return f"{run} ({', '.join(more)})" if more else run


def scope(label: str, units: str) -> str:
    """`this run, over 25 reference pictures`: never more than was looked at."""
    return f"{f'run {label}' if label else 'this run'}, over {units}"


def sentence(curve: Curve) -> str:
    """What the curve shows, and where nothing can be told from chance, that."""
    subject = f"{curve.endpoint.title} on {curve.dataset}"
    tail = f" ({curve.scope}{left_out(curve)})."
    verdict = curve.verdict
    if verdict.highest is None:
        return f"{subject} cannot be judged: no usable checkpoint{tail}"
    words = {
        "too_few": _too_few,
        "peak": _peak,
        "rise": _trend,
        "fall": _trend,
        "undecided": _undecided,
    }[verdict.kind]
    return f"{subject} {words(curve, verdict)}{tail}"


def short(curve: Curve) -> str:
    """Kind, change from first to last, highest: each with interval, and the scope."""
    verdict, title = curve.verdict, f"{curve.endpoint.title} on {curve.dataset}"
    if verdict.highest is None:
        return f"{title}: no usable checkpoint ({curve.scope})"
    highest = f"highest {_value(curve, verdict.highest)} at {place(curve, verdict.highest)}"
    change = "" if verdict.change is None else f"{_signed(verdict.change)} from first to last, "
    kind = verdict.kind.replace("_", " ")
    return f"{kind}: {title}, {change}{highest} ({curve.scope}{left_out(curve)})"


def mean_sentence(mean: RunsMean, curve: Curve) -> str:
    """What several runs of one architecture have in common; `curve` is that of one of them."""
    known = [value for value in mean.mean if value is not None]
    highest = mean.mean.index(max(known))
    form = compact if mean.axis == "samples_seen" else "{:.3f}".format
    unit = "samples seen" if mean.axis == "samples_seen" else "clean accuracy"
    first, last, top = (
        f"{number(mean.mean[i], mean.low[i], mean.high[i])} at {form(mean.x[i])} {unit}"
        for i in (0, len(mean.x) - 1, highest)
    )
    count = len(mean.runs)
    tested = "t-intervals over runs" if count > 2 else "too few runs for an interval"
    return (
        f"{curve.endpoint.title} on {curve.dataset} is on average {first} and {last}, highest "
        f"{top} (mean of {count} runs of {curve.arch}: {', '.join(mean.runs)}; {tested})."
    )


def left_out(curve: Curve) -> str:
    """`; 3 of 24 checkpoints left out: at chance`, or nothing."""
    count = curve.usable.count(False)
    if not count:
        return ""
    reasons = sorted({WHY.get(why, why) for why in curve.why if why})
    return f"; {count} of {len(curve.usable)} checkpoints left out: {', '.join(reasons)}"


def _too_few(curve: Curve, verdict: Peak) -> str:
    shown = [row for row, usable in enumerate(curve.usable) if usable]
    ends = list(dict.fromkeys((shown[0], shown[-1])))
    values = "; ".join(f"{_value(curve, row)} at {place(curve, row)}" for row in ends)
    what = "checkpoints" if len(shown) < CHECKPOINTS else "units"
    return f"is {values}: too few {what} to speak of a peak or a trend"


def _peak(curve: Curve, verdict: Peak) -> str:
    assert verdict.highest is not None and verdict.rise and verdict.fall
    return (
        f"peaks at {_value(curve, verdict.highest)}, {place(curve, verdict.highest)}: "
        f"{_size(verdict.rise)} above the first checkpoint and {_size(verdict.fall)} above the "
        f"last{_set(curve, verdict)}"
    )


def _trend(curve: Curve, verdict: Peak) -> str:
    assert verdict.change
    first, last = verdict.change.earlier, verdict.change.later
    verb = "rises" if verdict.kind == "rise" else "falls"
    text = (
        f"{verb} from {_value(curve, first)} at {place(curve, first)} to {_value(curve, last)} at "
        f"{place(curve, last)}, by {_size(verdict.change)}"
    )
    return f"{text}; {_between(curve, verdict)}{_set(curve, verdict)}"


def _undecided(curve: Curve, verdict: Peak) -> str:
    assert verdict.change
    first, last = verdict.change.earlier, verdict.change.later
    return (
        f"is {_value(curve, first)} at {place(curve, first)} and {_value(curve, last)} at "
        f"{place(curve, last)}: not distinguishable ({_signed(verdict.change)}); "
        f"{_between(curve, verdict)}{_set(curve, verdict)}"
    )


def _set(curve: Curve, verdict: Peak) -> str:
    return f"; 95 % confidence set of the highest: {places(curve, verdict.best)}"


def _between(curve: Curve, verdict: Peak) -> str:
    """Of a curve without a peak: what can be said of its highest point."""
    assert verdict.highest is not None and verdict.rise and verdict.fall
    if verdict.highest in (verdict.rise.earlier, verdict.fall.later):
        where = "last" if verdict.highest == verdict.fall.later else "first"
        return f"highest at the {where}, so no peak"
    return (
        f"a peak at {place(curve, verdict.highest)} is not distinguishable from noise "
        f"(p {probability(max(verdict.rise.p, verdict.fall.p))})"
    )


def _value(curve: Curve, row: int) -> str:
    return number(curve.value[row], curve.ci_low[row], curve.ci_high[row])


def number(value: float | None, low: float | None, high: float | None) -> str:
    """`0.642 [0.581, 0.697]`."""
    interval = "" if low is None or high is None else f" [{low:.3f}, {high:.3f}]"
    return f"NA{interval}" if value is None else f"{value:.3f}{interval}"


def _size(difference: Contrast) -> str:
    """The size of a difference whose direction the words say."""
    bounds = sorted((abs(difference.low), abs(difference.high)))
    return f"{abs(difference.value):.3f} [{bounds[0]:.3f}, {bounds[1]:.3f}]"


def _signed(difference: Contrast) -> str:
    if not isfinite(difference.low):
        return f"difference {difference.value:+.3f}, too few units for an interval"
    return f"difference {difference.value:+.3f} [{difference.low:+.3f}, {difference.high:+.3f}]"


def probability(p: float) -> str:
    """`= .03`, `< .001`."""
    return "< .001" if p < 0.001 else f"= {p:.3f}"


def place(curve: Curve, row: int) -> str:
    """`step 400 (25.6k samples seen)`, or as much of it as is known."""
    step, epoch, samples = (axis[row] for axis in (curve.step, curve.epoch, curve.samples_seen))
    seen = None if samples is None else f"{compact(samples)} samples seen"
    for name, value in (("step", step), ("epoch", epoch)):
        if value is not None:
            return f"{name} {value:g}" + (f" ({seen})" if seen else "")
    return seen or curve.checkpoints[row]


def places(curve: Curve, rows: Sequence[int]) -> str:
    """Neighbours as ranges: `step 300 to 500 and 900 (12k to 20k and 36k samples seen)`."""
    groups = _ranges(rows)
    few = len(groups) <= RANGES
    if not few:
        groups = [(rows[0], rows[-1])]
    head = "" if few else f"{len(rows)} checkpoints from "
    for name, axis in (("step", curve.step), ("epoch", curve.epoch)):
        if all(axis[row] is not None for row in rows):
            text = f"{head}{name} {_words(axis, groups, '{:g}'.format)}"
            if all(curve.samples_seen[row] is not None for row in rows):
                text += f" ({_words(curve.samples_seen, groups, compact)} samples seen)"
            return text
    if all(curve.samples_seen[row] is not None for row in rows):
        return f"{head}{_words(curve.samples_seen, groups, compact)} samples seen"
    return ", ".join(curve.checkpoints[row] for row in rows)


def _words(axis: Numbers, groups: Sequence[tuple[int, int]], form: Callable[[Any], str]) -> str:
    spans = [
        form(axis[low]) if low == high else f"{form(axis[low])} to {form(axis[high])}"
        for low, high in groups
    ]
    return " and ".join(filter(None, (", ".join(spans[:-1]), spans[-1])))


def _ranges(rows: Sequence[int]) -> list[tuple[int, int]]:
    """Runs of consecutive indices, as (first, last)."""
    groups: list[tuple[int, int]] = []
    for row in rows:
        if groups and row == groups[-1][1] + 1:
            groups[-1] = (groups[-1][0], row)
        else:
            groups.append((row, row))
    return groups


def compact(value: float) -> str:
    """12800000 as 12.8M, with three digits."""
    for limit, unit in UNITS:
        if abs(value) >= limit:
            return f"{value / limit:.3g}{unit}"
    return f"{value:.3g}"
