import importlib.util
from pathlib import Path

import numpy as np
import pytest
from drawn_curves import of_units, units
from scipy import stats

from fastclip.statistics.curves import PairedCurve, best_set, judge
from fastclip.statistics.curves.peak import Differences

ROOT = Path(__file__).resolve().parents[2]


def bench():
    spec = importlib.util.spec_from_file_location("bench_curves", ROOT / "bench" / "curves.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def rng(seed=0):
    return np.random.default_rng(seed)


def peaked(checkpoints=30, height=0.4):
    x = np.linspace(0, 1, checkpoints)
    return 0.4 + height * np.where(x < 0.3, x / 0.3, (1 - x) / 0.7)


def test_kinds():
    def kind(signal):
        return judge(of_units(units(rng(), signal, 25, 0.9))).kind

    assert kind(peaked()) == "peak"
    assert kind(np.linspace(0.4, 0.8, 30)) == "rise"
    assert kind(np.linspace(0.8, 0.4, 30)) == "fall"
    assert kind(np.full(30, 0.5)) == "undecided"
    assert kind(1 - peaked()) == "undecided"  # a valley is no peak


def test_the_numbers_of_a_peak():
    curve = of_units(units(rng(), peaked(), 25, 0.9))
    result = judge(curve)
    highest = int(curve.estimates.argmax())
    assert result.highest == highest
    assert result.best == tuple(np.flatnonzero(best_set(curve)))
    assert (result.rise.earlier, result.rise.later) == (0, highest)
    assert (result.fall.earlier, result.fall.later) == (highest, 29)
    assert (result.change.earlier, result.change.later) == (0, 29)
    for each in (result.rise, result.fall, result.change):
        assert each.value == curve.estimates[each.later] - curve.estimates[each.earlier]
        assert each.low < each.value < each.high
    assert result.rise.low > 0 > result.fall.high
    assert result.p == max(result.rise.p, result.fall.p)


def test_bounds_exclude_nothing_changed_exactly_where_p_is_small():
    small = 0
    for seed in range(60):
        result = judge(of_units(units(rng(seed), peaked(12, 0.08), 25), resamples=99, seed=seed))
        for each in (result.rise, result.fall, result.change):
            assert (each.p <= 0.05) == (each.low > 0 or each.high < 0)
            small += each.p <= 0.05
    assert 20 < small < 160


def test_one_difference_fixed_in_advance_is_a_paired_t_test():
    values = units(rng(3), np.linspace(0.4, 0.45, 10), 40)
    found = Differences(of_units(values, resamples=20000)).one(2, 7)
    expected = stats.ttest_rel(values[7], values[2])
    assert found.p == pytest.approx(expected.pvalue, rel=0.15, abs=0.005)
    low, high = expected.confidence_interval()
    assert [found.low, found.high] == pytest.approx([low, high], abs=0.05 * (high - low))


def test_picking_the_highest_is_paid_for():
    curve = of_units(units(rng(), peaked(), 25))
    result = judge(curve)
    alone = Differences(curve).one(0, result.highest)
    assert result.rise.value == alone.value
    assert result.rise.low < alone.low and result.rise.high > alone.high


@pytest.mark.parametrize(("checkpoints", "kept"), [(24, 0.0), (100, 0.95), (300, 0.0)])
def test_flat_curves_hardly_ever_peak(checkpoints, kept):
    draws, repeats = rng(checkpoints), 120
    peaks = sum(
        judge(
            of_units(units(draws, np.full(checkpoints, 0.5), 25, kept), seed=i), with_set=False
        ).kind
        == "peak"
        for i in range(repeats)
    )
    assert peaks <= stats.binom.ppf(0.999, repeats, 0.06)


def test_curves_that_level_off_hardly_ever_peak():
    draws, repeats, peaks, naive = rng(), 300, 0, 0
    signal = 0.3 + 0.4 * np.minimum(np.linspace(0, 2, 40), 1)
    for i in range(repeats):
        values = units(draws, signal, 25)
        peaks += judge(of_units(values, seed=i), with_set=False).kind == "peak"
        highest = values[values.mean(axis=1).argmax()]
        naive += all(stats.ttest_rel(highest, values[end]).pvalue <= 0.05 for end in (0, -1))
    assert peaks <= stats.binom.ppf(0.999, repeats, 0.05)
    # Paired t-tests of the highest against either end find many that are not there.
    assert naive > stats.binom.ppf(0.999, repeats, 0.06)


@pytest.mark.parametrize("path", ["smooth", "rough"])
def test_rank_correlations_of_simulated_distances_keep_their_rates(path):
    """A small version of bench/curves.py, on TID2013's scores where they are present."""
    module, repeats = bench(), 40
    signal, (top,) = module.shape("flat", 24, 0)
    found = module.cell(module.World(signal, 25, 120, path, 7), [top], repeats, 1)
    assert found["peak"]["rate"] * repeats <= stats.binom.ppf(0.999, repeats, 0.06)
    assert found["set_covers"][top]["rate"] * repeats >= stats.binom.ppf(0.001, repeats, 0.94)
    assert found["band_covers"]["rate"] * repeats >= stats.binom.ppf(0.001, repeats, 0.94)
    assert found["with_resampled_pictures"]["same_kind"] == 1


def test_the_simulated_population_is_highest_where_it_is_said_to_be():
    module = bench()
    signal, tops = module.shape("humps", 9, 0.3)
    truth = module.World(signal, 25, 120, "smooth", 0).population(800)
    assert tops == [2, 6]
    assert set(np.argsort(truth)[-2:]) == {2, 6}
    flat = module.World(np.ones(5), 25, 120, "rough", 0)
    assert np.ptp(flat.population(800)) == 0


@pytest.mark.parametrize(
    ("checkpoints", "count", "best"), [(0, 25, ()), (1, 25, (0,)), (2, 25, (1,)), (5, 1, range(5))]
)
def test_too_few(checkpoints, count, best):
    signal = np.arange(checkpoints) * 1.0
    curve = (
        of_units(units(rng(), signal, count))
        if count > 1 and checkpoints
        else PairedCurve(signal, np.zeros((checkpoints, 9)), np.zeros((checkpoints,) * 2), count)
    )
    result = judge(curve)
    assert result.kind == "too_few" and result.best == tuple(best) and result.p == 1
    assert result.highest == (checkpoints - 1 if checkpoints else None)
    assert (result.rise, result.fall, result.change) == (None, None, None)


def test_the_highest_at_an_end_has_nothing_on_that_side():
    result = judge(of_units(units(rng(), np.linspace(0.1, 0.9, 9), 25)))
    assert result.highest == 8
    assert (result.fall.value, result.fall.low, result.fall.high, result.fall.p) == (0, 0, 0, 1)
    assert result.p == 1


def test_bounds_are_in_units_of_the_quantity():
    values = units(rng(), peaked(), 60, 0.9)
    for scale in ("fisher", "logit"):
        plain, scaled = judge(of_units(values)).rise, judge(of_units(values, scale)).rise
        assert scaled.value == pytest.approx(plain.value)
        assert scaled.low == pytest.approx(plain.low, abs=0.02)
        assert scaled.high == pytest.approx(plain.high, abs=0.02)
