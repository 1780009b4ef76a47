"""`fastclip sweep`'s options of who measures: one process, several, or a cluster."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import click

from fastclip.errors import UsageError

Shard = tuple[int, int]


class ShardType(click.ParamType):  # type: ignore[type-arg]
    """`I/N`: the I-th of N shares, from 1."""

    name = "I/N"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> Shard:
        return value if isinstance(value, tuple) else parse_shard(str(value))


def parse_shard(text: str) -> Shard:
    """`(I, N)` of "I/N".

    Raises:
        UsageError: it is no share.
    """
    number, _, shards = text.partition("/")
    if number.isdecimal() and shards.isdecimal() and 1 <= int(number) <= int(shards):
        return int(number), int(shards)
    raise UsageError(
        f"'{text}' is no share", where="--shard", mend="I/N with I from 1 to N, e.g. 3/8"
    )


OPTIONS = (
    click.option(
        "--executor",
        type=click.Choice(["local", "ray"]),
        default="local",
        show_default=True,
        help="Workers on this machine, or on a Ray cluster.",
    ),
    click.option(
        "--processes",
        type=click.IntRange(min=0),
        default=0,
        show_default=True,
        help="Workers, a GPU or a share of the cores each; 0: one per GPU, one on a CPU.",
    ),
    click.option("--address", help="Of the Ray cluster, e.g. auto or HEAD:6379."),
    click.option(
        "--shard",
        type=ShardType(),
        help="Only share I of N; for array jobs that meet in one output folder.",
    ),
)


def execution_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add them to a command."""
    for option in reversed(OPTIONS):
        command = option(command)
    return command
