"""`fastclip data`: parsing and printing only."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from fastclip.errors import DataError, FastclipError, RefusalError, UsageError
from fastclip.machine import usable_cores

if TYPE_CHECKING:
    from collections.abc import Iterator

    from fastclip.stimuli.base import PictureSource
    from fastclip.stimuli.locate import Location

MARKS = {True: "ok  ", False: "BAD ", None: "    "}


@click.group(name="data")
def command() -> None:
    """Verify or fetch data sets, or compare picture decoders on them."""


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
    found = _find(sets, data_dir, data, higher_is_better)
    passed = [_verify(location, partial) for location in found]
    return 0 if all(passed) else 3


def _find(
    sets: tuple[str, ...],
    data_dir: Path | None,
    data: tuple[str, ...],
    higher_is_better: bool | None = None,
) -> list[Location]:
    """The sets that are named, or all there are."""
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
    return [found[name] for name in wanted or found]


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


@command.command()
@click.argument("sets", nargs=-1, metavar="[FOLDER | NAME | [KIND:]NAME=PATH]...")
@click.option("--data-dir", type=click.Path(path_type=Path), help="Folder that holds data sets.")
@click.option("--decoder", "decoders", multiple=True, help="Of dali, dali-mixed, dali-resize, ...")
@click.option("--size", default=224, show_default=True, help="Input size to compare at, too.")
@click.option("--limit", type=click.IntRange(min=1), help="First N pictures of each set.")
@click.option("--device", default="cuda", show_default=True, help="For decoding on a GPU.")
@click.option("--json", "out", type=click.Path(path_type=Path), help="Write the figures here.")
def decoders(
    sets: tuple[str, ...],
    data_dir: Path | None,
    decoders: tuple[str, ...],
    size: int,
    limit: int | None,
    device: str,
    out: Path | None,
) -> int:
    """Measure what DALI's decoders change in the pixels of pictures.

    Each is compared with the reference (libjpeg-turbo by Pillow, fastclip's resize), on the
    pictures below a FOLDER or those of a data set. Without --decoder, all that run here.
    """
    from fastclip.files import write_json
    from fastclip.stimuli.base import PixelSpec
    from fastclip.stimuli.differences import OTHERS, compare

    figures = []
    for name, source in _sources(sets, data_dir):
        click.echo(f"{name}: {len(source)} pictures")
        for decoder in decoders or OTHERS:
            try:
                found = compare(source, decoder, PixelSpec(size, size), device=device, limit=limit)
            except RefusalError as error:
                if decoders or isinstance(error, DataError):
                    raise
                click.echo(f"  {decoder:18} not here: {error.what}")
                continue
            for row in (difference.figures() for difference in found):
                figures.append({"set": name, **row})
                click.echo(DIFFERENCE.format(**row))
    if out is not None:
        write_json(out, figures)
    return 0


DIFFERENCE = (
    "  {decoder:18} {at:12} {equal_pixels_percent:9.4f} % of pixels equal, mean {mean:.4f}, "
    "max {max}; {identical_pictures} of {pictures} pictures identical"
)


def _sources(sets: tuple[str, ...], data_dir: Path | None) -> Iterator[tuple[str, PictureSource]]:
    """Pictures by name: those of folders, then those of data sets."""
    from fastclip.stimuli.sources import FilePictures, Folder

    folders = [text for text in sets if "=" not in text and Path(text).is_dir()]
    for text in folders:
        pictures = Folder(Path(text)).pictures()
        if not pictures:
            raise UsageError("no pictures below this folder", where=text)
        yield text, FilePictures(Path(text), pictures)
    others = tuple(text for text in sets if text not in folders)
    if others or not folders:
        for location in _find(others, data_dir, ()):
            yield location.name, location.load(partial=True).pictures
