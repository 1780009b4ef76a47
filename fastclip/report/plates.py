"""The figures of a report as files for a paper: PNG at 300 dpi, and SVG."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from textwrap import fill
from typing import TYPE_CHECKING, Any

from fastclip.analysis.base import Analysis
from fastclip.report import sections
from fastclip.report.draw import STYLE, DrawnLine, DrawnPanel, draw_panel, save
from fastclip.report.lines import Group, Line, Places, known_axes
from fastclip.report.panels import (
    DOT,
    Panel,
    diagnostics_panels,
    group_name,
    groups_of,
    training_panels,
)
from fastclip.report.plates_more import draw_against, draw_categories, draw_heat_map
from fastclip.report.style import COLOURS, DASHED, DOTTED, FAINT, INK, STAMP_INK

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

DPI = 300
WIDTH = 7.2
"""Inches: two columns of a journal."""

KEY = (
    "shaded: 95 % of the whole curve; bars: 95 % of a point; hollow: at chance; "
    "on the axis: 95 % set for the highest (of shape bias)"
)

Colours = Mapping[Group, str]
Draw = partial[None]
"""Draws into the axes that it is called with."""


def write_plates(
    folder: Path, rows: pd.DataFrame, analysis: Analysis, stamp: str | None = None
) -> list[Path]:
    """Write every figure that the rows have data for; returns the PNG files.

    Args:
        folder: made where it is not there; of each figure a `.png` and a `.svg` are written.
        rows, analysis, stamp: as for `fastclip.report.write.write_report`.
    """
    import matplotlib

    groups = groups_of(rows)
    colours = {group: COLOURS[i % len(COLOURS)] for i, group in enumerate(groups)}
    names = {group_name(g, groups): colour for g, colour in colours.items()}
    written = []
    with matplotlib.rc_context({**STYLE, "font.size": 7.5, "axes.titlesize": 8.5}):
        for name, figure in _figures(rows, analysis, colours):
            _finish(figure, names, stamp)
            save(figure, folder / f"{name}.png")
            written.append(folder / f"{name}.png")
    return written


def _figures(
    rows: pd.DataFrame, analysis: Analysis, colours: Colours
) -> Iterator[tuple[str, Figure]]:
    training, diagnostics = training_panels(rows, analysis), diagnostics_panels(rows)
    if training:
        figure = _panels(training, colours)
        figure.text(0.99, 0.035, KEY, color=FAINT, ha="right", va="bottom", fontsize=6)
        yield "training", figure
    for k, part in enumerate(sections.heat_maps(rows, analysis)):
        height = 0.6 + 0.15 * len(part["types"])
        drawing = partial(draw_heat_map, part=part)
        yield f"distortions{_number(k)}", _grid([drawing], height, left=0.34)
    for k, part in enumerate(sections.categories(rows, analysis)):
        height = 0.8 + 0.2 * len(part["categories"])
        drawing = partial(draw_categories, part=part, colours=colours)
        yield f"categories{_number(k)}", _grid([drawing], height)
    paths = list(sections.accuracy_trajectories(rows))
    if paths:
        drawing = partial(
            draw_against,
            paths=paths,
            titles=("clean accuracy", "noisy accuracy"),
            colours=colours,
            on_logit=True,
        )
        yield "noisy-clean", _grid([drawing], 3.4)
    trades = _by_titles(sections.trade_offs(analysis))
    if trades:
        several = [
            partial(draw_against, paths=found, titles=titles, colours=colours)
            for titles, found in trades.items()
        ]
        yield "trade-off", _grid(several, 2.9)
    if diagnostics:
        yield "diagnostics", _panels(diagnostics, colours)


def _number(k: int) -> str:
    return f"-{k + 1}" if k else ""


def _by_titles(paths: Iterator[dict[str, Any]]) -> dict[tuple[str, str], list[dict[str, Any]]]:
    found: dict[tuple[str, str], list[dict[str, Any]]] = {}
    for path in paths:
        found.setdefault((path["x_title"], path["y_title"]), []).append(path)
    return found


def _grid(draws: Sequence[Draw], height: float, left: float = 0.13) -> Figure:
    """A figure with these axes side by side."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(WIDTH if len(draws) > 1 else WIDTH * 0.72, height + 0.35), dpi=DPI)
    bottom = 0.75 / (height + 0.35)
    figure.subplots_adjust(left=left if len(draws) == 1 else 0.1, right=0.97, bottom=bottom)
    figure.subplots_adjust(top=1 - 0.3 / (height + 0.35), wspace=0.36)
    for axes, draw in zip(figure.subplots(1, len(draws), squeeze=False)[0], draws, strict=True):
        draw(axes)
    return figure


def _panels(panels: Sequence[Panel], colours: Colours) -> Figure:
    """Panels in two columns on one axis of training."""
    from matplotlib.figure import Figure

    axis = known_axes([line for panel in panels for line in panel.lines])[0]
    depth = -(-len(panels) // 2)
    height = 2.0 * depth + 0.7
    figure = Figure(figsize=(WIDTH, height), dpi=DPI)
    figure.subplots_adjust(left=0.06, right=0.87, bottom=0.72 / height, top=1 - 0.42 / height)
    figure.subplots_adjust(wspace=0.55, hspace=0.75)
    cells = figure.subplots(depth, 2, squeeze=False).ravel()
    for axes, panel in zip(cells, panels, strict=False):
        draw_panel(axes, axis, _as_drawn(panel, axis, colours), name_in_ink=len(colours) > 1)
        _limit(axes, panel)
    for axes in cells[len(panels) :]:
        axes.set_axis_off()
    return figure


def _limit(axes: Axes, panel: Panel) -> None:
    low, high = axes.get_ylim()
    if panel.floor is not None:
        axes.set_ylim(max(low, panel.floor), min(high, 1 - panel.floor))
    elif panel.low is not None:
        axes.set_ylim(min(0.0, panel.low), max(high, panel.high or 0.0))


def _as_drawn(panel: Panel, axis: str, colours: Colours) -> DrawnPanel:
    """A panel on one axis of training, as `draw_panel` takes it."""
    values = [v for line in panel.lines for v in line.value if v is not None]
    low, high = min(values), max(values)
    near = 0.9 * ((high - low) or 0.1)
    if panel.low is not None:
        low, high = min(low, panel.low), max(high, panel.high or high)
    rules = {
        fill(f"{c.label} {c.value:.2f}", 14): c.value
        for c in panel.context
        if low - near <= c.value <= high + near
    }
    ranges = tuple(
        (c.low, c.high)
        for c in panel.context
        if c.low is not None and c.high is not None and low - near <= c.value <= high + near
    )
    return DrawnPanel(
        panel.title,
        panel.subtitle if len(panel.subtitle) < 50 else panel.subtitle.split(DOT)[0],
        [_curve(line, axis, colours) for line in panel.lines],
        rules,
        ranges=ranges,
    )


def _curve(line: Line, axis: str, colours: Colours) -> DrawnLine:
    x = _axis_values(line.places, axis)
    kept = [i for i, v in enumerate(x) if v is not None]

    def numbers(values: Sequence[float | None]) -> list[float]:
        return [float("nan") if values[i] is None else float(values[i] or 0.0) for i in kept]

    return DrawnLine(
        line.label,
        colours[line.group],
        numbers(x),
        numbers(line.value),
        [line.usable[i] for i in kept],
        style=({}, DASHED, DOTTED)[line.style],
        faint=line.faint,
        low=numbers(line.low),
        high=numbers(line.high),
        band_low=numbers(line.band_low),
        band_high=numbers(line.band_high),
        best=tuple(kept.index(i) for i in line.best if i in kept),
    )


def _axis_values(places: Places, axis: str) -> Sequence[float | None]:
    if axis == "order":
        return [float(i + 1) for i in range(len(places.checkpoints))]
    values: Sequence[float | None] = getattr(places, axis)
    return values


def _finish(figure: Figure, names: Mapping[str, str], stamp: str | None) -> None:
    """The names of several runs in their colours, and the stamp, under the axes."""
    from matplotlib.lines import Line2D

    if stamp:
        figure.text(0.01, 0.01, stamp, color=STAMP_INK, weight="bold", va="bottom", fontsize=7)
    if len(names) > 1:
        handles = [Line2D([], [], color=colour, linewidth=1.8) for colour in names.values()]
        figure.legend(
            handles, list(names), loc="lower right", frameon=False, handlelength=1.2,
            ncols=min(len(names), 4), bbox_to_anchor=(1.0, -0.01), labelcolor=INK,
        )  # fmt: skip
