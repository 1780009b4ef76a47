"""`fastclip data`: parsing and printing only."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from fastclip.errors import FastclipError, UsageError
from fastclip.machine import usable_cores

if TYPE_CHECKING:
    from fastclip.stimuli.locate import Location

MARKS = {True: "ok  ", False: "BAD ", None: "    "}


@click.group(name="data")
def command() -> None:
    """Verify or fetch data sets."""


@command.command()
@click.argument("sets", nargs=-1, metavar="[NAME | [KIND:]NAME=PATH]...")
@click.option("--data-dir", type=click.Path(path_type=Path), help="Folder that holds data sets.")
@click.option(
    "--data",
    multiple=True,
    metavar="[KIND:]NAME=PATH",
    help="One data set, e.g. tid2013=/sets/tid or iqa:mine=scores.csv. Repeatable.",
)
@click.option("--partial", is_flag=True, help="Go on with what is there of incomplete sets.")
@click.option(
    "--higher-is-better/--lower-is-better",
    "higher_is_better",
    default=None,
    help="Polarity of an iqa: table's score.",
)
def verify(
    sets: tuple[str, ...],
    data_dir: Path | None,
    data: tuple[str, ...],
    partial: bool,
    higher_is_better: bool | None,
) -> int:
    """Decode every picture of data sets and compare them with what is known.

    Without arguments, all sets in --data-dir and --data. Leaves with 0 when nothing is wrong,
    with 3 otherwise.
    """
    from fastclip.stimuli.locate import locate

    named = tuple(text for text in sets if "=" in text)
    wanted = [text.partition("=")[0].rpartition(":")[2] for text in sets]
    found = locate(data_dir, (*data, *named), higher_is_better=higher_is_better)
    missing = [name for name in wanted if name not in found]
    if missing or not found:
        raise UsageError(
            f"no data set '{missing[0]}' here" if missing else "no data set found",
            where=data_dir,
            mend=f"sets found: {', '.join(found) or 'none'}; name the folder that holds the sets "
            "with --data-dir, or a set with NAME=PATH",
        )
    passed = [_verify(found[name], partial) for name in wanted or found]
    return 0 if all(passed) else 3


def _verify(location: Location, partial: bool) -> bool:
    """Print one set's report; True when nothing is wrong."""
    from fastclip.stimuli.verify import verify as verify_dataset

    click.echo(f"{location.name} ({location.path})")
    try:
        report = verify_dataset(location.load(partial=partial), workers=usable_cores())
    except UsageError:
        raise
    except FastclipError as error:
        click.echo(f"  {MARKS[False]}{str(error).replace(chr(10), chr(10) + '      ')}\n")
        return False
    for line in report.lines:
        click.echo(f"  {line}")
    for check in report.checks:
        click.echo(f"  {MARKS[check.passed]}{check.text}")
    click.echo(f"  {report.label}: pictures {report.digest}, labels {report.labels_digest}\n")
    return report.passed


@command.command()
@click.argument("name")
@click.option(
    "--data-dir",
    type=click.Path(path_type=Path),
    default=Path("data"),
    show_default=True,
    help="Where data sets are kept.",
)
@click.option("--url", help="A mirror of the archive.")
@click.option("--yes", is_flag=True, help="Accept the licence without being asked.")
def prepare(name: str, data_dir: Path, url: str | None, yes: bool) -> int:
    """Download NAME (tid2013, kadid10k, cue-conflict, cifar100), check it and unpack it."""
    from fastclip.stimuli.prepare import licence_of
    from fastclip.stimuli.prepare import prepare as fetch

    click.echo(licence_of(name))
    accepted = yes or click.confirm("Do you accept this licence?")
    folder = fetch(name, data_dir, accept_licence=accepted, url=url, say=click.echo)
    click.echo(f"{name} is in {folder}; sweep with --data-dir {data_dir}")
    return 0
