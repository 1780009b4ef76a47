"""`fastclip report`: parsing and printing only."""

from __future__ import annotations

from pathlib import Path

import click


@click.command(name="report")
@click.argument("out", type=click.Path(path_type=Path))
@click.option(
    "-o",
    "--output",
    type=click.Path(path_type=Path),
    help="The HTML file.  [default: OUT/report.html]",
)
def command(out: Path, output: Path | None) -> int:
    """Write what a sweep found as one HTML page.

    The page opens from disk and needs no network. Findings come with their intervals, number of
    units and scope.
    """
    from fastclip.analysis.run import analyze
    from fastclip.demo.sets import STAMP
    from fastclip.report.write import write_report
    from fastclip.results.table import build_table

    target = output or out / "report.html"
    analysis = analyze(out)
    stamp = STAMP if (out / "demo.json").is_file() else None
    write_report(out, build_table(out), analysis, target, stamp=stamp)
    click.echo(f"report: {target} ({target.stat().st_size / 1e6:.1f} MB)")
    return 0
