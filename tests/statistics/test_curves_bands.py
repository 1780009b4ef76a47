import numpy as np
import pytest
from drawn_curves import of_units, units
from scipy import stats
from statsmodels.stats.multitest import multipletests

from fastclip.statistics.curves import PairedCurve, benjamini_hochberg, simultaneous_band


@pytest.mark.parametrize("kept", [0.0, 0.95])
def test_bands_hold_the_whole_curve(kept):
    rng, repeats, hits, pointwise = np.random.default_rng(0), 250, 0, 0
    truth = np.linspace(0.3, 0.6, 60)
    for i in range(repeats):
        values = units(rng, truth, 25, kept)
        low, high = simultaneous_band(of_units(values, "fisher", seed=i))
        hits += bool(((low <= truth) & (truth <= high)).all())
        half = stats.t.ppf(0.975, 24) * stats.sem(values, axis=1)
        pointwise += bool((np.abs(values.mean(axis=1) - truth) <= half).all())
    assert hits >= stats.binom.ppf(0.001, repeats, 0.94)
    assert pointwise < stats.binom.ppf(0.001, repeats, 0.94)


def test_bands_stay_within_the_quantitys_range():
    values = np.clip(units(np.random.default_rng(0), np.linspace(0.5, 0.95, 20), 10), 0.01, 0.99)
    for scale in ("fisher", "logit"):
        low, high = simultaneous_band(of_units(values, scale))
        assert (low < values.mean(axis=1)).all() and (values.mean(axis=1) < high).all()
        assert (high < 1).all() and (low > (-1 if scale == "fisher" else 0)).all()


def test_a_band_of_one_checkpoint_is_its_interval():
    values = units(np.random.default_rng(0), np.array([0.5]), 40)
    (low,), (high,) = simultaneous_band(of_units(values, resamples=20000))
    expected = stats.t.interval(0.95, 39, values.mean(), stats.sem(values, axis=1)[0])
    assert (low, high) == pytest.approx(expected, abs=0.002)


def test_one_unit_bounds_nothing():
    curve = PairedCurve(np.zeros(3), np.zeros((3, 99)), np.zeros((3, 3)), 1, "fisher")
    low, high = simultaneous_band(curve)
    assert low.tolist() == [-1] * 3 and high.tolist() == [1] * 3


def test_benjamini_hochberg_as_scipy_and_statsmodels_have_it():
    rng = np.random.default_rng(0)
    for _ in range(50):
        p = rng.uniform(size=rng.integers(1, 40)) ** 3
        p[rng.integers(len(p))] = p[0]  # a tie
        q = benjamini_hochberg(p)
        np.testing.assert_allclose(q, stats.false_discovery_control(p), rtol=1e-12)
        np.testing.assert_allclose(q, multipletests(p, method="fdr_bh")[1], rtol=1e-12)
    assert benjamini_hochberg([]).tolist() == []


@pytest.mark.parametrize("kept", [0.0, 1.0])
def test_the_critical_value_knows_how_many_independent_checkpoints_there_are(kept):
    rng = np.random.default_rng(0)
    own, same = rng.normal(size=(30, 1500)), rng.normal(size=1500)
    curve = of_units(kept * same + (1 - kept) * own, resamples=4000)
    low, high = simultaneous_band(curve)
    critical = (high - low) / 2 / np.sqrt(np.diag(curve.covariance))
    independent = 1 if kept else 30  # Sidak's correction for those
    expected = stats.norm.ppf((1 + 0.95 ** (1 / independent)) / 2)
    assert critical == pytest.approx(np.full(30, expected), abs=0.08)
