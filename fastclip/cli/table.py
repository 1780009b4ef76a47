"""`fastclip table`: rebuild the views from the records."""

from __future__ import annotations

from pathlib import Path

import click


@click.command(name="table")
@click.argument("out", type=click.Path(path_type=Path))
@click.option(
    "--interval",
    type=click.Choice(["jackknife-t", "bootstrap", "bca"]),
    default="jackknife-t",
    show_default=True,
    help="Of correlations; the others are computed from the per-picture items.",
)
def command(out: Path, interval: str) -> int:
    """Rebuild OUT/results.csv and OUT/results.parquet from the records."""
    from fastclip.results.intervals import with_intervals
    from fastclip.results.table import measurements, read_table, write_table

    write_table(out, with_intervals(out, measurements(out), interval))
    ids = read_table(out, ["checkpoint_id"])["checkpoint_id"]
    click.echo(f"{len(ids)} rows of {ids.nunique()} checkpoints: {out / 'results.csv'}")
    return 0
