"""`fastclip bench`: how fast this machine's engines are."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click

_COLUMNS = (
    ("engine", "engine", "{}"),
    ("precision", "precision", "{}"),
    ("pictures_per_second", "pictures/s", "{:,.1f}"),
    ("fraction_of_matrix_rate", "of matrix rate", "{:.0%}"),
    ("swap_seconds", "swap s", "{:.2f}"),
    ("build_seconds", "build s", "{:.1f}"),
    ("relative_l2", "relative L2", "{:.1e}"),
)


@click.group(name="bench")
def command() -> None:
    """Measure the speed of this machine's engines."""


@command.command()
@click.argument("architectures", nargs=-1, metavar="[ARCH...]")
@click.option("--device", default="auto", show_default=True, help="cpu, cuda or cuda:N.")
@click.option("--engine", "only", multiple=True, help="Only this engine. Repeatable.")
@click.option(
    "--precision", multiple=True, help="Only this precision; all of an engine's own. Repeatable."
)
@click.option("-b", "--batch-size", type=click.IntRange(min=1), help="The engine's own.")
@click.option("--seconds", type=click.FloatRange(min=0.1), default=2.0, show_default=True)
@click.option("--workers", type=click.IntRange(min=0), default=0, help="Threads; 0 for all cores.")
@click.option("--cache-dir", type=click.Path(path_type=Path), help="[env: FASTCLIP_CACHE]")
@click.option("--json", "as_json", is_flag=True, help="Everything, as JSON.")
def engines(
    architectures: tuple[str, ...],
    device: str,
    only: tuple[str, ...],
    precision: tuple[str, ...],
    as_json: bool,
    **options: Any,
) -> None:
    """Every engine on ARCH (ViT-B-32): speed, swap, build, and how far from open_clip.

    Random weights: nothing is downloaded. The matrix rate is that of a square matrix product in
    the same precision on the same device, measured now; weights are on the host in fp32 before a
    swap.
    """
    from fastclip.sweeper.bench import bench_engines

    reports = []
    for architecture in architectures or ("ViT-B-32",):
        report = bench_engines(
            architecture, device=device, engines=only, precisions=precision, **options
        )
        reports.append(report)
        if not as_json:
            for line in table(report):
                click.echo(line)
    if as_json:
        click.echo(json.dumps(reports, indent=1))


def table(report: dict[str, Any]) -> Iterator[str]:
    """The report of one architecture as lines of text."""
    yield (
        f"{report['architecture']} on {report['device_name']}: "
        f"{report['flop_per_picture'] / 1e9:.3g} GFLOP a picture"
    )
    passed = [row for row in report["engines"] if not row["refusal"]]
    cells = [[title for _, title, _ in _COLUMNS]]
    cells += [
        ["-" if row[key] is None else form.format(row[key]) for key, _, form in _COLUMNS]
        for row in passed
    ]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    for line in cells:
        left = "  ".join(cell.ljust(width) for cell, width in zip(line[:2], widths, strict=False))
        right = (cell.rjust(width) for cell, width in zip(line[2:], widths[2:], strict=True))
        yield f"  {left}  {'  '.join(right)}"
    for row in report["engines"]:
        if row["refusal"]:
            yield f"  {row['engine']} {row['precision']}: not used, {row['refusal']}"
