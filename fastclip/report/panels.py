"""The panels of a report: accuracy, alignment, texture bias and drop over training."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from fastclip.analysis.base import Analysis, Context, Curve
from fastclip.analysis.endpoints import matching
from fastclip.report.lines import Group, Line, line_of, lines_of
from fastclip.report.style import condition_name

if TYPE_CHECKING:
    import pandas as pd

DOT = " \N{MIDDLE DOT} "
MINUS = "\N{MINUS SIGN}"


@dataclass(frozen=True)
class Panel:
    """Lines on one y axis.

    Attributes:
        key: unique among the panels.
        low, high: what the axis shows at least; None leaves it to the lines.
        floor: the axis goes no lower: a drop near chance is unbounded.
    """

    key: str
    title: str
    subtitle: str
    lines: tuple[Line, ...]
    context: tuple[Context, ...] = ()
    low: float | None = None
    high: float | None = None
    floor: float | None = None


TITLES = {
    "accuracy": "Zero-shot accuracy",
    "iqa": "Image-quality alignment",
    "texture": "Texture bias",
    "drop": "Normalised drop",
}
"""The four panels of the first screen, in order."""


def training_panels(rows: pd.DataFrame, analysis: Analysis) -> list[Panel]:
    """The four panels of the first screen; those without a line are left out.

    Args:
        rows: the table of the sweep.
        analysis: what was found in it: bands, confidence sets, lines to compare with.
    """
    panels = (
        _accuracy(rows, analysis),
        _primary(analysis, "iqa", TITLES["iqa"], "SRCC with human scores"),
        _texture_bias(analysis),
        _drop(rows, analysis),
    )
    return [panel for panel in panels if panel.lines]


def groups_of(rows: pd.DataFrame) -> list[Group]:
    """(run, arch, weights) in the order of the rows."""
    keys = rows[["run", "arch", "weights"]].drop_duplicates().itertuples(index=False, name=None)
    return [(str(run), str(arch), str(weights)) for run, arch, weights in keys]


def of_curves(rows: pd.DataFrame, analysis: Analysis) -> pd.DataFrame:
    """The rows of the runs that the analysis has curves of: not those of anchors."""
    known = {curve.group for curve in analysis.curves}
    keys = zip(rows["run"], rows["arch"], rows["weights"], strict=True)
    return rows[[key in known for key in keys]] if known else rows


def group_name(group: Group, groups: Sequence[Group]) -> str:
    """The run, and of architecture and weights what is needed to tell it from the others."""
    run, arch, weights = group
    several = len({g[1] for g in groups}) > 1
    return run + f" ({arch})" * several + f" {weights}" * (weights != "raw")


def primary_curves(analysis: Analysis, task: str) -> list[Curve]:
    """The primary curves of a task that are defined somewhere."""
    return [
        curve
        for curve in analysis.curves
        if curve.endpoint.primary
        and curve.endpoint.task == task
        and any(v is not None for v in curve.value)
    ]


def _primary(analysis: Analysis, task: str, title: str, subtitle: str) -> Panel:
    curves = primary_curves(analysis, task)
    datasets = list(dict.fromkeys(curve.dataset for curve in curves))
    lines = tuple(
        line_of(curve, curve.dataset if len(datasets) > 1 else "", style=datasets.index(c) % 3)
        for curve in curves
        for c in [curve.dataset]
    )
    return Panel(
        task,
        title,
        DOT.join([subtitle, *datasets]),
        lines,
        _context(analysis, {curve.endpoint.key for curve in curves}, datasets),
    )


def _context(analysis: Analysis, keys: set[str], datasets: Sequence[str]) -> tuple[Context, ...]:
    return tuple(c for c in analysis.context if c.endpoint in keys and c.dataset in ("", *datasets))


def _texture_bias(analysis: Analysis) -> Panel:
    panel = _primary(
        analysis,
        "shape-bias",
        TITLES["texture"],
        f"1 {MINUS} shape bias, share of texture decisions",
    )
    context = tuple(
        replace(
            c,
            value=1 - c.value,
            low=None if c.high is None else 1 - c.high,
            high=None if c.low is None else 1 - c.low,
        )
        for c in panel.context
    )
    return replace(
        panel,
        key="texture",
        lines=tuple(line.inverted() for line in panel.lines),
        context=context,
        low=0,
        high=1,
    )


def _accuracy(rows: pd.DataFrame, analysis: Analysis) -> Panel:
    accuracy = rows[(rows["task"] == "robustness") & (rows["metric"] == "acc1")]
    datasets = list(dict.fromkeys(map(str, accuracy["dataset"])))
    headline = _headline(analysis)
    lines = [
        replace(line, style=0 if clean else 1)
        for clean, line in _conditions(accuracy, analysis, headline, datasets)
    ]
    keys = {"accuracy", *(c.endpoint.key for c in analysis.curves if c.endpoint.metric == "acc1")}
    return Panel(
        "accuracy",
        TITLES["accuracy"],
        DOT.join(["top-1, clean and distorted", *datasets]),
        tuple(lines),
        _context(analysis, keys, datasets),
        low=0,
    )


def _conditions(
    accuracy: pd.DataFrame,
    analysis: Analysis,
    headline: tuple[Any, ...],
    datasets: Sequence[str],
) -> Iterator[tuple[bool, Line]]:
    """(whether clean, line) per run and distortion; all but clean and headline are faint."""
    keys = ["distortion", "level", "noise_seed"]
    seeds = accuracy["noise_seed"].nunique()
    for key, condition in accuracy.groupby(keys, dropna=False, sort=False):
        distortion, level, seed = map(_known, key)
        clean = distortion == "none"
        name = "clean" if clean else condition_name(distortion, level)
        if seeds > 1 and seed is not None:
            name += f", seed {seed}"
        faint = not clean and bool(headline) and (distortion, level, seed) != headline
        for line in lines_of(condition, name, faint=faint):
            tested = next((c for c in analysis.curves if _is_line(c, line, condition)), None)
            if tested is not None:
                line = line_of(tested, name, faint=faint)
            label = f"{name}, {line.dataset}" if len(datasets) > 1 else name
            yield clean, replace(line, label=label, best=())


def _known(value: Any) -> Any:
    """None for NA."""
    import pandas as pd

    return None if pd.isna(value) else value


def _is_line(curve: Curve, line: Line, rows: pd.DataFrame) -> bool:
    if curve.group != line.group or curve.dataset != line.dataset:
        return False
    return not matching(rows, curve.endpoint).empty


def _headline(analysis: Analysis) -> tuple[Any, ...]:
    """(distortion, level, seed) of the primary drop; () without one."""
    for curve in primary_curves(analysis, "robustness"):
        factors = curve.endpoint.factors
        return (factors.get("distortion"), factors.get("level"), factors.get("noise_seed"))
    return ()


def _drop(rows: pd.DataFrame, analysis: Analysis) -> Panel:
    """The primary drop, and the same of other distortions beside it."""
    curves = primary_curves(analysis, "robustness")
    panel = _primary(analysis, "robustness", TITLES["drop"], "")
    if not curves:
        return panel
    metric, headline = curves[0].endpoint.metric, _headline(analysis)
    same = rows[(rows["task"] == "robustness") & (rows["metric"] == metric)]
    others = [
        replace(line, faint=True, style=2, label=condition_name(distortion, level))
        for (distortion, level), condition in same.groupby(["distortion", "level"], dropna=False)
        if (distortion, level) != headline[:2]
        for line in lines_of(condition)
    ]
    of = "above chance " if metric.endswith("chance") else ""
    datasets = dict.fromkeys(curve.dataset for curve in curves)
    share = f"share of accuracy {of}lost, {condition_name(*headline[:2])}"
    named = (
        panel.lines
        if len(datasets) > 1 or not others
        else tuple(replace(line, label=condition_name(*headline[:2])) for line in panel.lines)
    )
    return replace(
        panel,
        key="drop",
        subtitle=DOT.join([share, *datasets]),
        lines=(*others, *named),
        low=0,
        floor=-0.25,
    )


def diagnostics_panels(rows: pd.DataFrame) -> list[Panel]:
    """Embedding diagnostics over training, one panel per metric."""
    task = rows[rows["task"] == "embedding-diagnostics"]
    panels = []
    for metric, group in task.groupby("metric", sort=False):
        datasets = list(dict.fromkeys(map(str, group["dataset"])))
        lines = tuple(
            replace(line, label=_diagnostic_label(line, level, datasets), style=place % 3)
            for (dataset, level), one in group.groupby(["dataset", "level"], dropna=False)
            for place in [datasets.index(str(dataset))]
            for line in lines_of(one)
        )
        if lines:
            title = str(metric).replace("_", " ")
            panels.append(
                Panel(str(metric), title[0].upper() + title[1:], DOT.join(datasets), lines)
            )
    return panels


def _diagnostic_label(line: Line, level: Any, datasets: Sequence[str]) -> str:
    words = [line.dataset] if len(datasets) > 1 else []
    words += [] if level != level else [f"level {level:g}"]
    return ", ".join(words)


def explored(analysis: Analysis) -> list[Mapping[str, Any]]:
    """Exploratory curves in words: title, run, data set, verdict, sentence."""
    return [
        {
            "title": curve.endpoint.title,
            "run": curve.run,
            "dataset": curve.dataset,
            "kind": curve.verdict.kind,
            "sentence": curve.sentence,
        }
        for curve in analysis.curves
        if not curve.endpoint.primary
    ]
