"""`fastclip report`: parsing and printing only."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from fastclip.cli.analyze import choices, read


@click.command(name="report")
@click.argument("out", type=click.Path(path_type=Path))
@click.option(
    "-o",
    "--output",
    type=click.Path(path_type=Path),
    help="The HTML file.  [default: OUT/report.html; figures go to figures/ beside it]",
)
@click.option("--no-figures", is_flag=True, help="Only the page, no PNG and SVG.")
@choices
def command(out: Path, output: Path | None, no_figures: bool, **options: Any) -> int:
    """Write what a sweep found as one HTML page and as figures.

    The page opens from disk and needs no network. Findings come with their intervals, number of
    units and scope, as `fastclip analyze` has them.
    """
    from fastclip.demo.sets import STAMP
    from fastclip.report.write import write_report

    target = output or out / "report.html"
    source, analysis = read(out, **options)
    stamp = STAMP if (out / "demo.json").is_file() else None
    figures = None if no_figures else target.parent / "figures"
    write_report(out, source.rows, analysis, target, stamp=stamp, figures=figures)
    click.echo(f"report: {target} ({target.stat().st_size / 1e6:.1f} MB)")
    if figures is not None:
        click.echo(f"figures: {figures}")
    return 0
