"""What lies below the first screen: heat map, categories, trajectories, links, timings."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from fastclip.analysis.base import Analysis, Context
from fastclip.report.lines import Line, Places, line_of, lines_of, places_of
from fastclip.report.panels import primary_curves
from fastclip.report.style import condition_name
from fastclip.results.record import Record

if TYPE_CHECKING:
    import pandas as pd

MARKS = 9
"""Most checkpoints marked in a row of the categories: more cannot be told apart."""


def heat_maps(rows: pd.DataFrame, analysis: Analysis) -> Iterator[dict[str, Any]]:
    """SRCC (of the primary distance) by distortion type and checkpoint, per run and data set.

    `verdicts` has what was found for a type: its kind, and q (Benjamini-Hochberg over types).
    """
    primary = primary_curves(analysis, "iqa")
    distance = primary[0].endpoint.factors.get("distance") if primary else "cosine"
    chosen = rows[
        (rows["task"] == "iqa")
        & (rows["metric"] == "srcc")
        & (rows["distance"] == distance)
        & rows["distortion"].notna()
    ]
    keys = ["run", "arch", "weights", "dataset", "protocol_id"]
    for (run, arch, weights, dataset, _), group in chosen.groupby(keys, sort=False):
        values = group.pivot_table(
            index="distortion", columns="checkpoint", values="value", sort=False, dropna=False
        )
        first = group.drop_duplicates("checkpoint")
        mine = ((run, arch, weights), dataset)
        found = {t.type: t for t in analysis.types if (t.group, t.dataset) == mine}
        yield {
            "group": (run, arch, weights),
            "dataset": dataset,
            "types": [str(kind) for kind in values.index],
            "places": places_of(first),
            "values": values[first["checkpoint"]].to_numpy().tolist(),
            "verdicts": {k: {"kind": t.kind, "q": t.q} for k, t in found.items()},
        }


def categories(rows: pd.DataFrame, analysis: Analysis) -> Iterator[dict[str, Any]]:
    """Shape bias by category, per run and data set, at `MARKS` checkpoints at most,
    those above chance where there are two.

    As in model-vs-human: a row per category, the share of shape decisions from 0 to 1. `usable`
    is False for checkpoints and categories at chance; `whole` is over all categories; `human`
    the range of human observers over all categories, where the stimuli are theirs.
    """
    task = rows[(rows["task"] == "shape-bias") & (rows["metric"] == "shape_bias")]
    keys = ["run", "arch", "weights", "dataset", "protocol_id"]
    for (run, arch, weights, dataset, _), group in task.groupby(keys, sort=False):
        by_category = group[group["category"].notna()]
        if by_category.empty:
            continue
        whole = group[group["category"].isna()]
        sure = whole[~whole["flag"].fillna("").str.startswith("at_chance")]
        checkpoints = list(dict.fromkeys((sure if len(sure) > 1 else whole)["checkpoint"]))
        shown = [checkpoints[i] for i in _spread(len(checkpoints), MARKS)]
        values, flags = (
            by_category.pivot_table(
                index="category", columns="checkpoint", values=column, aggfunc="first",
                sort=False, dropna=False,
            ).reindex(columns=shown)
            for column in ("value", "flag")
        )  # fmt: skip
        means = whole.set_index("checkpoint")["value"].reindex(shown)
        yield {
            "group": (run, arch, weights),
            "dataset": dataset,
            "categories": [str(name) for name in values.index],
            "places": places_of(whole.set_index("checkpoint", drop=False).loc[shown]),
            "values": values.to_numpy(dtype=float).tolist(),
            "usable": [
                [not str(flag).startswith("at_chance") for flag in line]
                for line in flags.fillna("").to_numpy().tolist()
            ],
            "whole": means.astype("float64").tolist(),
            "human": human_range(analysis, str(dataset)),
        }


def human_range(analysis: Analysis, dataset: str) -> Context | None:
    """The range of human shape bias on these stimuli, where it is known."""
    keys = {curve.endpoint.key for curve in primary_curves(analysis, "shape-bias")}
    ranges = [c for c in analysis.context if c.endpoint in keys and c.low is not None]
    return next((c for c in ranges if c.dataset in ("", dataset)), None)


def _spread(count: int, most: int) -> list[int]:
    """At most `most` indices spread evenly over `range(count)`, both ends included."""
    if count <= most:
        return list(range(count))
    return [round(i * (count - 1) / (most - 1)) for i in range(most)]


def accuracy_trajectories(rows: pd.DataFrame) -> Iterator[dict[str, Any]]:
    """Noisy against clean accuracy, per run, data set and distortion."""
    accuracy = rows[(rows["task"] == "robustness") & (rows["metric"] == "acc1")]
    clean = list(lines_of(accuracy[accuracy["distortion"] == "none"]))
    distorted = accuracy[accuracy["distortion"] != "none"]
    conditions = distorted.groupby(["distortion", "level"], dropna=False, sort=False)
    for (distortion, level), condition in conditions:
        for y in lines_of(condition):
            for x in clean:
                if (x.group, x.dataset) == (y.group, y.dataset):
                    path = _against(x, y)
                    if path["x"]:
                        yield {"label": condition_name(distortion, level), **path}


def trade_offs(analysis: Analysis) -> Iterator[dict[str, Any]]:
    """Alignment against shape bias and against the drop, per run."""
    alignment = primary_curves(analysis, "iqa")
    for task in ("shape-bias", "robustness"):
        for x in primary_curves(analysis, task):
            for y in alignment:
                same_run = x.group == y.group
                path = _against(line_of(x), line_of(y))
                if same_run and path["x"]:
                    yield {
                        "x_title": f"{x.endpoint.title}, {x.dataset}",
                        "y_title": f"{y.endpoint.title}, {y.dataset}",
                        **path,
                    }


def _against(x: Line, y: Line) -> dict[str, Any]:
    """Two lines at the checkpoints that both have."""
    at = {name: i for i, name in enumerate(x.places.checkpoints)}
    both = [
        (at[name], j)
        for j, name in enumerate(y.places.checkpoints)
        if name in at and x.value[at[name]] is not None and y.value[j] is not None
    ]
    p = y.places
    return {
        "group": y.group,
        "dataset": y.dataset,
        "x": [x.value[i] for i, _ in both],
        "y": [y.value[j] for _, j in both],
        "usable": [x.usable[i] and y.usable[j] for i, j in both],
        "places": Places(
            tuple(p.checkpoints[j] for _, j in both),
            *(tuple(axis[j] for _, j in both) for axis in (p.samples_seen, p.step, p.epoch)),
        ),
    }


def timings(records: Sequence[Record]) -> list[dict[str, Any]]:
    """Seconds per stage of these records: over all checkpoints, and the median one's.

    A visit's stages stand in each of its records; a record's own seconds are encoding and
    scoring of its task.
    """
    import numpy as np

    visits: dict[tuple[Any, ...], dict[str, float]] = {}
    tasks: dict[str, list[float]] = {}
    for record in records:
        # A record has what the visit had taken when it was written: the last one has all of it.
        began = (record.checkpoint_id, record.timings.get("read"), record.timings.get("swap"))
        visit = visits.setdefault(began, {})
        for stage, seconds in record.timings.items():
            visit[stage] = max(seconds, visit.get(stage, 0.0))
        tasks.setdefault(f"{record.task}, {record.dataset}", []).append(record.seconds)
    stages: dict[str, list[float]] = {}
    for visit in visits.values():
        for stage, seconds in visit.items():
            stages.setdefault(stage, []).append(seconds)
    return [
        {"kind": kind, "name": name, "n": len(s), "sum": sum(s), "median": float(np.median(s))}
        for kind, found in (("stage", stages), ("task", tasks))
        for name, s in found.items()
    ]
