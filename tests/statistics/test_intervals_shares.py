"""Intervals of a share."""

from __future__ import annotations

import numpy as np
import pytest
from statsmodels.stats.proportion import proportion_confint

from fastclip.statistics.intervals.base import no_interval
from fastclip.statistics.intervals.shares import wilson


@pytest.mark.parametrize(
    ("count", "total"),
    [(0, 1), (1, 1), (0, 80), (80, 80), (3, 80), (41, 80), (1, 10_000), (9_999, 10_000)],
)
def test_equals_statsmodels(count, total):
    found = wilson(count, total)
    expected = proportion_confint(count, total, method="wilson")
    assert (found.low, found.high) == pytest.approx(expected, abs=1e-14)
    assert (found.method, found.units) == ("wilson", total)


def test_holds_the_share_and_has_a_width():
    for count in range(38):
        found = wilson(count, 37)
        assert 0 <= found.low <= count / 37 <= found.high <= 1
        assert found.high - found.low > 0.05


def test_no_units_no_interval():
    assert wilson(0, 0) == no_interval(0)


@pytest.mark.parametrize("share", [0.01, 0.2, 0.63])
def test_coverage(share):
    counts = np.random.default_rng(0).binomial(1000, share, 4000)
    found = [wilson(int(count), 1000) for count in counts]
    assert np.mean([i.low <= share <= i.high for i in found]) == pytest.approx(0.95, abs=0.015)
