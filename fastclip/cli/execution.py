"""`fastclip sweep`'s options of who measures: one process, several, or a cluster."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import click

from fastclip.checkpoints.selection import parse_shard
from fastclip.sweeper.executors import EXECUTORS


class ShardType(click.ParamType):  # type: ignore[type-arg]
    """`I/N`: the I-th of N shares, from 1."""

    name = "I/N"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[int, int]:
        return value if isinstance(value, tuple) else parse_shard(str(value))


OPTIONS = (
    click.option(
        "--executor",
        type=click.Choice(list(EXECUTORS)),
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
