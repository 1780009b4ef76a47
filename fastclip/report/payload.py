"""The numbers of a report as compact JSON: what the page's scripts draw."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, is_dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fastclip import __version__
from fastclip.analysis.base import Analysis, Curve, RunsMean
from fastclip.report import sections
from fastclip.report.commands import commands_of, protocol_of
from fastclip.report.lines import Group, Line, Places, known_axes
from fastclip.report.panels import (
    TITLES,
    Panel,
    diagnostics_panels,
    explored,
    group_name,
    groups_of,
    training_panels,
)
from fastclip.report.pictures import flips, misjudged
from fastclip.report.style import COLOURS, ORDER, X_LABELS
from fastclip.results.record import read_records

if TYPE_CHECKING:
    import pandas as pd

DIGITS = 5
"""Significant digits of numbers in the page: five draw the same pixels."""


class _Writer:
    """Puts runs and places in tables, so that lines name them by number."""

    def __init__(self, groups: Sequence[Group]) -> None:
        self.groups = {group: number for number, group in enumerate(groups)}
        self.places: dict[Places, int] = {}

    def __call__(self, value: Any) -> Any:
        """JSON values of whatever a section is made of."""
        if isinstance(value, Places):
            return self.places.setdefault(value, len(self.places))
        if isinstance(value, Panel | Line) or (is_dataclass(value) and not isinstance(value, type)):
            return {key: self(getattr(value, key)) for key in value.__dataclass_fields__}
        if isinstance(value, tuple) and value in self.groups:
            return self.groups[value]
        if isinstance(value, Mapping):
            return {str(key): self(item) for key, item in value.items()}
        if isinstance(value, list | tuple):
            return [self(item) for item in value]
        if isinstance(value, bool) or value is None or isinstance(value, int | str):
            return value
        return _short(float(value))


def _short(value: float) -> float | int | None:
    """The number in few characters; None for NaN."""
    if not math.isfinite(value):
        return None
    if value.is_integer():
        return int(value)
    return float(f"{value:.{DIGITS}g}")


def page_data(
    out: Path, rows: pd.DataFrame, analysis: Analysis, stamp: str | None = None
) -> dict[str, Any]:
    """Everything the page shows, as JSON values.

    Args:
        out: the output folder, for the protocol, per-picture items and timings.
        rows: its table; analysis: what was found in it.
        stamp: a sentence that must stay with the figures.
    """
    groups = groups_of(rows)
    write = _Writer(groups)
    panels = training_panels(rows, analysis)
    primary = [curve for curve in analysis.curves if curve.endpoint.primary]
    means = [mean for mean in analysis.means if mean.axis == "samples_seen"]
    # What was measured and is at chance throughout has a sentence, and no panel.
    of_task = {"iqa": "iqa", "shape-bias": "texture", "robustness": "drop"}
    measured = {panel.key for panel in panels} | {of_task[c.endpoint.task] for c in primary}
    shown = set(rows["protocol_id"])
    records = [record for record in read_records(out) if record.protocol_id in shown]
    body = {
        "panels": panels,
        "heat": list(sections.heat_maps(rows, analysis)),
        "categories": list(sections.categories(rows, analysis)),
        "trajectories": list(sections.accuracy_trajectories(rows)),
        "tradeoffs": list(sections.trade_offs(analysis)),
        "means": analysis.means,
        "diagnostics": diagnostics_panels(rows),
        "links": analysis.links,
        "explored": explored(analysis),
        "flips": list(flips(out, rows, analysis)),
        "misjudged": list(misjudged(out, rows, analysis)),
        "timings": sections.timings(records),
    }
    written = write(body)
    axes = known_axes([line for panel in panels for line in panel.lines])
    return {
        "version": __version__,
        "stamp": stamp,
        "title": _title(rows, groups),
        "groups": [
            {"name": group_name(g, groups), "colour": COLOURS[i % len(COLOURS)]}
            for i, g in enumerate(groups)
        ],
        "axes": [{"key": axis, "name": {**X_LABELS, **ORDER}[axis]} for axis in axes],
        "sentences": [
            *({"lead": _lead_of_mean(m, analysis), "text": m.sentence} for m in means),
            *({"lead": _lead(c, groups), "text": c.sentence} for c in primary),
        ],
        "checks": [[name, text] for name, text in analysis.checks.items()],
        "endpoints": {c.endpoint.key: c.endpoint.title for c in analysis.curves},
        "missing": [title for key, title in TITLES.items() if key not in measured],
        "comparisons": analysis.comparisons,
        "notes": list(analysis.notes),
        "settings": write(analysis.settings),
        "commands": commands_of(out, analysis.settings),
        "protocol": protocol_of(out, rows, records),
        **written,
        "places": [{k: write(v) for k, v in asdict(p).items()} for p in write.places],
    }


KINDS = {
    "peak": "rises, then falls",
    "rise": "rises",
    "fall": "falls",
    "undecided": "no distinguishable trend or peak",
    "too_few": "too few checkpoints to say",
}
"""`Peak.kind` in words."""


def _lead_of_mean(mean: RunsMean, analysis: Analysis) -> str:
    titles = {c.endpoint.key: c.endpoint.title.split(" (")[0] for c in analysis.curves}
    return f"{titles[mean.endpoint]}, {len(mean.runs)} runs."


def _lead(curve: Curve, groups: Sequence[Group]) -> str:
    """The sentence of a curve in a few words."""
    run = f"{group_name(curve.group, groups)}, " if len(groups) > 1 else ""
    said = KINDS[curve.verdict.kind] if any(curve.usable) else "cannot be judged"
    return f"{run}{curve.endpoint.title.split(' (')[0]}: {said}."


def _title(rows: pd.DataFrame, groups: Sequence[Group]) -> str:
    """What was measured, in a line."""
    runs = list(dict.fromkeys(run for run, _, _ in groups))
    archs = list(dict.fromkeys(arch for _, arch, _ in groups))
    count = len(rows[["run", "checkpoint", "weights"]].drop_duplicates())
    named = ", ".join(runs) if len(runs) <= 3 else f"{len(runs)} runs"
    return f"{named}: {', '.join(archs)}, {count} checkpoint{'s' * (count != 1)}"


def as_script(data: Mapping[str, Any]) -> str:
    """JSON that can stand in a `<script>` element."""
    text = json.dumps(data, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    return text.replace("<", "\\u003c").replace("\u2028", "\\u2028").replace("\u2029", "\\u2029")
