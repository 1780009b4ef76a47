"""The closing table of a sweep."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    import pandas as pd

    from fastclip.sweeper.group import Outcome

HEADLINES: tuple[tuple[str, str, dict[str, str | None], str], ...] = (
    # task, metric, what singles out the headline row (None is NA), title
    ("iqa", "srcc", {"subset": "pooled", "distance": "cosine"}, "image quality SRCC"),
    ("shape-bias", "shape_bias", {"category": None}, "shape bias"),
    ("shape-bias", "cue_accuracy", {"category": None}, "cue accuracy"),
    ("robustness", "acc1", {"distortion": "none"}, "clean accuracy"),
    ("robustness", "acc1", {"distortion": "gaussian_noise"}, "noisy accuracy"),
    ("robustness", "drop_rel", {}, "relative drop"),
)

MOST_TABLES = 20
"""Runs that are shown; a series may have thousands."""

COLUMNS = [
    *("run", "arch", "checkpoint", "step", "epoch", "dataset", "task", "metric", "value"),
    *("subset", "distance", "category", "distortion", "level", "noise_seed", "protocol_id"),
]
"""What the table looks at: a folder of ten thousand checkpoints has millions of rows."""


def print_summary(out: Path, outcome: Outcome) -> None:
    """A table per run and architecture, then counts, failures and where the rows are."""
    from fastclip.results.table import read_table

    shown = [("metric", "in", sorted({metric for _, metric, _, _ in HEADLINES}))]
    print_curves(read_table(out, COLUMNS, shown))
    for name, error in outcome.failures.items():
        click.echo(f"failed: {name}: {error}", err=True)
    table = out / "results.csv"
    click.echo(
        f"{outcome.done} measured, {outcome.already_done} already measured, "
        f"{len(outcome.failures)} failed, {outcome.skipped} skipped; "
        + (f"rows in {table}" if table.is_file() else "no rows yet")
    )


def print_curves(rows: pd.DataFrame) -> None:
    """One line per headline curve: first, last and highest value, where, and a sparkline."""
    from rich import box
    from rich.console import Console
    from rich.table import Table

    curves = list(rows.groupby(["run", "arch"], sort=False))
    for (run, arch), group in curves[:MOST_TABLES]:
        count = group["checkpoint"].nunique()
        checkpoints = f"{count} checkpoint{'s' * (count != 1)}"
        table = Table(title=f"{run}: {arch}, {checkpoints}", box=box.SIMPLE, pad_edge=False)
        table.add_column("", no_wrap=True)
        for heading in ("first", "last", "highest", "at"):
            table.add_column(heading, justify="right", no_wrap=True)
        table.add_column("curve", no_wrap=True)
        for dataset, of_dataset in group.groupby("dataset", sort=False):
            lines = list(curve_lines(of_dataset))
            if lines:
                table.add_row(str(dataset), style="bold")
            for cells in lines:
                table.add_row(*cells)
        Console().print(table)
    if len(curves) > MOST_TABLES:
        click.echo(f"and {len(curves) - MOST_TABLES} more runs, which the report has")


def curve_lines(group: pd.DataFrame) -> Iterator[tuple[str, ...]]:
    """The headline curves of one run and data set, as cells of the table."""
    from fastclip.report.sparkline import sparkline

    factors_of_a_curve = ["distortion", "level", "noise_seed", "protocol_id"]
    for task, metric, factors, title in HEADLINES:
        chosen = group[(group["task"] == task) & (group["metric"] == metric)]
        for column, wanted in factors.items():
            chosen = chosen[chosen[column].isna() if wanted is None else chosen[column] == wanted]
        for key, curve in chosen.groupby(factors_of_a_curve, dropna=False, sort=False):
            values = [None if value != value else float(value) for value in curve["value"]]
            known = [(value, row) for row, value in enumerate(values) if value is not None]
            if not known:
                continue
            highest, row = max(known, key=lambda pair: (pair[0], -pair[1]))
            yield (
                "  " + _title(title, key[0], key[1]),
                _number(values[0]),
                _number(values[-1]),
                _number(highest),
                _place(curve.iloc[row]),
                sparkline(values, width=16),
            )


def _title(title: str, distortion: Any, level: Any) -> str:
    if level != level:
        return title
    if distortion == "gaussian_noise":
        return f"{title} ({level:g})"
    return f"drop, {distortion} {level:g}"


def _number(value: float | None) -> str:
    return "NA" if value is None else f"{value:.3f}"


def _place(row: pd.Series[Any]) -> str:
    import pandas as pd

    for column in ("step", "epoch"):
        if not pd.isna(row[column]):
            return f"{column} {row[column]}"
    return str(row["checkpoint"]).rsplit("/", 1)[-1]
