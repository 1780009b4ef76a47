"""`fastclip export`: rows and items in other programs' formats."""

from __future__ import annotations

from pathlib import Path

import click


@click.command(name="export")
@click.argument("out", type=click.Path(path_type=Path))
@click.option(
    "--to",
    "form",
    required=True,
    metavar="FORMAT",
    help="csv, parquet, wide, items, clip-benchmark, model-vs-human or wandb.",
)
@click.option(
    "-o",
    "--output",
    "target",
    type=click.Path(path_type=Path),
    help="File or folder to write; OUT/exports/<format's name> by default. Files are replaced.",
)
@click.option("--task", help="Only this task; needed by items where several were measured.")
@click.option(
    "--protocol",
    "protocols",
    multiple=True,
    metavar="ID",
    help="Where several protocols measured the same, take this one (beginning of its id).",
)
@click.option("--intervals", is_flag=True, help="wide: also the ends of the 95 % intervals.")
@click.option("--wandb-project", "project", default="", help="wandb: project (fastclip).")
@click.option("--online", is_flag=True, help="wandb: send now, instead of writing for wandb sync.")
def command(
    out: Path,
    form: str,
    target: Path | None,
    task: str | None,
    protocols: tuple[str, ...],
    intervals: bool,
    project: str,
    online: bool,
) -> int:
    """Write the sweep in OUT for other programs.

    csv, parquet: one row per number. wide: one row per checkpoint. items: one row per picture and
    checkpoint, for mixed models. clip-benchmark, model-vs-human: the files those programs read.
    wandb: one run per training run.
    """
    from fastclip.exports.base import Options
    from fastclip.exports.run import export

    options = Options(intervals=intervals, project=project, online=online)
    click.echo(export(out, form, target, task=task, protocols=protocols, options=options))
    return 0
