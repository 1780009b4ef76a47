"""The closing table of a sweep."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    import pandas as pd

    from fastclip.sweep.run import Outcome

HEADLINES = (
    # task, metric, what singles out the headline row, title
    ("iqa", "srcc", {"subset": "pooled", "distance": "cosine"}, "image quality SRCC"),
    ("shape-bias", "shape_bias", {"category": None}, "shape bias"),
    ("shape-bias", "cue_accuracy", {"category": None}, "cue accuracy"),
    ("robustness", "acc1", {"distortion": "none"}, "clean accuracy"),
    ("robustness", "acc1", {"distortion": "gaussian_noise"}, "noisy accuracy"),
    ("robustness", "drop_rel", {}, "accuracy drop"),
)


def print_summary(out: Path, outcome: Outcome) -> None:
    """One line per curve with first, last, highest and a sparkline; then counts and files."""
    from rich.console import Console
    from rich.table import Table

    rows = read_rows(out)
    console = Console()
    for (run, arch), group in rows.groupby(["run", "arch"], sort=False):
        table = Table(title=f"{run}  ({arch}, {group['checkpoint_id'].nunique()} checkpoints)")
        for column in ("quantity", "data set", "first", "last", "highest", "at", "over training"):
            table.add_column(
                column, justify="left" if column in ("quantity", "data set") else "right"
            )
        for curve in curves(group):
            table.add_row(*curve)
        console.print(table)
    counts = f"{outcome.done} measured, {outcome.already_done} already measured"
    console.print(
        f"{counts}, {len(outcome.failures)} failed. Rows: {out / 'results.csv'}",
        markup=False,
        highlight=False,
        soft_wrap=True,
    )
    for name, error in outcome.failures.items():
        click.echo(f"failed: {name}: {error}", err=True)


def read_rows(out: Path) -> pd.DataFrame:
    """The rows that `results.parquet` holds."""
    import pandas as pd

    return pd.read_parquet(out / "results.parquet")


def curves(group: pd.DataFrame) -> list[tuple[str, ...]]:
    """The headline curves of one run, formatted."""
    from fastclip.report.sparkline import sparkline

    lines = []
    for task, metric, factors, title in HEADLINES:
        chosen = group[(group["task"] == task) & (group["metric"] == metric)]
        for column, wanted in factors.items():
            chosen = chosen[chosen[column].isna() if wanted is None else chosen[column] == wanted]
        for keys, curve in chosen.groupby(
            ["dataset", "level", "noise_seed", "protocol_id"], dropna=False, sort=False
        ):
            values = curve["value"]
            if values.notna().any():
                dataset, level = keys[0], keys[1]
                label = title if level != level or level is None else f"{title}, noise {level:g}"
                best = values.astype(float).idxmax()
                lines.append(
                    (
                        label,
                        str(dataset),
                        _number(values.iloc[0]),
                        _number(values.iloc[-1]),
                        _number(values.loc[best]),
                        _place(curve.loc[best]),
                        sparkline([None if v != v else float(v) for v in values.astype(float)]),
                    )
                )
    return lines


def _number(value: object) -> str:
    import pandas as pd

    return "NA" if pd.isna(value) else f"{value:.3f}"  # type: ignore[call-overload,str-format]


def _place(row: pd.Series) -> str:
    import pandas as pd

    for column in ("step", "epoch"):
        if not pd.isna(row[column]):
            return f"{column} {row[column]}"
    return str(row["checkpoint"]).rsplit("/", 1)[-1]
