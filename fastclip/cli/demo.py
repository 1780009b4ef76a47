"""`fastclip demo`: parsing and printing only."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import click


@click.command(name="demo")
@click.option(
    "-o",
    "--output-dir",
    type=click.Path(path_type=Path),
    default=Path("fastclip-demo"),
    show_default=True,
    help="Where everything goes; run again to go on.",
)
@click.option("--seed", type=click.IntRange(min=0), default=0, show_default=True)
@click.option(
    "--threads",
    type=click.IntRange(min=0),
    default=0,
    help="Of the sweep; all cores, four at most, by default.",
)
@click.option("-q", "--quiet", is_flag=True, help="Only the results.")
@click.option("--no-progress", is_flag=True, help="Plain lines, no live bars.")
def command(output_dir: Path, seed: int, threads: int, quiet: bool, no_progress: bool) -> int:
    """Train a tiny CLIP on a drawn world, sweep its checkpoints, report what they show.

    Needs no download and a few minutes on two cores. The toy sets have the published layouts of
    TID2013, cue-conflict and CIFAR-100; their pictures and scores are synthetic.
    """
    from fastclip.cli.summary import print_summary
    from fastclip.demo.run import run_demo
    from fastclip.demo.train import Training
    from fastclip.sweeper.progress import Progress

    training = Training(seed=seed)
    with _training_bar(training.steps, quiet=quiet, live=not no_progress) as report:
        demo = run_demo(
            output_dir,
            threads=threads,
            training=training,
            progress=Progress(quiet=quiet, live=not no_progress),
            report=report,
            say=(lambda text: None) if quiet else lambda text: click.echo(text, err=True),
        )
    print_summary(output_dir / "sweep", demo.outcome)
    click.echo("\nWhat this run shows (synthetic pictures, no human data):")
    for sentence in demo.analysis.sentences:
        click.echo(f"- {sentence}")
    click.echo(f"\nReport: {demo.report}\nFigures: {demo.figures}")
    click.echo("Time: " + ", ".join(f"{k} {v:.0f} s" for k, v in demo.seconds.items()))
    return demo.outcome.exit_code


@contextmanager
def _training_bar(steps: int, *, quiet: bool, live: bool) -> Iterator[Callable[[int, float], None]]:
    """Yield what training reports to: a bar on a terminal, a line per tenth elsewhere."""
    if quiet or not (live and sys.stderr.isatty()):

        def line(step: int, loss: float) -> None:
            if not quiet and (step % max(steps // 10, 1) == 0 or step == steps):
                click.echo(f"step {step}/{steps}  loss {loss:.2f}", err=True)

        yield line
        return
    from rich import progress
    from rich.console import Console

    bar = progress.Progress(
        progress.TextColumn("training"),
        progress.BarColumn(),
        progress.MofNCompleteColumn(),
        progress.TextColumn("loss {task.fields[loss]:.2f}"),
        progress.TimeRemainingColumn(),
        console=Console(stderr=True),
        transient=True,
    )
    task = bar.add_task("training", total=steps, loss=float("nan"))

    def update(step: int, loss: float) -> None:
        bar.start()
        bar.update(task, completed=step, loss=loss)
        if step == steps:
            bar.stop()

    try:
        yield update
    finally:
        bar.stop()
