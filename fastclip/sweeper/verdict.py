"""What a verification shows, in words: whether an engine is right, and what screening costs."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from fastclip.parity.base import SCREENING
from fastclip.sweeper.verify import ALIKE, LEAST, SHARE, SRCC, Number, Verification, Verified

SRCC_BOUND = 1e-4
"""An fp32 engine may move a correlation by so much: by rounding, which changes ranks of near ties;
and a shift that stays the same within so much bends no curve that is drawn."""

ALIKE_BOUND = 0.999
"""Share of pictures that an fp32 engine has to decide as the reference does."""


def exit_code(found: Verification) -> int:
    """1 where a checkpoint could not be measured or an fp32 engine is out of bounds; else 0."""
    return 1 if found.failures or list(misses(found)) else 0


def misses(found: Verification) -> Iterator[str]:
    """What an fp32 engine is out of bounds with; other precisions have no bounds here."""
    if found.precision != "fp32":
        return
    for one in found.checkpoints:
        for number in one.numbers:
            what = f"{number.name} on {number.dataset} at {one.checkpoint}"
            if (number.reference is None) != (number.found is None):
                yield f"{what}: defined by one of the two only"
            elif number.shift is None:
                continue
            elif number.kind == SRCC and not abs(number.shift) <= SRCC_BOUND:
                yield f"{what}: moved by {number.shift:+.4f}, more than {SRCC_BOUND:g}"
            elif number.kind == ALIKE and 1 + number.shift < ALIKE_BOUND:
                yield f"{what}: {1 + number.shift:.2%}, less than {ALIKE_BOUND:.1%}"


def warnings(found: Verification) -> Iterator[str]:
    """Sets that are too small to tell much."""
    for dataset, count in found.pictures.items():
        if count < LEAST:
            yield f"{dataset} has {count:,} pictures, fewer than {LEAST:,}: it tells little"


def sentences(found: Verification) -> Iterator[str]:
    """The outcome; for each run, whether what was moved was moved alike at all checkpoints."""
    what = f"{found.engine} {found.precision}"
    if found.precision == "fp32":
        out = list(misses(found))
        yield from (f"out of bounds: {miss}" for miss in out)
        if not out and found.checkpoints:
            yield (
                f"{what} agrees with {found.reference} fp32: {_largest(found.checkpoints)} "
                f"(allowed: {SRCC_BOUND:g} of SRCC, {ALIKE_BOUND:.1%})"
            )
        return
    word = "Screening" if found.precision in SCREENING else found.precision
    for run in found.runs:
        head = f"{word} costs, {run[0].run} ({run[0].arch}): "
        if len(run) < 2 or not run[0].place:
            yield head + f"{_largest(run)}; one checkpoint does not tell whether a curve bends"
            continue
        yield head + f"{_largest(run)}. {_bend(run)}"


def shifts(run: Sequence[Verified], kind: str) -> dict[tuple[str, str], list[Number]]:
    """(data set, name) -> one number per checkpoint of a run, where all of them have a shift."""
    found: dict[tuple[str, str], list[Number]] = {}
    for one in run:
        for number in one.numbers:
            if number.kind == kind and number.shift is not None:
                found.setdefault((number.dataset, number.name), []).append(number)
    return {key: numbers for key, numbers in found.items() if len(numbers) == len(run)}


def _largest(run: Sequence[Verified]) -> str:
    """The largest shift of SRCC and of shares, and the smallest agreement, of all checkpoints."""
    known: dict[str, list[float]] = {SRCC: [], SHARE: [], ALIKE: []}
    for one in run:
        for number in one.numbers:
            if number.shift is not None:
                known[number.kind].append(number.shift)
    words = [
        f"{subject} moved by up to {max(map(abs, known[kind])):.2g}"
        for kind, subject in ((SRCC, "SRCC"), (SHARE, "shape bias, accuracies and drops"))
        if known[kind]
    ]
    if known[ALIKE]:
        words.append(f"{1 + min(known[ALIKE]):.2%} or more of decisions alike")
    return ", ".join(words) or "nothing could be compared"


def _bend(run: Sequence[Verified]) -> str:
    """Of the correlation (else the share) whose shift changes most, how much, beside its curve."""
    every = shifts(run, SRCC) or shifts(run, SHARE)
    if not every:
        return ""
    (dataset, name), numbers = max(every.items(), key=lambda item: _spread(item[1]))
    moved = ", ".join(f"{_shift(n):+.4f}" for n in numbers)
    places = ", ".join(one.place for one in run)
    spread = _spread(numbers)
    values = [n.reference for n in numbers if n.reference is not None]
    told = f"{name} on {dataset} moved by {moved} ({places})"
    if spread <= SRCC_BOUND:
        return (
            f"{told}: the same at all of them within {SRCC_BOUND:g}; a shift that stays the same "
            "bends no curve"
        )
    return (
        f"{told}: that drifts by {spread:.4f} over training and bends the curve, which itself "
        f"spans {max(values) - min(values):.4f} there"
    )


def _spread(numbers: Sequence[Number]) -> float:
    found = [_shift(number) for number in numbers]
    return max(found) - min(found)


def _shift(number: Number) -> float:
    assert number.shift is not None  # `shifts` keeps no other
    return number.shift
