"""Scoring in the background: order, bounds, errors."""

from __future__ import annotations

import threading
import time

import pytest

from fastclip.sweeper.background import AHEAD, Background


def test_jobs_run_in_order_in_one_other_thread() -> None:
    seen: list[tuple[int, int]] = []
    with Background() as background:
        for number in range(20):
            background.submit(lambda n=number: seen.append((n, threading.get_ident())))  # type: ignore[misc]
    assert [number for number, _ in seen] == list(range(20))
    assert len({thread for _, thread in seen}) == 1
    assert seen[0][1] != threading.get_ident()


def test_few_jobs_wait_so_that_embeddings_do_not_pile_up() -> None:
    gate = threading.Event()
    taken: list[int] = []

    def feed(background: Background) -> None:
        for number in range(AHEAD + 3):
            background.submit(gate.wait)  # type: ignore[arg-type]
            taken.append(number)

    with Background() as background:
        feeder = threading.Thread(target=feed, args=(background,))
        feeder.start()
        time.sleep(0.2)
        assert len(taken) == AHEAD + 1
        gate.set()
        feeder.join()


def test_what_a_job_raises_comes_out() -> None:
    def fail() -> None:
        raise OSError("disk full")

    with pytest.raises(OSError, match="disk full"), Background() as background:
        background.submit(fail)
        background.wait()
    with pytest.raises(OSError, match="disk full"), Background() as background:
        background.submit(fail)
