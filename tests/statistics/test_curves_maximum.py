import time

import numpy as np
import pytest
from drawn_curves import of_units, units
from scipy import stats

from fastclip.statistics.curves import PairedCurve, beaten_p, best_set


def rng(seed=0):
    return np.random.default_rng(seed)


@pytest.mark.parametrize("kept", [0.0, 0.95])
def test_the_set_holds_each_of_many_best_checkpoints_as_often_as_it_says(kept):
    draws, repeats = rng(), 250
    hits = sum(
        beaten_p(of_units(units(draws, np.full(60, 0.5), 25, kept), seed=i), 30) > 0.05
        for i in range(repeats)
    )
    assert hits >= stats.binom.ppf(0.001, repeats, 0.94)
    # It is no set of everything: almost as often as it may, it leaves a best checkpoint out.
    assert hits < repeats


def test_intervals_at_each_checkpoint_would_not_do():
    draws, repeats, hits = rng(), 250, 0
    for _ in range(repeats):
        values = units(draws, np.full(60, 0.5), 25)
        highest = values[values.mean(axis=1).argmax()]
        hits += stats.ttest_rel(highest, values[30]).pvalue > 0.1
    assert hits / repeats < 0.6


def test_a_sharp_peak_is_singled_out():
    signal = np.full(20, 0.5)
    signal[7] = 0.9
    assert np.flatnonzero(best_set(of_units(units(rng(), signal, 25)))).tolist() == [7]


def test_two_humps_make_a_set_with_a_gap():
    signal = 0.5 + 0.3 * np.sin(np.linspace(0, 2 * np.pi, 41)) ** 2
    inside = best_set(of_units(units(rng(), signal, 40, 0.9)))
    assert inside[10] and inside[30] and not inside[20]


def test_the_critical_value_is_that_of_a_t_test_with_two_checkpoints():
    # r of `maxt` against normal quantiles differs from Student's by a percent at 25 units.
    for seed in range(20):
        values = units(rng(seed), np.array([0.5, 0.55]), 25)
        expected = stats.ttest_rel(values[1], values[0], alternative="greater").pvalue
        assert beaten_p(of_units(values, resamples=20000), 0) == pytest.approx(
            expected, rel=0.2, abs=0.006
        )


def test_the_set_contains_the_highest_estimate_and_shrinks_with_the_level():
    curve = of_units(units(rng(), np.linspace(0.3, 0.6, 30), 25))
    wide, narrow = best_set(curve, 0.99), best_set(curve, 0.8)
    assert narrow[curve.estimates.argmax()]
    assert (wide | ~narrow).all() and wide.sum() > narrow.sum()


def test_a_checkpoint_measured_twice_stays_or_leaves_with_its_copy():
    values = units(rng(), np.linspace(0.3, 0.6, 12), 25)
    values = np.concatenate([values, values[5:6], values[11:]])
    inside = best_set(of_units(values))
    assert inside[5] == inside[12] and inside[11] == inside[13] and inside[11]


def test_rounding_beats_nobody():
    values = units(rng(), np.linspace(0.3, 0.6, 12), 25)
    copies = values[11:] + 1e-9 * (1 + 0.01 * rng().normal(size=(3, 25)))
    inside = best_set(of_units(np.concatenate([values, copies])))
    assert inside[11] and inside[12:].all()


def test_constant_differences_are_certain():
    values = units(rng(), np.zeros(1), 25) + np.array([[0.0], [0.1], [0.1]])
    assert best_set(of_units(values)).tolist() == [False, True, True]


def test_resamples_that_are_undefined_somewhere_are_left_out_everywhere():
    curve = of_units(units(rng(), np.linspace(0.3, 0.6, 12), 25))
    holes = curve.resamples.copy()
    holes[3, ::4] = np.nan
    kept = np.isfinite(holes).all(axis=0)
    rest = PairedCurve(curve.estimates, curve.resamples[:, kept], curve.covariance, 25)
    holed = PairedCurve(curve.estimates, holes, curve.covariance, 25)
    assert [beaten_p(holed, t) for t in range(12)] == [beaten_p(rest, t) for t in range(12)]


def test_without_resamples_nothing_is_ruled_out():
    curve = of_units(units(rng(), np.linspace(0.1, 0.9, 12), 25))
    nothing = PairedCurve(curve.estimates, np.full((12, 9), np.nan), curve.covariance, 25)
    assert best_set(nothing).all()


@pytest.mark.parametrize(("checkpoints", "count"), [(0, 25), (1, 25), (4, 1)])
def test_with_nothing_to_compare_all_stay(checkpoints, count):
    curve = PairedCurve(
        np.arange(checkpoints, dtype=float),
        np.zeros((checkpoints, 99)),
        np.zeros((checkpoints, checkpoints)),
        count,
    )
    assert best_set(curve).tolist() == [True] * checkpoints


@pytest.mark.parametrize("scale", ["fisher", "logit"])
def test_scales_of_inference_say_much_the_same(scale):
    values = units(rng(), np.linspace(0.4, 0.6, 30), 60)
    plain, scaled = (best_set(of_units(values, each)) for each in ("identity", scale))
    assert (plain != scaled).sum() <= 1


@pytest.mark.alone
def test_hundreds_of_checkpoints_take_seconds():
    curve = of_units(units(rng(), np.full(300, 0.5), 25), resamples=2000)
    start = time.process_time()
    best_set(curve)
    assert time.process_time() - start < 3
