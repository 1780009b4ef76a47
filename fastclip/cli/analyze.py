"""`fastclip analyze`: parsing and printing only."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from fastclip.analysis.base import Analysis, Link
    from fastclip.analysis.source import Source


def choices(command: Any) -> Any:
    """The options that say which records are meant and how they are resampled; for `read`."""
    for option in reversed(
        (
            click.option("--engine", help="Of the records, where the folder holds several."),
            click.option("--precision", help="Of the records, where the folder holds several."),
            click.option(
                "--protocol",
                "protocols",
                multiple=True,
                metavar="ID",
                help="Which protocol, where a task has several (its first letters do). Repeatable.",
            ),
            click.option(
                "--resamples", type=click.IntRange(min=100), default=1000, show_default=True
            ),
            click.option("--seed", type=click.IntRange(min=0), default=0, show_default=True),
        )
    ):
        command = option(command)
    return command


def read(
    out: Path,
    *,
    engine: str | None,
    precision: str | None,
    protocols: tuple[str, ...],
    resamples: int,
    seed: int,
) -> tuple[Source, Analysis]:
    """The folder, and what it shows; what is judged is told on a terminal."""
    from fastclip.analysis.run import analyze
    from fastclip.analysis.source import read_source

    source = read_source(out, engine=engine, precision=precision, protocols=protocols)
    return source, analyze(source, resamples=resamples, seed=seed, say=_say)


def _say(title: str) -> None:
    if sys.stderr.isatty():
        click.echo(f"judging {title}", err=True)


@click.command(name="analyze")
@click.argument("out", type=click.Path(path_type=Path))
@choices
@click.option("-q", "--quiet", is_flag=True, help="Only write OUT/analysis.json.")
def command(out: Path, quiet: bool, **options: Any) -> int:
    """Say what a sweep shows: peaks, trends and links, with their intervals.

    Writes OUT/analysis.json. One primary endpoint per task was declared in OUT/config.json before
    anything was measured; all else is exploratory, and counted.
    """
    from fastclip.analysis.run import write_analysis

    _, analysis = read(out, **options)
    path = write_analysis(out, analysis)
    if not quiet:
        for line in lines_of(analysis):
            click.echo(line)
        click.echo(f"\nEverything: {path}")
    return 0


def lines_of(analysis: Analysis) -> Iterator[str]:
    """The analysis as text; exploratory curves in short, `analysis.json` has their sentences."""
    from fastclip.analysis.sentences import short

    for name, text in analysis.checks.items():
        yield f"{name}: {text}"
    yield "\nPrimary endpoints:"
    for sentence in analysis.sentences or ("none was measured",):
        yield f"- {sentence}"
    if analysis.comparisons:
        yield f"\nExploratory ({analysis.comparisons} comparisons in all, not corrected together):"
    yield from (f"- {short(curve)}" for curve in analysis.curves if not curve.endpoint.primary)
    yield from _types(analysis)
    yield from _links(analysis)
    for note in analysis.notes:
        yield f"\nnote: {note}"


def _types(analysis: Analysis) -> Iterator[str]:
    for group, dataset in dict.fromkeys((found.group, found.dataset) for found in analysis.types):
        mine = [t for t in analysis.types if (t.group, t.dataset) == (group, dataset)]
        peaks = [t for t in mine if t.kind == "peak" and t.q <= 0.05]
        named = ", ".join(f"{t.type} (q {t.q:.3f})" for t in peaks) or "none"
        yield (
            f"- Distortion types of {dataset} that peak, {' '.join(group[:2])} (Benjamini-Hochberg "
            f"over {len(mine)}): {named}"
        )


def _links(analysis: Analysis) -> Iterator[str]:
    if analysis.links:
        yield "\nLinks (levels: descriptive, curves over training correlate without any link):"
    for link in analysis.links:
        yield f"- {link.first} and {link.second}, {link.run}: {'; '.join(_parts(link))}"


def _parts(link: Link) -> Iterator[str]:
    from fastclip.analysis.sentences import probability

    yield f"{link.checkpoints} checkpoints"
    if link.level is not None:
        yield f"levels {link.level:+.2f}"
    if link.increments is not None:
        yield f"increments per doubling {link.increments:+.2f}"
    if link.p is None or link.r is None:
        yield link.reason
    else:
        bounds = "" if link.low is None else f" [{link.low:+.2f}, {link.high:+.2f}]"
        yield (
            f"tested, increments among their neighbours {link.r:+.2f}{bounds}, "
            f"p {probability(link.p)} ({link.method})"
        )
    if link.lag is not None:
        yield f"exploratory, largest at lag {link.lag} ({link.lag_r:+.2f})"
