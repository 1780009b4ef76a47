"""`fastclip ls`: what there is to choose from."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from typing import Any

import click


@click.group(name="ls")
def command() -> None:
    """List models, tasks, data sets, distortions, decoders and engines."""


@command.command()
@click.argument("pattern", default="")
def models(pattern: str) -> None:
    """Architectures open_clip knows (those whose name contains PATTERN)."""
    import open_clip

    for name in open_clip.list_models():
        if pattern.lower() in name.lower():
            click.echo(name)


@command.command()
def tasks() -> None:
    """What can be measured."""
    from fastclip.evaluators import TASKS

    for name in TASKS:
        click.echo(f"{name:24}{_first_line(TASKS.get(name))}")


@command.command()
def datasets() -> None:
    """Data sets: source, licence, size, citation."""
    from fastclip.stimuli.info import INFOS

    for info in INFOS.values():
        click.echo(f"{info.name}: {info.title}")
        click.echo(f"  source:  {info.source}\n  licence: {info.licence}\n  size:    {info.size}")
        for line in info.citation.strip().splitlines():
            click.echo(f"  {line}")
        click.echo()


@command.command()
def distortions() -> None:
    """Distortions, their parameters and their published levels."""
    from fastclip.distortions import DISTORTIONS
    from fastclip.distortions.levels import PUBLISHED

    for name in DISTORTIONS:
        kind = DISTORTIONS.get(name)
        click.echo(f"{name:20}{', '.join(kind.parameters):16}{_summary(kind)}")
        for title, kinds in PUBLISHED.items():
            if name in kinds:
                levels = ", ".join(_level(level) for level in kinds[name])
                click.echo(f"{'':20}{title:16}{levels}")


def _level(level: float | tuple[float, ...]) -> str:
    return f"{level:g}" if isinstance(level, int | float) else ":".join(f"{x:g}" for x in level)


@command.command()
def decoders() -> None:
    """What can decode pictures; each is another pixel definition."""
    from fastclip.stimuli.decoders import DECODERS

    for name in DECODERS:
        click.echo(f"{name:20}{_summary(DECODERS.get(name))}")


@command.command()
def engines() -> None:
    """Engines, what they run on, and whether each runs here."""
    from fastclip.engines import ENGINES

    for name in ENGINES:
        engine = ENGINES.get(name)
        click.echo(f"{name:22}{', '.join(engine.precisions):18}{_first_line(engine)}")
        for device in engine.devices:
            reason = engine.unavailable(device)
            if reason is not None:
                click.echo(f"{'':22}not here: {reason}")


def _first_line(thing: Callable[..., Any]) -> str:
    """First line of the documentation of the module that `thing` is defined in."""
    return (import_module(thing.__module__).__doc__ or "").splitlines()[0]


def _summary(kind: type) -> str:
    """First line of a class's documentation."""
    return (kind.__doc__ or "").splitlines()[0]
