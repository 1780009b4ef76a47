"""Paired differences and ratios of means."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats
from scipy.optimize import brentq
from scipy.special import ndtri

from fastclip.statistics.batched.resamples import multiplicities
from fastclip.statistics.intervals.ratios import (
    drop_covariance,
    drop_replicates,
    drops,
    fieller,
    paired_t,
    ratio_influence,
)
from fastclip.statistics.intervals.shares import accuracy_covariance, accuracy_replicates

CHANCE = 0.1


def paired(rng, n, clean=0.6, distorted=0.35, together=0.6):
    """Right decisions on clean and distorted pictures; each margin is exact."""
    ease = np.sqrt(together) * rng.normal(size=n)
    return tuple(
        ease + np.sqrt(1 - together) * rng.normal(size=n) < ndtri(share)
        for share in (clean, distorted)
    )


def test_paired_t_is_scipys():
    clean, distorted = (column.astype(float) for column in paired(np.random.default_rng(0), 300))
    expected = stats.ttest_rel(clean, distorted).confidence_interval()
    found = paired_t(clean - distorted)
    assert (found.low, found.high) == pytest.approx(tuple(expected), abs=1e-13)
    assert (found.method, found.units) == ("paired-t", 300)


def test_fieller_limits_are_where_a_t_test_turns():
    rng = np.random.default_rng(1)
    top, bottom = rng.normal(1, 1, 60), rng.normal(3, 1, 60)
    top += 0.5 * bottom

    def beyond(share):
        return stats.ttest_1samp(top - share * bottom, 0).pvalue - 0.05

    value = top.mean() / bottom.mean()
    found = fieller(top, bottom)
    assert found.low == pytest.approx(brentq(beyond, value - 1, value), abs=1e-9)
    assert found.high == pytest.approx(brentq(beyond, value, value + 1), abs=1e-9)
    assert (found.method, found.units) == ("fieller", 60)


@pytest.mark.parametrize("chance", [0, CHANCE])
def test_fieller_agrees_with_scipys_paired_bootstrap(chance):
    clean, distorted = (c.astype(float) for c in paired(np.random.default_rng(2), 1500))

    def relative(clean, distorted, axis):
        return (clean - distorted).mean(axis=axis) / (clean - chance).mean(axis=axis)

    expected = stats.bootstrap(
        (clean, distorted), relative, paired=True, n_resamples=3000, rng=np.random.default_rng(3)
    ).confidence_interval
    found = fieller(clean - distorted, clean - chance)
    near = 0.06 * (found.high - found.low)
    assert (found.low, found.high) == pytest.approx(tuple(expected), abs=near)


def test_pairs_make_it_narrower():
    clean, distorted = (
        c.astype(float) for c in paired(np.random.default_rng(4), 2000, together=0.9)
    )
    found = fieller(clean - distorted, clean)
    shuffled = np.random.default_rng(5).permutation(distorted)
    apart = fieller(clean - shuffled, clean)
    assert found.high - found.low < 0.8 * (apart.high - apart.low)


def test_a_denominator_that_may_be_0_has_no_interval():
    rng = np.random.default_rng(6)
    top, bottom = rng.normal(1, 1, 200), rng.normal(0.1, 1, 200)
    assert stats.ttest_1samp(bottom, 0).pvalue > 0.05
    found = fieller(top, bottom)
    assert (found.low, found.high, found.method, found.units) == (None, None, "", 200)


@pytest.mark.parametrize(
    ("clean", "distorted"),
    [
        ([1, 1, 1, 1], [0, 0, 0, 0]),
        ([1, 1, 0, 1], [1, 1, 0, 1]),
        ([1], [0]),
        ([], []),
        ([1, 1, 1, 0] * 50, [0] * 200),  # all is lost: the ratio is 1 whatever is drawn
    ],
)
def test_nothing_that_varies_has_no_interval(clean, distorted):
    clean, distorted = np.array(clean, float), np.array(distorted, float)
    assert fieller(clean - distorted, clean).low is None
    if len(set(clean - distorted)) < 2:
        assert paired_t(clean - distorted).low is None


@pytest.mark.parametrize("clean", [0.15, 0.6])
def test_coverage(clean):
    rng = np.random.default_rng(7)
    truth = {"abs": clean / 2, "rel": 0.5, "chance": clean / 2 / (clean - CHANCE)}
    held = {name: [] for name in truth}
    for _ in range(1200):
        before, after = (column.astype(float) for column in paired(rng, 1000, clean, clean / 2))
        lost = before - after
        found = paired_t(lost), fieller(lost, before), fieller(lost, before - CHANCE)
        for (name, value), interval in zip(truth.items(), found, strict=True):
            if interval.low is not None:
                held[name].append(interval.low < value < interval.high)
    for name, each in held.items():
        assert len(each) > 1150
        assert np.mean(each) == pytest.approx(0.95, abs=0.02), name


def checkpoints(n=400):
    rng = np.random.default_rng(8)
    ease = rng.uniform(size=n)
    shares = np.array([[0.3], [0.5], [0.52], [0.8]])
    return tuple(ease + rng.normal(0, 0.1, (4, n)) < shares * kept for kept in (1, 0.6))


def test_replicates_are_drops_of_the_drawn_pictures():
    clean, distorted = checkpoints()
    found = drop_replicates(clean, distorted, CHANCE, 70, 9)
    drawn = multiplicities(400, 70, 9)[:, 1:]
    assert found.shape == (4, 70)
    for b in (0, 1, 63, 64, 69):
        rows = np.repeat(np.arange(400), drawn[:, b])
        expected = drops(clean[:, rows], distorted[:, rows], CHANCE)
        np.testing.assert_allclose(found[:, b], expected, rtol=1e-12)
    before, after = (accuracy_replicates(right, 70, 9) for right in (clean, distorted))
    np.testing.assert_allclose(found, (before - after) / (before - CHANCE), rtol=1e-12)


def test_covariances_are_those_of_the_replicates():
    clean, distorted = checkpoints()
    for covariance, replicates in (
        (
            drop_covariance(clean, distorted, CHANCE),
            drop_replicates(clean, distorted, CHANCE, 4000, 0),
        ),
        (accuracy_covariance(clean), accuracy_replicates(clean, 4000, 0)),
    ):
        drawn = np.cov(replicates)
        scale = np.sqrt(np.outer(np.diag(drawn), np.diag(drawn)))
        np.testing.assert_allclose(covariance / scale, drawn / scale, atol=0.06)
        apart, expected = (c[1, 1] + c[2, 2] - 2 * c[1, 2] for c in (covariance, drawn))
        assert apart == pytest.approx(expected, rel=0.08)


def test_one_checkpoints_covariance_is_its_variance():
    clean, distorted = (column.astype(float) for column in checkpoints())
    expected = clean[0].var(ddof=1) / 400
    np.testing.assert_allclose(accuracy_covariance(clean[:1]), [[expected]])
    # Fieller's interval is wider than a plain one only by what the denominator may be.
    sd = np.sqrt(drop_covariance(clean[3:], distorted[3:], CHANCE)[0, 0])
    found = fieller(clean[3] - distorted[3], clean[3] - CHANCE)
    assert (found.high - found.low) / (2 * stats.t.ppf(0.975, 399) * sd) == pytest.approx(
        1, abs=0.01
    )


def test_influence_is_a_small_change_of_one_weight():
    rng = np.random.default_rng(10)
    top, bottom = rng.uniform(size=(1, 30)), rng.uniform(1, 2, (1, 30))
    found = ratio_influence(top, bottom)
    weights = np.ones(30)
    weights[7] += 1e-6
    changed = (top[0] @ weights) / (bottom[0] @ weights) - top.sum() / bottom.sum()
    assert changed / 1e-6 == pytest.approx(found[0, 7], rel=1e-4)
    assert found.sum() == pytest.approx(0, abs=1e-12)


def test_a_drop_from_chance_is_undefined():
    clean, distorted = np.zeros((1, 20), bool), np.zeros((1, 20), bool)
    assert np.isnan(drops(clean, distorted, CHANCE)).all()
    assert np.isnan(drop_replicates(clean, distorted, CHANCE, 5, 0)).all()
