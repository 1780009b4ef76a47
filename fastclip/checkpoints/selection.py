"""Choose among found checkpoints, and read what `--every`, `--steps`, `--epochs`, `--shard` say."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from fastclip.checkpoints.base import Checkpoint
from fastclip.errors import UsageError

Bounds = tuple[int | None, int | None]


def parse_range(text: str) -> Bounds:
    """`"A:B"`, both inclusive; either may be left out; `"A"` is `A:A`.

    Raises:
        UsageError: not of that form, or A is larger than B.
    """
    low, colon, high = text.strip().partition(":")
    parts = (low, high if colon else low)
    if all(not part or part.isdecimal() for part in parts) and any(parts):
        first, last = (int(part) if part else None for part in parts)
        if first is None or last is None or first <= last:
            return first, last
    raise UsageError(f"'{text}' is not a range", mend="write A:B (both inclusive), A: or :B")


def parse_shard(text: str) -> tuple[int, int]:
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


def select(
    checkpoints: Sequence[Checkpoint],
    *,
    every: int = 1,
    steps: Bounds | None = None,
    epochs: Bounds | None = None,
) -> tuple[list[Checkpoint], list[tuple[Path, str]]]:
    """Those inside the ranges, then of each run the first and every K-th after it.

    Anchors stay: they have no place in a run.

    Returns:
        The chosen, in their order; and `(path, reason)` of each that has no step or epoch to be
        chosen by. What lies outside a range is left out in silence: it was asked for.

    Raises:
        UsageError: `every` is less than 1.
    """
    if every < 1:
        raise UsageError(f"--every {every} is less than 1")
    kept: list[Checkpoint] = []
    unknown: list[tuple[Path, str]] = []
    seen: dict[str, int] = {}
    for checkpoint in checkpoints:
        if checkpoint.anchor is None:
            asked = (("step", steps, checkpoint.step), ("epoch", epochs, checkpoint.epoch))
            silent = [word for word, bounds, value in asked if bounds and value is None]
            if silent:
                reason = f"neither its name nor the file says its {silent[0]}"
                unknown.append((checkpoint.path, reason))
                continue
            if not all(_inside(value, bounds) for _, bounds, value in asked):
                continue
            index = seen.get(checkpoint.run, 0)
            seen[checkpoint.run] = index + 1
            if index % every:
                continue
        kept.append(checkpoint)
    return kept, unknown


def _inside(value: int | None, bounds: Bounds | None) -> bool:
    if bounds is None or value is None:
        return True
    low, high = bounds
    return (low is None or low <= value) and (high is None or value <= high)
