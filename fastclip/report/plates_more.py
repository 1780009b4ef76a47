"""The figures of a report that are not curves over training, drawn into given axes."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from textwrap import fill
from typing import TYPE_CHECKING, Any

from fastclip.report.draw import short
from fastclip.report.lines import Group, Places
from fastclip.report.style import DASHED, DOTTED, FAINT

if TYPE_CHECKING:
    from matplotlib.axes import Axes

DIVERGING = ("#D55E00", "#FFFFFF", "#7DB4D8", "#00395A")
"""Orange against people, white without relation, blue aligned; told apart with any vision."""

SHARES = (0.001, 0.01, 0.02, 0.05, 0.1, 0.2, 0.3, 0.5, 0.7, 0.8, 0.9, 0.95, 0.98, 0.99, 0.999)


def draw_heat_map(axes: Axes, part: Mapping[str, Any]) -> None:
    """SRCC by distortion type (rows) and checkpoint (columns); see `sections.heat_maps`."""
    from matplotlib.colors import LinearSegmentedColormap

    colours = LinearSegmentedColormap.from_list(
        "alignment", list(zip((0, 0.5, 0.75, 1), DIVERGING, strict=True))
    )
    image = axes.imshow(
        part["values"], cmap=colours, vmin=-1, vmax=1, aspect="auto", interpolation="nearest"
    )
    types, places = part["types"], part["places"]
    axes.set_yticks(range(len(types)), [name.replace("_", " ") for name in types])
    columns = len(places.checkpoints)
    shown = sorted({round(i * (columns - 1) / 5) for i in range(6)})
    axes.set_xticks(shown, [place_name(places, i) for i in shown])
    axes.tick_params(length=2)
    axes.set_title(f"Alignment by distortion, {part['dataset']}")
    bar = axes.figure.colorbar(image, ax=axes, pad=0.02, aspect=30)
    bar.set_label("SRCC")
    bar.outline.set_visible(False)


def draw_categories(axes: Axes, part: Mapping[str, Any], colours: Mapping[Group, str]) -> None:
    """Shape bias by category, a mark per checkpoint; see `sections.categories`."""
    colour = colours[part["group"]]
    count = len(part["places"].checkpoints)
    for k in range(count):
        alpha = 0.22 + 0.78 * (k + 1) / count
        for row, values in enumerate(part["values"]):
            axes.plot(
                values[k], row, "o", markersize=4.5, alpha=alpha, markeredgecolor=colour,
                markerfacecolor=colour if part["usable"][row][k] else "white",
            )  # fmt: skip
    for k, style in ((0, "--"), (count - 1, "-")):
        if part["whole"][k] == part["whole"][k]:
            axes.axvline(part["whole"][k], color=colour, linestyle=style, linewidth=0.9, zorder=0)
    if part["human"] is not None:
        axes.axvspan(part["human"].low, part["human"].high, color=FAINT, alpha=0.2, linewidth=0)
    axes.set_xlim(-0.03, 1.03)
    axes.set_ylim(len(part["categories"]) - 0.4, -0.6)
    axes.set_yticks(range(len(part["categories"])), part["categories"])
    axes.tick_params(axis="y", length=0)
    axes.grid(axis="y", color="#EEEEEE", linewidth=0.6)
    axes.set_axisbelow(True)
    axes.set_xlabel("share of shape decisions: texture 0, shape 1")
    axes.set_title(f"Shape bias by category, {part['dataset']}")


def draw_against(
    axes: Axes,
    paths: Sequence[Mapping[str, Any]],
    titles: tuple[str, str],
    colours: Mapping[Group, str],
    *,
    on_logit: bool = False,
) -> None:
    """Two quantities against each other, from the first checkpoint to the last."""
    at: Callable[[float], float] = _logit if on_logit else float
    labels = list(dict.fromkeys(path.get("label", "") for path in paths))
    for path in paths:
        colour, x, y = (
            colours[path["group"]],
            [at(v) for v in path["x"]],
            [at(v) for v in path["y"]],
        )
        style: Mapping[str, Any] = ({}, DASHED, DOTTED)[labels.index(path.get("label", "")) % 3]
        axes.plot(x, y, color=colour, **{"linewidth": 0.9, **style}, zorder=1)
        for i, ok in enumerate(path["usable"]):
            axes.plot(
                x[i], y[i], "o", markersize=3.6, markeredgecolor=colour, markeredgewidth=0.7,
                markerfacecolor=(colour, 0.25 + 0.75 * (i + 1) / len(x)) if ok else "white",
            )  # fmt: skip
        for i in sorted({0, len(x) - 1}) if x else ():
            end = path.get("label", "") if i else ""
            text = ", ".join(word for word in (place_name(path["places"], i), end) if word)
            inward = -1 if x[i] > (min(x) + max(x)) / 2 else 1
            axes.annotate(
                text, (x[i], y[i]), xytext=(4 * inward, 6 if i else -7), fontsize=6.5,
                ha="left" if inward > 0 else "right", textcoords="offset points", color=FAINT,
                annotation_clip=False,
            )  # fmt: skip
    if on_logit:
        _logit_ticks(axes)
    axes.margins(0.09)
    axes.set_xlabel(fill(titles[0], 38))
    axes.set_ylabel(fill(titles[1], 38))


def _logit_ticks(axes: Axes) -> None:
    limits = (axes.get_xlim(), axes.get_ylim())
    axes.plot([-9, 9], [-9, 9], color="#D9D9D9", linewidth=0.8, zorder=0)
    axes.set_xticks([_logit(p) for p in SHARES], [f"{p:g}" for p in SHARES])
    axes.set_yticks([_logit(p) for p in SHARES], [f"{p:g}" for p in SHARES])
    axes.set_xlim(limits[0])
    axes.set_ylim(limits[1])


def _logit(share: float) -> float:
    """log(p / (1 - p)), shares within .001 of 0 and 1 drawn there."""
    p = min(max(share, 0.001), 0.999)
    return math.log(p / (1 - p))


def place_name(places: Places, index: int) -> str:
    """Where in training a checkpoint is, in the preferred unit, or its name."""
    for values, word in (
        (places.samples_seen, "samples"),
        (places.step, "step"),
        (places.epoch, "epoch"),
    ):
        value = values[index]
        if value is not None:
            return short(float(f"{value:.3g}")) if word == "samples" else f"{word} {value:g}"
    return places.checkpoints[index].rsplit("/", 1)[-1]
