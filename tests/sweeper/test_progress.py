"""What a sweep says while it goes on."""

from __future__ import annotations

import io

import pytest

from fastclip.sweeper import progress as module
from fastclip.sweeper.progress import Progress


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Seconds, for tests to set."""
    now = [100.0]
    monkeypatch.setattr(module.time, "monotonic", lambda: now[0])
    return now


def test_a_line_has_who_did_it_how_fast_and_what_is_left(clock: list[float]) -> None:
    stream = io.StringIO()
    told = Progress(live=False, stream=stream)
    told.start(4)
    clock[0] += 10
    told.pictures(500)
    told.by("worker-2")
    told.checkpoint_done("run/epoch_1.pt")
    assert stream.getvalue() == (
        "[1/4] run/epoch_1.pt: done by worker-2  50 pictures/s, 30 s left\n"
    )


def test_failures_are_told_and_counted_as_seen(clock: list[float]) -> None:
    stream = io.StringIO()
    told = Progress(quiet=True, stream=stream)
    told.start(2)
    told.checkpoint_failed("run/epoch_1.pt", "cut short")
    told.checkpoint_done("run/epoch_2.pt")
    assert stream.getvalue() == "run/epoch_1.pt: failed: cut short\n"


def test_workers_are_told_one_by_one_while_there_is_room(clock: list[float]) -> None:
    stream = io.StringIO()
    told = Progress(live=False, stream=stream)
    told.start(9)
    for number in range(1, 8):
        clock[0] += 20
        told.by(f"worker-{number % 2 + 1}")
    told.finish()
    assert stream.getvalue() == "worker-1 3, worker-2 4 (1.5/min)\n"


def test_of_many_workers_the_slowest_and_the_fastest_are_told(clock: list[float]) -> None:
    stream = io.StringIO()
    told = Progress(live=False, stream=stream)
    told.start(64)
    for turn in range(7):
        clock[0] += 30
        for number in range(64):
            if turn % (1 + number % 2) == 0:
                told.by(f"worker-{number}")
    told.finish()
    assert stream.getvalue() == "64 workers, 1.0 to 2.0/min each\n"


def test_a_note_is_said_once_and_a_death_each_time() -> None:
    stream = io.StringIO()
    told = Progress(live=False, stream=stream)
    for _ in range(2):
        told.note("engine onnxruntime")
        told.say("worker-1 died")
    assert stream.getvalue().splitlines() == ["engine onnxruntime", *["worker-1 died"] * 2]
