"""The human ceiling against observers whose true scores are known."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from fastclip.statistics.ceiling import ceiling
from fastclip.statistics.correlation import Correlation

SCIPY = {"srcc": stats.spearmanr, "plcc": stats.pearsonr, "krcc": stats.kendalltau}


@pytest.mark.parametrize("metric", SCIPY)
@pytest.mark.parametrize(("ratings", "tolerance"), [(12, 0.015), (30, 0.006)])
@pytest.mark.parametrize("shape", ["bell", "skewed"])
def test_it_is_what_the_true_scores_reach(metric, ratings, tolerance, shape):
    """Six sets of observers, whose ratings spread more for some pictures than for others."""
    rng = np.random.default_rng(0)
    known, found = [], []
    for _ in range(6):
        truth = rng.normal(3, 0.9, 1500) if shape == "bell" else 5 - rng.gamma(2, 0.7, 1500)
        spread = rng.uniform(0.5, 1.5, (1500, 1))
        rated = truth[:, None] + spread * rng.standard_normal((1500, ratings))
        score, error = rated.mean(axis=1), rated.std(axis=1, ddof=1) / np.sqrt(ratings)
        known.append(SCIPY[metric](truth, score).statistic)
        found.append(ceiling(metric, score, error, draws=20, threads=1).value)
    assert np.mean(found) == pytest.approx(np.mean(known), abs=tolerance)
    assert np.mean(known) < 0.995  # there is something to find


def test_pearsons_is_the_correction_for_attenuation():
    rng = np.random.default_rng(1)
    score = rng.normal(size=4000)
    found = ceiling("plcc", score, np.full(4000, 0.5), threads=1)
    assert found.value == pytest.approx(np.sqrt(1 - 0.25 / np.var(score, ddof=1)), abs=2e-3)


def test_exact_scores_are_reached_and_mere_noise_is_not():
    score = np.random.default_rng(2).normal(size=50)
    assert ceiling("krcc", score, np.zeros(50)).value == pytest.approx(1, abs=1e-12)
    assert ceiling("srcc", score, np.full(50, 2.0)) == Correlation(None, "unreliable")
    assert ceiling("srcc", np.ones(50), np.zeros(50)) == Correlation(None, "unreliable")
    assert ceiling("srcc", score[:1], np.zeros(1)) == Correlation(None, "fewer_than_2")
