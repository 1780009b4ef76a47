"""`fastclip verify`: parsing and printing only."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from fastclip.cli.sweep import command as sweep_command
from fastclip.cli.sweep import parse_batch
from fastclip.errors import UsageError

if TYPE_CHECKING:
    from fastclip.sweeper.verify import Number, Verification, Verified

AS_IN_SWEEP = (
    "checkpoints", "model", "tasks", "data_dir", "data", "higher_is_better", "partial",
    "iqa_view", "class_names", "sigma", "distortion", "noise_seed", "noise_at", "engine",
    "precision", "device", "batch_size", "workers", "run", "ema", "tokenizer", "every", "steps",
    "epochs", "memory", "decoder", "cache_dir", "trust_pickle", "no_progress", "quiet",
)  # fmt: skip
"""Options that mean here what they mean to `fastclip sweep`."""


@click.command(name="verify")
@click.option(
    "--reference",
    default="torch",
    show_default=True,
    help="Engine that runs in fp32 to compare with.",
)
@click.option(
    "--limit",
    type=click.IntRange(min=1),
    help="First N pictures of each set.  [default: 1200]",
)
@click.option("--json", "as_json", is_flag=True, help="Everything, as JSON.")
def command(
    checkpoints: tuple[str, ...],
    reference: str,
    as_json: bool,
    batch_size: str,
    ema: bool,
    quiet: bool,
    no_progress: bool,
    **options: Any,
) -> int:
    """Compare an engine or a precision with fp32 of the reference, on your own checkpoints.

    The first, a middle and the last checkpoint of each run of CKPTS are measured twice. Says how
    far scores moved, how many decisions are alike, and whether the shift drifts over training, in
    which case curves bend. Exit codes: 0, or 1 where an fp32 engine moves an SRCC by more than
    0.0001 or decides fewer than 99.9 % of pictures alike, or a checkpoint failed.
    """
    from fastclip.sweeper.config import SweepConfig
    from fastclip.sweeper.progress import Progress
    from fastclip.sweeper.verdict import exit_code
    from fastclip.sweeper.verify import verify

    if not checkpoints:
        raise UsageError("no checkpoints given", mend="fastclip verify CKPTS... (a folder will do)")
    config = SweepConfig(
        checkpoints=checkpoints,
        output_dir=Path("verify"),  # never made
        weights="ema" if ema else "raw",
        batch_size=parse_batch(batch_size),
        **options,
    )
    progress = partial(Progress, quiet=quiet, live=not no_progress)
    found = verify(config, reference=reference, progress=progress)
    click.echo(json.dumps(as_values(found), indent=1) if as_json else "\n".join(lines_of(found)))
    return exit_code(found)


command.params[:0] = [p for p in sweep_command.params if p.name in AS_IN_SWEEP]


def as_values(found: Verification) -> dict[str, Any]:
    """The verification as JSON values, with its shifts and what it shows."""
    from fastclip.sweeper.verdict import exit_code, sentences, warnings

    body = asdict(found)
    for checkpoint, one in zip(body["checkpoints"], found.checkpoints, strict=True):
        for values, number in zip(checkpoint["numbers"], one.numbers, strict=True):
            values["shift"] = number.shift
    return body | {
        "warnings": list(warnings(found)),
        "sentences": list(sentences(found)),
        "exit_code": exit_code(found),
    }


def lines_of(found: Verification) -> Iterator[str]:
    """The verification as text: a table per run, warnings, failures, and what it shows."""
    from fastclip.sweeper.verdict import sentences, warnings

    pictures = ", ".join(f"{count:,} of {name}" for name, count in found.pictures.items())
    what, reference = f"{found.engine} {found.precision}", f"{found.reference} fp32"
    yield f"{what} against {reference} on {found.device}; pictures: {pictures}"
    for run in found.runs:
        yield ""
        yield f"{run_of(run)}: values by {reference}, and how far {what} moves them"
        yield from table(run)
    yield ""
    yield from (f"warning: {text}" for text in warnings(found))
    yield from (f"failed: {name}: {error}" for name, error in found.failures.items())
    yield from sentences(found)


def run_of(run: Sequence[Verified]) -> str:
    """What a run is called."""
    averaged = ", averaged weights" if run[0].weights == "ema" else ""
    return f"{run[0].run} ({run[0].arch}{averaged})"


def table(run: Sequence[Verified]) -> Iterator[str]:
    """One run: a line per number; per checkpoint the reference's value, and the shift."""
    heads = [_head(one) for one in run]
    lines = dict.fromkeys((n.dataset, n.name) for one in run for n in one.numbers)
    by_name = [{(n.dataset, n.name): n for n in one.numbers} for one in run]
    cells = [[_cell(numbers.get(key)) for numbers in by_name] for key in lines]
    norms = [_norm(one.relative_l2) for one in run]
    widths = [max(map(len, column)) for column in zip(heads, norms, *cells, strict=True)]
    title = "relative L2 of embeddings"
    left = max(len(title), *(len(name) + 2 for _, name in lines))

    def line(label: str, columns: Sequence[str]) -> str:
        right = (cell.rjust(width) for cell, width in zip(columns, widths, strict=True))
        return "   ".join((label.ljust(left), *right))

    yield line("", heads)
    for dataset in dict.fromkeys(dataset for dataset, _ in lines):
        yield dataset
        for (mine, name), columns in zip(lines, cells, strict=True):
            if mine == dataset:
                yield line(f"  {name}", columns)
    yield line(title, norms)


def _head(one: Verified) -> str:
    where = (("step", one.step), ("epoch", one.epoch))
    place = next((f"{word} {value}" for word, value in where if value is not None), one.checkpoint)
    return f"{one.place}, {place}" if one.place else one.checkpoint


def _cell(number: Number | None) -> str:
    from fastclip.sweeper.verify import ALIKE

    if number is None:
        return ""
    if number.kind == ALIKE and number.found is not None:
        return f"{number.found:.2%}"
    value = "NA" if number.reference is None else f"{number.reference:.4f}"
    return f"{value} {'NA' if number.shift is None else f'{number.shift:+.4f}':>7}"


def _norm(value: float | None) -> str:
    return "" if value is None else f"{value:.1e}"
