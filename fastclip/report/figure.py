"""The figure of a sweep: three curves over training, one panel each."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from fastclip.errors import UsageError
from fastclip.report.curves import Runs, panels_of, runs_of, x_column
from fastclip.report.draw import FAINT, STYLE, draw_panel, save

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

STAMP_INK = "#B03A00"
LEFT = 0.045


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
            draw_panel(axes, axis, panel, name_in_ink=len(runs) > 1)
        if len(runs) > 1:
            _name_runs(figure, runs)
        _note(figure, stamp)
        save(figure, path)
    return figure


def _note(figure: Figure, stamp: str | None) -> None:
    """The stamp, and how to read the marks, on one line under the panels."""
    text = (
        "\N{WHITE CIRCLE} highest value    hollow: model at chance    "
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
