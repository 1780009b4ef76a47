"""Draw what `bench/growth.py` measured: a panel per axis, seconds of the whole process.

python bench/plot_growth.py      from bench/results/growth.json into docs/performance/
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from report import RESULTS, ROOT

TITLES = {
    "checkpoints": "checkpoints",
    "evaluators": "evaluators",
    "sigmas": "noise levels",
    "pictures": "pictures encoded",
}
SIDES = {
    "plain loop": ("plain open_clip loop", "#b5523b", "-"),
    "fastclip": ("fastclip", "#1f6f8b", "-"),
    "fastclip cold": ("fastclip, no picture cached", "#1f6f8b", ":"),
}


def draw(rows: Sequence[dict[str, Any]], folder: Path) -> None:
    """`growth.svg` and `growth.png`: one panel for each axis that has rows."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    pyplot.rcParams.update({"font.size": 9, "svg.fonttype": "none", "svg.hashsalt": "growth"})
    axes = [axis for axis in TITLES if any(row["axis"] == axis for row in rows)]
    figure, panels = pyplot.subplots(
        1, len(axes), figsize=(2.6 * len(axes), 2.7), squeeze=False, layout="constrained"
    )
    for axis, panel in zip(axes, panels[0], strict=True):
        mine = sorted((r for r in rows if r["axis"] == axis), key=lambda row: row["amount"])
        _panel(panel, axis, mine)
    panels[0][0].set_ylabel("seconds, whole process")
    handles = [
        pyplot.Line2D([], [], color=colour, linestyle=line, marker="o", markersize=3, label=label)
        for side, (label, colour, line) in SIDES.items()
        if any(side in row["wall"] for row in rows)
    ]
    figure.legend(handles=handles, loc="outside upper center", ncols=len(handles), frameon=False)
    folder.mkdir(parents=True, exist_ok=True)
    figure.savefig(folder / "growth.svg", metadata={"Date": None})
    figure.savefig(folder / "growth.png", dpi=160)
    pyplot.close(figure)


def _panel(panel: Any, axis: str, rows: Sequence[dict[str, Any]]) -> None:
    for side, (_, colour, line) in SIDES.items():
        points = [(r["amount"], r["wall"][side]["median"]) for r in rows if side in r["wall"]]
        if points:
            panel.plot(*zip(*points, strict=True), line, color=colour, marker="o", markersize=3)
    amounts = [row["amount"] for row in rows]
    if amounts[-1] >= 20 * amounts[0]:
        panel.set_xscale("log")
        panel.set_yscale("log")
        ticks = (1, 3, 10, 30, 100, 300, 1000)
        low, high = panel.get_ylim()
        panel.set_yticks([t for t in ticks if low <= t <= high])
        panel.yaxis.set_major_formatter("{x:g}")
        panel.minorticks_off()
    else:
        panel.set_ylim(bottom=0)
    panel.set_xticks(amounts, [f"{amount:,}" for amount in amounts])
    panel.set_xlabel(TITLES[axis])
    panel.grid(alpha=0.25, linewidth=0.5)
    for side in ("top", "right"):
        panel.spines[side].set_visible(False)


if __name__ == "__main__":
    measured = json.loads((RESULTS / "growth.json").read_text())
    draw(measured["growth"], ROOT / "docs" / "performance")
