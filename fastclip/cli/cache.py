"""`fastclip cache`: what is kept between sweeps, and how to be rid of it."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path

import click

from fastclip.errors import UsageError
from fastclip.stimuli.cache import cache_folder, entries, parse_size, prune, size_text

_folder_option = click.option(
    "--cache-dir", type=click.Path(path_type=Path), help="The cache folder. [env: FASTCLIP_CACHE]"
)


@click.group(name="cache")
def command() -> None:
    """List or prune cached pictures and graphs."""


@command.command(name="ls")
@_folder_option
def ls_(cache_dir: Path | None) -> None:
    """List what is cached, what was used last first."""
    folder = cache_folder(cache_dir)
    found = entries(folder)
    for entry in found:
        used = datetime.fromtimestamp(entry.used).strftime("%Y-%m-%d %H:%M")
        click.echo(f"{entry.kind:9} {size_text(entry.size):>10}  {used}  {entry.what}")
    total = size_text(sum(entry.size for entry in found))
    click.echo(f"{len(found)} entries, {total} in {folder}")


@command.command(name="prune")
@_folder_option
@click.option("--older-than", type=float, metavar="DAYS", help="What was not used for so long.")
@click.option("--max-size", metavar="SIZE", help="The least recently used beyond this (20GiB).")
@click.option("--all", "everything", is_flag=True, help="All of it.")
def prune_(
    cache_dir: Path | None, older_than: float | None, max_size: str | None, everything: bool
) -> None:
    """Delete from the cache; everything in it can be made again."""
    if older_than is None and max_size is None and not everything:
        raise UsageError(
            "nothing says what to delete",
            mend="give --older-than DAYS, --max-size SIZE or --all",
        )
    folder = cache_folder(cache_dir)
    limit = None if max_size is None else parse_size(max_size)
    gone = prune(folder, older_than_days=older_than, everything=everything, max_size=limit)
    click.echo(
        f"deleted {len(gone)} entries, {size_text(sum(entry.size for entry in gone))}, in {folder}"
    )
