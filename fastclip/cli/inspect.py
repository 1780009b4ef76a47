"""`fastclip inspect CKPT`: what a checkpoint holds, and who says so."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from math import prod
from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from fastclip.checkpoints.base import Checkpoint, CheckpointFile, TensorInfo


@click.command(name="inspect")
@click.argument("checkpoint", metavar="CKPT")
@click.option("-m", "--model", default="auto", help="open_clip name or JSON config.")
@click.option("--weights", type=click.Choice(["raw", "ema"]), default="raw", show_default=True)
@click.option("--samples-per-epoch", type=int, help="For runs that do not say it themselves.")
@click.option("--trust-pickle", is_flag=True, help="Unpickle anything: this runs the file's code.")
def command(
    checkpoint: str,
    model: str,
    weights: str,
    samples_per_epoch: int | None,
    trust_pickle: bool,
) -> None:
    """Show format, place in training, tensors and architecture of CKPT; reads no weights.

    CKPT is a file, a Hugging Face folder or an open_clip tag (openclip:ViT-B-16/openai).
    """
    from fastclip.checkpoints import open_checkpoint
    from fastclip.checkpoints.provenance import explain

    found = _describe(checkpoint, weights)
    with open_checkpoint(found, trust_pickle=trust_pickle) as file:
        click.echo(found.name)
        _line("path", str(found.path))
        _line("format", f"{found.format}, tensors named as in {file.layout}")
        for field, said in explain(found, file.metadata, samples_per_epoch).items():
            value = "NA" if said.value is None else f"{said.value:,}"
            _line(field.replace("_", " "), f"{value}  ({said.source})")
        extra = file.metadata.extra
        _line("weights", found.weights + (" (averaged ones too: ema)" if extra.get("ema") else ""))
        _line("optimizer", "in the file, never read" if extra.get("optimizer") else "not there")
        _line("stamp", found.stamp)
        _line("architecture", *_architecture(file, found, model))
        _line("tensors", *_groups(file.tensors))


def _describe(checkpoint: str, weights: str) -> Checkpoint:
    from fastclip.checkpoints import describe
    from fastclip.checkpoints.anchors import PREFIX

    if checkpoint.startswith(PREFIX):
        from fastclip.checkpoints.find import find

        return find([checkpoint], weights=weights).checkpoints[0]
    return describe(Path(checkpoint).expanduser(), weights=weights)


def _architecture(file: CheckpointFile, checkpoint: Checkpoint, model: str) -> list[str]:
    from fastclip.errors import FastclipError
    from fastclip.towers.identify import identify

    try:
        architecture = identify(file, checkpoint, model)
    except FastclipError as error:
        return ["not told", *str(error).splitlines()]
    pixels = architecture.preprocessing.pixels
    return [
        f"{architecture.name}  (from {architecture.source})",
        f"pictures {pixels.width} x {pixels.height}",
        *(f"guessed: {guess}" for guess in architecture.guessed),
    ]


def _groups(tensors: Mapping[str, TensorInfo]) -> list[str]:
    """One line for all tensors, then one for each part of the model."""
    groups: dict[str, list[TensorInfo]] = {}
    for name, info in tensors.items():
        groups.setdefault(".".join(name.split(".")[:2]), []).append(info)
    width = max(map(len, groups))
    lines = [f"{len(tensors):,} with {_count(tensors.values()):,} numbers"]
    for group, members in groups.items():
        dtypes = ", ".join(sorted({info.dtype for info in members}))
        lines.append(f"{group:{width}}  {len(members):5,}  {_count(members):13,}  {dtypes}")
    return lines


def _count(infos: Iterable[TensorInfo]) -> int:
    return sum(prod(info.shape) for info in infos)


def _line(label: str, first: str, *rest: str) -> None:
    click.echo(f"  {label:14}{first}")
    for line in rest:
        click.echo(f"  {'':14}{line}")
