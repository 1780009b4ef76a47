"""Generated pictures are made ahead of an engine that goes through a set, and never too many."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import pytest

from fastclip.errors import DataError
from fastclip.stimuli.generated import AHEAD, GeneratedPixels


class Made:
    """Pictures of 1 x 1 whose value is their row; remembers what was made, and where."""

    def __init__(self) -> None:
        self.batches: list[list[int]] = []
        self.threads: set[int] = set()
        self.hold = threading.Event()
        self.hold.set()

    def __call__(self, rows: Sequence[int]) -> npt.NDArray[np.uint8]:
        self.batches.append(list(rows))
        self.threads.add(threading.get_ident())
        assert self.hold.wait(5)
        if 99 in rows:
            raise DataError("the last one is bad")
        return np.array(rows, np.uint8).reshape(-1, 1, 1, 1).repeat(3, -1)


def generated(made: Made, count: int) -> GeneratedPixels:
    return GeneratedPixels(made, np.arange(count), (count, 1, 1, 3))


def settled(made: Made, count: int) -> None:
    end = time.monotonic() + 5
    while len(made.batches) < count and time.monotonic() < end:
        time.sleep(0.002)
    time.sleep(0.02)
    assert len(made.batches) == count


def test_a_pass_is_made_once_and_ahead() -> None:
    made = Made()
    pixels = generated(made, 10)
    got = [pixels[lo : lo + 4] for lo in (0, 4, 8)]
    assert np.concatenate(got)[:, 0, 0, 0].tolist() == list(range(10))
    settled(made, 3 + AHEAD)  # the next pass has begun
    assert sorted(made.batches[:3]) == [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9]]
    assert sorted(made.batches[3:]) == [[0, 1, 2, 3], [4, 5, 6, 7]]
    assert threading.get_ident() not in made.threads
    for lo in (0, 4, 8):
        assert np.array_equal(pixels[lo : lo + 4], got[lo // 4])


def test_batches_of_another_size_are_made_ahead_in_that_size() -> None:
    made = Made()
    pixels = generated(made, 12)
    pixels[0:6]
    for lo in (0, 4, 8):
        pixels[lo : lo + 4]
    pixels._pool.submit(time.sleep, 0).result()  # what was begun before has begun by now
    time.sleep(0.05)
    before = len(made.batches)
    for lo in (0, 4, 8):
        pixels[lo : lo + 4]
    settled(made, before + 3)


def test_no_more_than_that_is_held() -> None:
    made = Made()
    pixels = generated(made, 100)
    assert pixels[0:2].shape == (2, 1, 1, 3)
    settled(made, 1 + AHEAD)


def test_requests_in_no_order_make_nothing_ahead() -> None:
    made = Made()
    pixels = generated(made, 50)
    for lo in (7, 30, 12):
        assert pixels[lo : lo + 3][:, 0, 0, 0].tolist() == [lo, lo + 1, lo + 2]
    settled(made, 3)


def test_the_rows_of_the_first_of_equal_pictures_are_made() -> None:
    made = Made()
    pixels = GeneratedPixels(made, np.array([0, 1, 0, 2, 1, 3]), (4, 1, 1, 3))
    assert pixels[0:4][:, 0, 0, 0].tolist() == [0, 1, 3, 5]


def test_an_error_is_that_of_the_batch_that_was_asked_for() -> None:
    pixels = generated(Made(), 100)
    assert pixels[92:96].shape[0] == 4
    assert pixels[96:98].shape[0] == 2  # 98 and 99 are being made now
    with pytest.raises(DataError, match="last one"):
        pixels[98:100]


def test_what_is_dropped_leaves_no_thread_at_work() -> None:
    made = Made()
    pixels = generated(made, 100)
    pixels[0:2]
    pool = pixels._pool
    del pixels
    with pytest.raises(RuntimeError, match="after shutdown"):
        pool.submit(print)
