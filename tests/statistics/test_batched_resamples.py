"""The clusters a resample draws."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from fastclip.statistics.batched.resamples import PURPOSE, multiplicities, philox, resample_blocks

ONES = 0xFFFFFFFF


@pytest.mark.parametrize(
    "counter, key, words",
    [
        ([0] * 4, [0] * 2, [0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8]),
        ([ONES] * 4, [ONES] * 2, [0x408F276D, 0x41C83B0E, 0xA20BC7C6, 0x6D5451FD]),
        (
            [0x243F6A88, 0x85A308D3, 0x13198A2E, 0x03707344],
            [0xA4093822, 0x299F31D0],
            [0xD16CFE09, 0x94FDCCEB, 0x5001E420, 0x24126EA1],
        ),
    ],
)
def test_known_answers_of_random123(counter, key, words):
    assert [int(word) for word in philox(*np.array(counter + key, np.uint64))] == words


@pytest.mark.parametrize("clusters", [1, 2, 7, 25])
@pytest.mark.parametrize("seed", [0, 3 + (5 << 32)])
def test_a_resample_draws_what_its_counters_say(clusters, seed):
    key = np.uint64(seed & ONES), np.uint64(seed >> 32)
    expected = np.zeros((clusters, 4), int)
    expected[:, 0] = 1
    for resample in range(1, 4):
        for draw in range(clusters):
            counter = np.uint64(draw // 4), PURPOSE, np.uint64(resample), np.uint64(0)
            expected[int(philox(*counter, *key)[draw % 4]) * clusters >> 32, resample] += 1
    np.testing.assert_array_equal(multiplicities(clusters, 3, seed), expected)


def test_more_resamples_begin_with_the_fewer():
    np.testing.assert_array_equal(multiplicities(9, 50, 1)[:, :11], multiplicities(9, 10, 1))


@pytest.mark.parametrize("size", [1, 4, 10, 11])
def test_blocks_of_resamples_are_the_same_draws(size):
    drawn = np.zeros((10, 9), int)
    for columns, block in resample_blocks(9, 10, 1, size):
        assert len(block) <= size
        drawn[columns] += block
    np.testing.assert_array_equal(drawn.T, multiplicities(9, 10, 1)[:, 1:])


def test_draws_are_even():
    drawn = multiplicities(30, 4000, 2)[:, 1:].astype(int)
    assert (drawn.sum(axis=0) == 30).all()
    assert stats.chisquare(drawn.sum(axis=1)).pvalue > 1e-3
    # Each cluster's multiplicity is binomial, and two clusters' are hardly correlated.
    assert drawn.var() == pytest.approx(30 * (1 / 30) * (29 / 30), rel=0.02)
    assert np.corrcoef(drawn[0], drawn[1])[0, 1] == pytest.approx(-1 / 29, abs=0.06)
