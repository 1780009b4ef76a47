"""The figure of a sweep: three curves over training, one panel each."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fastclip.errors import UsageError
from fastclip.files import atomic_path
from fastclip.report.curves import X_LABELS, Curve, Panel, Runs, panels_of, runs_of, x_column

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

INK, FAINT, STAMP_INK = "#222222", "#7A7A7A", "#B03A00"
LEFT = 0.045

STYLE: Any = {
    "font.family": "sans-serif",
    "font.sans-serif": ["Helvetica", "Arial", "DejaVu Sans"],
    "font.size": 8.5,
    "axes.titlesize": 9.5,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": INK,
    "axes.linewidth": 0.7,
    "axes.labelcolor": INK,
    "text.color": INK,
    "xtick.color": INK,
    "ytick.color": INK,
    "xtick.major.width": 0.7,
    "ytick.major.width": 0.7,
    "lines.linewidth": 1.8,
    "lines.solid_capstyle": "round",
    "svg.fonttype": "none",
    "svg.hashsalt": "fastclip",
}


def draw_curves(
    rows: pd.DataFrame,
    path: Path,
    stamp: str | None = None,
    chance: Mapping[str, float] | None = None,
) -> Figure:
    """Draw alignment, shape bias and accuracy over training; write `path` (PNG) and its SVG.

    Args:
        rows: the tidy rows of a sweep (`fastclip.results.table.COLUMNS`); several runs and
            architectures are told apart by colour.
        path: PNG file; the SVG gets the same name with its own suffix.
        stamp: a sentence that must stay with the figure ("synthetic, no human data").
        chance: accuracy of guessing, by data set; added to those of the published sets.

    Returns:
        The matplotlib figure, as written.

    Raises:
        UsageError: no row says where in training its checkpoint is, or none has a curve.
    """
    import matplotlib
    from matplotlib.figure import Figure

    panels, runs, axis = panels_of(rows, chance), runs_of(rows), x_column(rows)
    if not any(panel.curves for panel in panels):
        raise UsageError(
            "no row has a curve to draw", mend="sweep with iqa, shape-bias or robustness"
        )
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(10.2, 3.4), dpi=200)
        figure.subplots_adjust(left=LEFT, right=0.925, bottom=0.23, top=0.82, wspace=0.55)
        for axes, panel in zip(figure.subplots(1, 3), panels, strict=True):
            _draw_panel(axes, axis, panel, name_in_ink=len(runs) > 1)
        if len(runs) > 1:
            _name_runs(figure, runs)
        _note(figure, stamp)
        for target in (path, path.with_suffix(".svg")):
            with atomic_path(target) as temporary:
                figure.savefig(
                    temporary, format=target.suffix[1:], metadata=_METADATA[target.suffix]
                )
    return figure


_METADATA = {".png": {"Software": "fastclip"}, ".svg": {"Date": None, "Creator": "fastclip"}}


def _draw_panel(axes: Axes, x_column: str, panel: Panel, *, name_in_ink: bool) -> None:
    """Title and lines of a panel, each line named at its right end.

    `name_in_ink`: the names hold for lines of several colours.
    """
    axes.set_title(panel.title, pad=18)
    subtitle = panel.subtitle if panel.curves else "not measured"
    axes.text(0, 1.03, subtitle, transform=axes.transAxes, color=FAINT, va="bottom", fontsize=8)
    if not panel.curves:
        axes.set_axis_off()
        return
    for curve in panel.curves:
        _draw_line(axes, curve)
    _set_x(axes, x_column, sorted({x for curve in panel.curves for x in curve.x}))
    if panel.unit_scale:
        lowest = min(y for curve in panel.curves for y in curve.y if y == y)
        axes.set_ylim(min(0.0, max(lowest, -0.2)), 1)  # a drop at chance can be far below 0
    for y in panel.rules.values():
        axes.axhline(y, color=FAINT, linewidth=0.8, linestyle=(0, (1, 2)), zorder=0)
    names = {label: (y, FAINT) for label, y in panel.rules.items()}
    for curve in panel.curves:
        if curve.label and curve.label not in names:
            colour = FAINT if curve.faint else INK if name_in_ink else curve.colour
            names[curve.label] = ([y for y in curve.y if y == y][-1], colour)
    _name_lines(axes, names)


def _name_lines(axes: Axes, names: Mapping[str, tuple[float, str]]) -> None:
    """Write names right of the panel, at these heights or as near as fits."""
    points = axes.get_window_extent().height / axes.figure.dpi * 72
    low, high = axes.get_ylim()
    heights = _apart([y for y, _ in names.values()], 9.5 / points * (high - low))
    for (name, (_, colour)), y in zip(names.items(), heights, strict=True):
        axes.annotate(
            name, (1, y), xycoords=("axes fraction", "data"), xytext=(6, 0),
            textcoords="offset points", va="center", fontsize=8, color=colour,
            annotation_clip=False,
        )  # fmt: skip


def _draw_line(axes: Axes, curve: Curve) -> None:
    """The line, thin where the model is at chance, and its ring."""
    width, colour = (0.9, FAINT) if curve.faint else (1.8, curve.colour)
    options = {"color": colour, "linewidth": width, **curve.style}
    if not all(curve.certain):
        axes.plot(curve.x, curve.y, **{**options, "linewidth": 0.9, "alpha": 0.45})
    sure = [y if ok else float("nan") for y, ok in zip(curve.y, curve.certain, strict=True)]
    axes.plot(curve.x, sure, **options)
    known = [(y, x) for y, x in zip(sure, curve.x, strict=True) if y == y]
    if curve.marked and known:
        y, x = max(known)
        axes.plot(
            [x], [y], marker="o", markersize=5.5, markerfacecolor="white",
            markeredgecolor=colour, markeredgewidth=1.4, clip_on=False, zorder=5,
        )  # fmt: skip


def _set_x(axes: Axes, x_column: str, values: Sequence[float]) -> None:
    """Logarithmic, with 0 at the left end on a linear stub."""
    from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

    axes.set_xlabel(X_LABELS[x_column])
    positive = [x for x in values if x > 0]
    if not positive or max(positive) < 8 * min(positive):
        axes.margins(x=0.02)
        return
    low, high = min(positive), max(positive)
    axes.set_xscale("symlog", linthresh=low, linscale=0.4)
    axes.set_xlim(0 if 0 in values else low, high)
    decades = [10.0**power for power in range(-2, 16) if low <= 10.0**power <= high]
    if len(decades) < 2:
        decades = [low, high]
    axes.xaxis.set_major_locator(FixedLocator([*([0.0] if 0 in values else []), *decades]))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: _short(value)))


def _short(value: float) -> str:
    """1000 as 1k, 1e6 as 1M, 1e9 as 1B."""
    for limit, unit in ((1e9, "B"), (1e6, "M"), (1e3, "k")):
        if value >= limit:
            return f"{value / limit:g}{unit}"
    return f"{value:g}"


def _apart(values: Sequence[float], gap: float) -> list[float]:
    """Move label heights apart until neighbours are `gap` from each other, in order."""
    order = sorted(range(len(values)), key=lambda i: values[i])
    placed = list(values)
    for _ in range(100):
        moved = False
        for low, high in pairwise(order):
            lack = gap - (placed[high] - placed[low])
            if lack > 1e-9:
                placed[low] -= lack / 2
                placed[high] += lack / 2
                moved = True
        if not moved:
            break
    return placed


def _note(figure: Figure, stamp: str | None) -> None:
    """The stamp, and how to read the marks, on one line under the panels."""
    text = (
        "\N{WHITE CIRCLE} highest value    thin: model at chance    "
        "drop: share of clean accuracy lost"
    )
    note = LEFT
    if stamp:
        figure.text(LEFT, 0.035, stamp, color=STAMP_INK, weight="bold", va="center")
        note = 0.225
    figure.text(note, 0.035, text, color=FAINT, fontsize=7.5, va="center")


def _name_runs(figure: Figure, runs: Runs) -> None:
    """The runs' names in their colours, on one line under the panels."""
    from matplotlib.lines import Line2D

    several = len({arch for _, arch, _ in runs}) > 1
    names = [
        run + f" ({arch})" * several + f" {weights}" * (weights != "raw")
        for run, arch, weights in runs
    ]
    handles = [Line2D([], [], color=colour, linewidth=1.8) for colour in runs.values()]
    figure.legend(
        handles, names, loc="lower right", bbox_to_anchor=(0.985, -0.015), ncols=min(len(names), 5),
        frameon=False, handlelength=1.2, columnspacing=1.4,
    )  # fmt: skip
