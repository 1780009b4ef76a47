"""What a verification says of figures whose meaning is known."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest

from fastclip.checkpoints.base import Checkpoint
from fastclip.sweeper.plan import Group, Plan
from fastclip.sweeper.verdict import exit_code, misses, sentences, warnings
from fastclip.sweeper.verify import ALIKE, SRCC, Number, Verification, Verified, choose_checkpoints

PLACES = ("first", "middle", "last")


def made(
    shifts: Sequence[float | None], *, precision: str = "bf16", alike: float = 1.0
) -> Verification:
    """A run whose SRCC is 0.2, 0.4, 0.5 by the reference and that plus `shifts` by bf16."""
    checkpoints = []
    for place, value, shift in zip(PLACES, (0.2, 0.4, 0.5), shifts, strict=False):
        numbers = (
            Number(
                "tid2013", "SRCC, cosine", SRCC, value, None if shift is None else value + shift
            ),
            Number("cifar100", "decisions alike, clean", ALIKE, 1.0, alike),
        )
        checkpoints.append(
            Verified(f"run/{place}.pt", "run", "ViT", "raw", place, None, None, None, numbers)
        )
    return Verification(
        "openvino", precision, "cpu", "torch", {"tid2013": 1210, "cifar100": 900},
        tuple(checkpoints), {},
    )  # fmt: skip


def test_a_shift_that_drifts_bends_the_curve() -> None:
    (told,) = sentences(made((-0.0150, -0.0040, 0.0015), alike=0.9871))
    assert told.startswith("Screening costs, run (ViT): SRCC moved by up to 0.015, 98.71%")
    assert "-0.0150, -0.0040, +0.0015 (first, middle, last)" in told
    assert "drifts by 0.0165 over training" in told
    assert "spans 0.3000" in told


def test_a_shift_that_stays_bends_nothing() -> None:
    (told,) = sentences(made((-0.0150, -0.01504, -0.01496)))
    assert told.endswith("a shift that stays the same bends no curve")
    assert "SRCC moved by up to 0.015, 100.00%" in told


def test_one_checkpoint_tells_nothing_of_curves() -> None:
    (told,) = sentences(made((-0.0150,)))
    assert told.endswith("one checkpoint does not tell whether a curve bends")


@pytest.mark.parametrize(
    ("shifts", "alike", "said"),
    [
        ((9e-5, -9e-5, 0.0), 0.9991, None),
        ((0.0, 2e-4, 0.0), 1.0, "SRCC, cosine on tid2013 at run/middle.pt: moved by +0.0002"),
        ((0.0, float("nan"), 0.0), 1.0, "SRCC, cosine on tid2013 at run/middle.pt: moved by +nan"),
        ((0.0, None, 0.0), 1.0, "SRCC, cosine on tid2013 at run/middle.pt: defined by one"),
        ((0.0, 0.0, 0.0), 0.998, "decisions alike, clean on cifar100 at run/first.pt: 99.80%"),
    ],
)
def test_an_fp32_engine_has_bounds(
    shifts: Sequence[float | None], alike: float, said: str | None
) -> None:
    found = made(shifts, precision="fp32", alike=alike)
    told = list(sentences(found))
    assert exit_code(found) == (said is not None)
    if said is None:
        assert told == [
            "openvino fp32 agrees with torch fp32: SRCC moved by up to 9e-05, 99.91% or more of "
            "decisions alike (allowed: 0.0001 of SRCC, 99.9%)"
        ]
    else:
        assert told[0].startswith(f"out of bounds: {said}")
    assert not list(misses(made(shifts, alike=alike)))


def test_small_sets_are_warned_of() -> None:
    (told,) = warnings(made((0.0, 0.0, 0.0)))
    assert told.startswith("cifar100 has 900 pictures, fewer than 1,000")


def checkpoint(run: str, step: int) -> Checkpoint:
    return Checkpoint(Path(f"/{run}/step_{step}.pt"), run, "torch", "stamp", step=step)


@pytest.mark.parametrize(
    ("count", "rows"), [(1, {0: "first"}), (2, {0: "first", 1: "last"}), (9, {0: "first",
     4: "middle", 8: "last"})],
)  # fmt: skip
def test_first_middle_and_last_of_each_run_and_every_anchor(
    count: int, rows: dict[int, str]
) -> None:
    runs = [[checkpoint(run, step) for step in range(count)] for run in ("a", "b")]
    anchors = [
        Checkpoint(Path(f"/hub/{k}.pt"), "openclip", "torch", "s", anchor=f"openclip:V/{k}")
        for k in range(5)
    ]
    one, other = (Group(None, tuple(c)) for c in ((*runs[0], *runs[1], *anchors), runs[1]))  # type: ignore[arg-type]
    chosen = list(choose_checkpoints(Plan((one, other), (), ())))
    expected = [(runs[k][row], place) for k in (0, 1, 1) for row, place in rows.items()]
    assert sorted(chosen, key=str) == sorted([*expected, *((a, "") for a in anchors)], key=str)
