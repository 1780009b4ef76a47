"""The curves of a sweep's table: what the figure draws, without how."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from fastclip.errors import UsageError

if TYPE_CHECKING:
    import pandas as pd

HUMAN_SHAPE_BIAS = 0.9587
"""Ten observers on the 1200 published conflict pictures: 9236 shape, 398 texture decisions
(pooled raw data of rgeirhos/texture-vs-shape)."""

CHANCE = {"cifar100": 1 / 100, "imagenet": 1 / 1000}
"""Accuracy of guessing on the published sets."""

# Okabe and Ito's colours, told apart with any colour vision; yellow is too light for a line.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")

SIGMA = "\N{GREEK SMALL LETTER SIGMA}"

DASHED = {"linestyle": (0, (3, 1.5))}
DOTTED = {"linestyle": (0, (1, 1.6)), "linewidth": 1.3}

X_LABELS = {"samples_seen": "samples seen", "step": "step", "epoch": "epoch"}
ORDER = {"order": "order of checkpoints"}
"""What is left where no checkpoint says where in training it is."""

Runs = Mapping[tuple[str, str, str], str]
"""(run, arch, weights) to colour."""


@dataclass(frozen=True)
class Curve:
    """One line: x and y in the order of x; y is NaN where it is NA, and the line broken.

    `certain` is False where the point is flagged (a model at chance); `marked` curves get a
    ring where they are highest. `low` and `high` bound each point at 95 %, `band_low` and
    `band_high` all points together, NaN where there is no interval; empty where there is none at
    all. `best` indexes the 95 % confidence set for the highest point.
    """

    label: str
    colour: str
    x: list[float]
    y: list[float]
    certain: list[bool]
    style: Mapping[str, Any] = field(default_factory=dict)
    faint: bool = False
    marked: bool = False
    low: list[float] = field(default_factory=list)
    high: list[float] = field(default_factory=list)
    band_low: list[float] = field(default_factory=list)
    band_high: list[float] = field(default_factory=list)
    best: tuple[int, ...] = ()


@dataclass(frozen=True)
class Panel:
    """One panel: its lines, its reference lines by name, whether y goes from 0 to 1.

    `ranges` are (low, high) of shaded reference ranges.
    """

    title: str
    subtitle: str
    curves: list[Curve]
    rules: dict[str, float] = field(default_factory=dict)
    unit_scale: bool = False
    ranges: tuple[tuple[float, float], ...] = ()


def panels_of(rows: pd.DataFrame, chance: Mapping[str, float] | None = None) -> list[Panel]:
    """Alignment, shape bias and accuracy over training, as lines.

    Args:
        rows: the tidy rows of a sweep.
        chance: accuracy of guessing by data set, added to `CHANCE`.

    Raises:
        UsageError: not every row says where in training its checkpoint is.
    """
    runs, axis = runs_of(rows), x_column(rows)
    return [
        _alignment(rows, runs, axis),
        _shape_bias(rows, runs, axis),
        _accuracy(rows, runs, axis, {**CHANCE, **(chance or {})}),
    ]


def x_column(rows: pd.DataFrame) -> str:
    """The column for the x axis: the first of samples seen, step, epoch that every row has."""
    for column in X_LABELS:
        if len(rows) and rows[column].notna().all():
            return column
    raise UsageError(
        "not every checkpoint says where in training it is",
        mend="sweep with --samples-per-epoch N, or leave the others out",
    )


def runs_of(rows: pd.DataFrame) -> dict[tuple[str, str, str], str]:
    """`{(run, arch, weights): colour}` in the order of the rows."""
    keys = rows[["run", "arch", "weights"]].drop_duplicates().itertuples(index=False, name=None)
    return {tuple(map(str, k)): COLOURS[i % len(COLOURS)] for i, k in enumerate(keys)}  # type: ignore[misc]


def _curves(
    rows: pd.DataFrame,
    runs: Runs,
    axis: str,
    label: str,
    **options: Any,
) -> Iterator[Curve]:
    """One curve per run and data set of rows that already hold one metric."""
    datasets = list(dict.fromkeys(rows["dataset"]))
    keys = ["run", "arch", "weights", "dataset", "distortion", "level", "protocol_id", "noise_seed"]
    for key, group in rows.groupby(keys, dropna=False, sort=False):
        if group["value"].notna().any():
            ordered = group.sort_values(axis)
            named = f"{label}, {key[3]}" if label and len(datasets) > 1 else label
            yield Curve(
                named or (str(key[3]) if len(datasets) > 1 else ""),
                runs[(str(key[0]), str(key[1]), str(key[2]))],
                ordered[axis].astype(float).tolist(),
                ordered["value"].astype(float).tolist(),
                [not str(f).startswith("at_chance") for f in ordered["flag"].fillna("")],
                low=ordered["ci_low"].astype(float).tolist(),
                high=ordered["ci_high"].astype(float).tolist(),
                **options,
            )


def _alignment(rows: pd.DataFrame, runs: Runs, axis: str) -> Panel:
    pooled = (rows["task"] == "iqa") & (rows["metric"] == "srcc") & (rows["subset"] == "pooled")
    chosen = rows[pooled]
    others = [] if len(runs) > 1 else [d for d in chosen["distance"].unique() if d != "cosine"]
    curves = [
        curve
        for distance in [*others, "cosine"]
        for curve in _curves(
            chosen[chosen["distance"] == distance],
            runs,
            axis,
            distance if others else "",
            faint=distance != "cosine",
            marked=distance == "cosine",
        )
    ]
    return Panel("Image-quality alignment", f"SRCC{_of(chosen)}", curves)


def _shape_bias(rows: pd.DataFrame, runs: Runs, axis: str) -> Panel:
    whole = rows[(rows["task"] == "shape-bias") & rows["category"].isna()]
    bias, cue = (whole[whole["metric"] == m] for m in ("shape_bias", "cue_accuracy"))
    single = len(runs) == 1
    curves = list(_curves(cue, runs, axis, "cue accuracy", faint=True)) if single else []
    curves += _curves(bias, runs, axis, "shape bias" if single else "")
    rules = {"guessing": 0.5}
    if set(bias["dataset"]) == {"cue-conflict"}:
        rules[f"humans {HUMAN_SHAPE_BIAS:.2f}"] = HUMAN_SHAPE_BIAS
    subtitle = f"share of shape decisions{_of(bias)}"
    return Panel("Shape bias", subtitle, curves, rules, unit_scale=True)


def _accuracy(rows: pd.DataFrame, runs: Runs, axis: str, chance: Mapping[str, float]) -> Panel:
    task = rows[rows["task"] == "robustness"]
    clean = task[(task["metric"] == "acc1") & (task["distortion"] == "none")]
    distorted = task[task["distortion"] != "none"]
    kinds = list(distorted["distortion"].dropna().unique())
    only_noise = kinds in ([], ["gaussian_noise"])
    conditions = distorted[["distortion", "level"]].drop_duplicates().sort_values("level")
    curves = list(_curves(clean, runs, axis, "clean"))
    for kind, level in conditions.itertuples(index=False, name=None):
        under = distorted[(distorted["distortion"] == kind) & (distorted["level"] == level)]
        noisy, drop = (under[under["metric"] == m] for m in ("acc1", "drop_rel"))
        name = condition_name(kind, level)
        tail = "" if len(conditions) == 1 else f" {level:g}" if only_noise else f", {name}"
        curves += _curves(noisy, runs, axis, f"noisy{tail}" if only_noise else name, style=DASHED)
        curves += _curves(drop, runs, axis, f"drop{tail}", style=DOTTED)
    levels = ", ".join(f"{level:g}" for level in conditions["level"])
    under_noise = f"Gaussian noise {SIGMA} {levels}" if levels else "clean only"
    known = {chance[d] for d in clean["dataset"].unique() if d in chance}
    rules = {"guessing": known.pop()} if len(known) == 1 else {}
    subtitle = f"top-1, {under_noise if only_noise else 'clean and distorted'}{_of(clean)}"
    return Panel("Zero-shot accuracy", subtitle, curves, rules, unit_scale=True)


def condition_name(distortion: Any, level: Any) -> str:
    """What a line under this distortion is called."""
    amount = "" if level is None or level != level else f" {level:g}"
    if distortion == "gaussian_noise":
        return f"noise {SIGMA}{amount}"
    return str(distortion).replace("_", " ") + amount


def _of(rows: pd.DataFrame) -> str:
    """The data sets of these rows, for a subtitle."""
    return "".join(f" \N{MIDDLE DOT} {name}" for name in dict.fromkeys(map(str, rows["dataset"])))
