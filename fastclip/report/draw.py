"""How lines over training are drawn: bands, marks, axes, names beside them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fastclip.files import atomic_path
from fastclip.report.style import FAINT, INK, ORDER, X_LABELS

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

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


@dataclass(frozen=True)
class DrawnLine:
    """One line: x and y in the order of x; y is NaN where it is NA, and the line broken.

    `certain` is False where the point is flagged (a model at chance). `low` and `high` bound each
    point at 95 %, `band_low` and `band_high` all points together, NaN where there is no interval;
    empty where there is none at all. `best` indexes the 95 % confidence set for the highest point.
    """

    label: str
    colour: str
    x: list[float]
    y: list[float]
    certain: list[bool]
    style: Mapping[str, Any] = field(default_factory=dict)
    faint: bool = False
    low: list[float] = field(default_factory=list)
    high: list[float] = field(default_factory=list)
    band_low: list[float] = field(default_factory=list)
    band_high: list[float] = field(default_factory=list)
    best: tuple[int, ...] = ()


@dataclass(frozen=True)
class DrawnPanel:
    """One panel: its lines, its reference lines by name.

    `ranges` are (low, high) of shaded reference ranges.
    """

    title: str
    subtitle: str
    lines: list[DrawnLine]
    rules: dict[str, float] = field(default_factory=dict)
    ranges: tuple[tuple[float, float], ...] = ()


def draw_panel(axes: Axes, x_column: str, panel: DrawnPanel, *, name_in_ink: bool) -> None:
    """Title and lines of a panel, each line named at its right end.

    `name_in_ink`: the names hold for lines of several colours.
    """
    axes.set_title(panel.title, pad=18)
    subtitle = panel.subtitle if panel.lines else "not measured"
    axes.text(0, 1.03, subtitle, transform=axes.transAxes, color=FAINT, va="bottom", fontsize=8)
    if not panel.lines:
        axes.set_axis_off()
        return
    for low, high in panel.ranges:
        axes.axhspan(low, high, color=FAINT, alpha=0.15, linewidth=0, zorder=0)
    for line in panel.lines:
        _draw_intervals(axes, line)
        _draw_line(axes, line)
    _draw_sets(axes, [line for line in panel.lines if line.best])
    set_x(axes, x_column, sorted({x for line in panel.lines for x in line.x}))
    for y in panel.rules.values():
        axes.axhline(y, color=FAINT, linewidth=0.8, linestyle=(0, (1, 2)), zorder=0)
    names = {label: (y, FAINT) for label, y in panel.rules.items()}
    for line in panel.lines:
        if line.label and line.label not in names:
            colour = FAINT if line.faint else INK if name_in_ink else line.colour
            names[line.label] = ([y for y in line.y if y == y][-1], colour)
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


def _draw_line(axes: Axes, line: DrawnLine) -> None:
    """The line, thin and hollow where the model is at chance."""
    width, colour = (0.9, FAINT) if line.faint else (1.8, line.colour)
    options = {"color": colour, "linewidth": width, **line.style}
    pairs = list(zip(line.y, line.certain, strict=True))
    if not all(line.certain):
        axes.plot(line.x, line.y, **{**options, "linewidth": 0.9, "alpha": 0.45})
        doubtful = [float("nan") if certain else y for y, certain in pairs]
        axes.plot(
            line.x, doubtful, "o", markersize=3, markerfacecolor="white", markeredgecolor=colour,
            markeredgewidth=0.8, clip_on=False,
        )  # fmt: skip
    axes.plot(line.x, [y if certain else float("nan") for y, certain in pairs], **options)


DENSE = 40
"""From so many points on, intervals are shaded and not drawn as bars."""


def _draw_intervals(axes: Axes, line: DrawnLine) -> None:
    """The band of the whole curve, shaded, and the interval of each point."""
    if line.faint:
        return
    x, colour = line.x, line.colour
    if line.band_low:
        axes.fill_between(x, line.band_low, line.band_high, color=colour, alpha=0.14, linewidth=0)
    if line.low and len(x) > DENSE:
        axes.fill_between(x, line.low, line.high, color=colour, alpha=0.22, linewidth=0)
    elif line.low:
        axes.vlines(x, line.low, line.high, color=colour, linewidth=0.7, alpha=0.8)


def _draw_sets(axes: Axes, lines: Sequence[DrawnLine]) -> None:
    """Confidence sets for the highest point, as bars on the axis; broken where the set is."""
    for row, line in enumerate(lines):
        height = 0.018 + 0.03 * row
        inside = [x if i in line.best else float("nan") for i, x in enumerate(line.x)]
        axes.plot(
            inside, [height] * len(inside), transform=axes.get_xaxis_transform(),
            color=line.colour, linewidth=2.6, marker="s", markersize=2.6, markeredgewidth=0,
            solid_capstyle="butt",
        )  # fmt: skip


def set_x(axes: Axes, x_column: str, values: Sequence[float]) -> None:
    """Logarithmic, with 0 at the left end on a linear stub."""
    from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

    axes.set_xlabel({**X_LABELS, **ORDER}[x_column])
    positive = [x for x in values if x > 0]
    if x_column in ORDER or not positive or max(positive) < 8 * min(positive):
        axes.margins(x=0.04)
        return
    low, high = min(positive), max(positive)
    axes.set_xscale("symlog", linthresh=low, linscale=0.4)
    axes.set_xlim(-0.1 * low if 0 in values else low / 1.12, high * 1.12)
    decades = [10.0**power for power in range(-2, 16) if low <= 10.0**power <= high]
    if len(decades) < 2:
        decades = [low, high]
    axes.xaxis.set_major_locator(FixedLocator([*([0.0] if 0 in values else []), *decades]))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: short(value)))


def short(value: float) -> str:
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


def save(figure: Figure, path: Path) -> None:
    """Write `path` (PNG) and the SVG of the same name; equal figures give equal SVG bytes."""
    for target in (path, path.with_suffix(".svg")):
        with atomic_path(target) as temporary:
            figure.savefig(temporary, format=target.suffix[1:], metadata=_METADATA[target.suffix])


_METADATA = {".png": {"Software": "fastclip"}, ".svg": {"Date": None, "Creator": "fastclip"}}
