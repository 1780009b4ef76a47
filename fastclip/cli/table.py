"""`fastclip table`: rebuild the views from the records."""

from __future__ import annotations

from pathlib import Path

import click


@click.command(name="table")
@click.argument("out", type=click.Path(path_type=Path))
def command(out: Path) -> int:
    """Rebuild OUT/results.csv and OUT/results.parquet from the records."""
    from fastclip.results.table import write_table

    rows = write_table(out)
    checkpoints = rows["checkpoint_id"].nunique()
    click.echo(f"{len(rows)} rows of {checkpoints} checkpoints: {out / 'results.csv'}")
    return 0
