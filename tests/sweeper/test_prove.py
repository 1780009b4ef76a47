"""Encoding may run ahead of the proof that the right weights are in the engine; results may not."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

import fastclip
from fastclip.parity.base import ParityReport
from fastclip.parity.canary import Canary
from fastclip.sweeper import measure
from fastclip.sweeper.measure import encode_proven


@pytest.fixture
def events(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What `encode_proven` did: three units encoded, a proof, units given out."""
    told: list[str] = []

    def encode(stage: Any, units: Any, seconds: Any) -> Iterator[str]:
        for unit in "abc":
            told.append(f"encode {unit}")
            yield unit

    monkeypatch.setattr(measure, "encode", encode)
    monkeypatch.setattr(measure, "prove", lambda stage, loaded: told.append("prove"))
    return told


class Canaries:
    """A stage whose canary is there after so many questions."""

    def __init__(self, after: int) -> None:
        self.left = after

    @property
    def can_prove(self) -> bool:
        self.left -= 1
        return self.left < 0


@pytest.mark.parametrize(
    ("after", "expected"),
    [
        (0, "prove, encode a, give a, encode b, give b, encode c, give c"),
        (1, "encode a, prove, give a, encode b, give b, encode c, give c"),
        (2, "encode a, encode b, prove, give a, give b, encode c, give c"),
        (9, "encode a, encode b, encode c, prove, give a, give b, give c"),
    ],
)
def test_nothing_is_given_out_before_the_proof(
    after: int, expected: str, events: list[str]
) -> None:
    stage: Any = Canaries(after)
    for unit in encode_proven(stage, [], SimpleNamespace(seconds={})):  # type: ignore[arg-type]
        events.append(f"give {unit}")
    assert ", ".join(events) == expected


@pytest.fixture
def made(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """When the canary, which takes its time, was there."""
    moments: list[float] = []
    make = Canary.__init__

    def slow(self: Canary, *args: Any, **options: Any) -> None:
        time.sleep(1.5)
        make(self, *args, **options)
        moments.append(time.monotonic())

    monkeypatch.setattr(Canary, "__init__", slow)
    return moments


def test_the_first_checkpoint_is_encoded_while_the_canary_is_made(
    run_folder: Path,
    sets: tuple[str, ...],
    shared_cache: Path,
    tmp_path: Path,
    made: list[float],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Every record is there although the canary took its time, and none before it."""
    encoded: list[float] = []
    records: list[int] = []
    encode_view, prove = measure._encode_view, measure.prove

    def encode(stage: Any, key: str) -> Any:
        encoded.append(time.monotonic())
        return encode_view(stage, key)

    def look(stage: Any, loaded: Any) -> None:
        records.append(sum(1 for _ in (tmp_path / "records").glob("*/*.json")))
        prove(stage, loaded)

    monkeypatch.setattr(measure, "_encode_view", encode)
    monkeypatch.setattr(measure, "prove", look)
    rows = fastclip.sweep(run_folder, tmp_path, data=sets, cache_dir=shared_cache)
    assert not rows.attrs["failures"]
    assert encoded[0] < made[0]
    assert records[0] == 0
    assert rows["checkpoint"].nunique() == 3


@pytest.mark.usefixtures("made")
def test_a_proof_that_fails_late_leaves_no_record(
    run_folder: Path,
    sets: tuple[str, ...],
    shared_cache: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    failed = ParityReport(False, {"image_relative_l2": 1.0}, {"image_relative_l2": 1e-4}, 0.0)
    monkeypatch.setattr(Canary, "compare", lambda *args: failed)
    rows = fastclip.sweep(run_folder, tmp_path, data=sets, cache_dir=shared_cache)
    assert len(rows.attrs["failures"]) == 3
    assert all("the canary failed" in error for error in rows.attrs["failures"].values())
    assert not list((tmp_path / "records").glob("*/*.json"))
