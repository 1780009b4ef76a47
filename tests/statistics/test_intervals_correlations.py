"""Intervals of correlations against a hand-written jackknife and scipy.stats.bootstrap."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from fastclip.statistics.batched import METRICS
from fastclip.statistics.intervals.base import Interval
from fastclip.statistics.intervals.correlations import estimate

SCIPY = {"srcc": stats.spearmanr, "plcc": stats.pearsonr, "krcc": stats.kendalltau}


@pytest.fixture
def pairs():
    """Two score vectors over 9 references of unequal size, and groups of some of them."""
    rng = np.random.default_rng(0)
    clusters = np.repeat(np.arange(9), rng.integers(4, 9, 9))
    y = rng.normal(size=len(clusters)).round(1) + rng.normal(size=9)[clusters]
    x = np.stack([y + rng.normal(size=len(y)), rng.normal(size=len(y))])
    return x, y, [np.arange(len(y)), np.flatnonzero(clusters % 2 == 0), np.arange(1, 20)], clusters


def fisher(metric, x, y):
    return np.arctanh(SCIPY[metric](x, y).statistic)


@pytest.mark.parametrize("metric", METRICS)
def test_jackknife_t_is_a_plain_loop(metric, pairs):
    x, y, groups, clusters = pairs
    found = estimate(metric, x, y, groups, clusters=clusters, threads=1)
    for k, row in enumerate(x):
        for g, members in enumerate(groups):
            own = np.unique(clusters[members])
            z = fisher(metric, row[members], y[members])
            without = []
            for cluster in own:
                kept = members[clusters[members] != cluster]
                without.append(fisher(metric, row[kept], y[kept]))
            error = np.sqrt((len(own) - 1) * np.var(without))
            half = stats.t.ppf(0.975, len(own) - 1) * error
            interval = found.interval(k, g)
            assert (interval.method, interval.units) == ("jackknife-t", len(own))
            assert (interval.low, interval.high) == pytest.approx(
                (np.tanh(z - half), np.tanh(z + half)), abs=1e-12
            )


@pytest.mark.parametrize(("method", "name"), [("bootstrap", "percentile"), ("bca", "BCa")])
def test_bootstraps_are_scipys(method, name, pairs):
    """scipy draws clusters by number; a statistic gathers their pairs. Its draws are others, so
    intervals agree to Monte Carlo error; ends are compared in standard errors of z."""
    x, y, groups, clusters = pairs

    def statistic(drawn):
        rows = np.concatenate([np.flatnonzero(clusters == cluster) for cluster in drawn])
        return fisher("srcc", x[0][rows], y[rows])

    options = {"method": name, "vectorized": False, "n_resamples": 4000, "rng": 1}
    expected = stats.bootstrap((np.arange(9),), statistic, **options)
    found = estimate("srcc", x, y, groups, clusters=clusters, method=method, resamples=20_000)
    interval = found.interval(0, 0)
    assert (interval.method, interval.units) == (method, 9)
    ends = np.arctanh([interval.low, interval.high])
    tolerance = 0.12 * expected.standard_error
    np.testing.assert_allclose(ends, expected.confidence_interval, rtol=0, atol=tolerance)


def test_bca_is_scipys_to_the_last_digit_on_the_same_resamples(pairs, monkeypatch):
    """scipy is made to draw what was drawn here."""
    from scipy.stats import _resampling

    from fastclip.statistics.batched.resamples import multiplicities

    x, y, _, clusters = pairs
    drawn = multiplicities(9, 500, 3)[:, 1:]
    places = np.stack([np.repeat(np.arange(9), times) for times in drawn.T])
    monkeypatch.setattr(_resampling, "_bootstrap_resample", lambda *_, **__: places.astype(float))

    def statistic(numbers, axis=-1):
        def one(numbers):
            rows = [np.flatnonzero(clusters == int(number)) for number in numbers]
            return fisher("krcc", x[0][np.concatenate(rows)], y[np.concatenate(rows)])

        return np.apply_along_axis(one, axis, numbers)

    expected = stats.bootstrap(
        (np.arange(9.0),), statistic, n_resamples=500, vectorized=True, method="BCa"
    ).confidence_interval
    options = {"clusters": clusters, "method": "bca", "resamples": 500, "seed": 3}
    interval = estimate("krcc", x, y, **options).interval(0, 0)
    np.testing.assert_allclose(np.arctanh([interval.low, interval.high]), expected, atol=1e-9)


@pytest.mark.parametrize("method", ["jackknife-t", "bootstrap", "bca"])
class TestNoInterval:
    def test_fewer_than_three_clusters(self, method, pairs):
        x, y, _, clusters = pairs
        two = np.flatnonzero(clusters < 2)
        found = estimate("srcc", x, y, [two], clusters=clusters, method=method, resamples=200)
        assert not np.isnan(found.values).any()
        assert found.interval(0, 0) == Interval(None, None, "", 2)

    def test_an_undefined_coefficient(self, method):
        x = np.array([np.ones(12), np.arange(12.0) % 5])
        clusters, y = np.arange(12) // 3, np.arange(12.0)
        found = estimate("plcc", x, y, clusters=clusters, method=method, resamples=200)
        assert found.interval(0, 0) == Interval(None, None, "", 4)
        assert found.reasons.tolist() == [["constant"], [""]]

    def test_undefined_without_one_cluster(self, method):
        """All that varies is in the first reference: one replicate in four or so is constant."""
        x, y = np.zeros((1, 12)), np.arange(12.0) % 4
        x[0, :3] = [1, 2, 4]
        options = {"clusters": np.arange(12) // 3, "method": method, "resamples": 200}
        found = estimate("srcc", x, y, **options)
        assert not np.isnan(found.values[0, 0])
        assert found.interval(0, 0) == Interval(None, None, "", 4)


def test_perfect_agreement_has_no_jackknife_interval_and_a_degenerate_bootstrap():
    y = np.arange(20.0)
    for method, ends in (("jackknife-t", (None, None)), ("bootstrap", (1, 1))):
        found = estimate("srcc", [y], y, clusters=np.arange(20) // 4, method=method, resamples=200)
        interval = found.interval(0, 0)
        assert found.values[0, 0] == 1 and (interval.low, interval.high) == ends


def test_an_unknown_method_is_refused(pairs):
    x, y, groups, clusters = pairs
    with pytest.raises(ValueError, match="'wald'; known: jackknife-t, bootstrap, bca"):
        estimate("srcc", x, y, groups, clusters=clusters, method="wald")
