import numpy as np
import pytest
from scipy import signal, stats

from fastclip.statistics.curves import (
    increments_link,
    lagged,
    level_correlation,
    link_over_runs,
)
from fastclip.statistics.curves.links import local_ranks

X = np.geomspace(1e6, 2**8 * 1e6, 60)


def autoregressive(rng, size, kept):
    innovations = rng.normal(size=size) * np.sqrt(1 - kept * kept)
    innovations[0] = rng.normal()
    return signal.lfilter([1], [1, -kept], innovations)


def saturating(rng, x, kept=0.0, noise=0.005, common=None):
    tau = x[0] * (x[-1] / x[0]) ** rng.uniform(0.1, 0.8)
    own = autoregressive(rng, len(x), kept)
    own = own if common is None else 0.8 * common + 0.6 * own
    return 1 - np.exp(-((x / tau) ** rng.uniform(0.5, 1))) + noise * own


@pytest.mark.parametrize("kept", [0.0, 0.9])
@pytest.mark.parametrize("space", [np.geomspace, np.linspace])
def test_unrelated_saturating_curves_correlate_but_are_not_linked(kept, space):
    rng, repeats = np.random.default_rng(1), 200
    x = space(1, 256, 60)
    levels, linked = [], 0
    for _ in range(repeats):
        a, b = saturating(rng, x, kept), saturating(rng, x, kept)
        levels.append(level_correlation([a, b])[0, 1])
        linked += increments_link(x, a, b).p <= 0.05
    assert np.median(levels) > (0.9 if space is np.geomspace else 0.5)
    assert linked <= stats.binom.ppf(0.999, repeats, 0.05)


def test_curves_with_common_moves_are_linked_whatever_the_sign():
    rng, found = np.random.default_rng(0), 0
    for _ in range(40):
        common = autoregressive(rng, len(X), 0.5)
        a, b = (saturating(rng, X, 0.5, common=common) for _ in range(2))
        one, other = increments_link(X, a, b), increments_link(X, a, -b)
        assert one.r == pytest.approx(-other.r) and one.p == other.p
        found += one.p <= 0.05 and one.r > 0
    assert found > 30


def test_p_counts_every_shift():
    rng = np.random.default_rng(0)
    a, b = saturating(rng, X), saturating(rng, X)
    found = increments_link(X, a, b)
    doublings = np.diff(np.log2(X))
    u, v = (local_ranks(np.diff(each) / doublings) for each in (a, b))
    r = [np.corrcoef(u, np.roll(v, k))[0, 1] for k in range(len(u))]
    assert found.r == pytest.approx(r[0])
    assert found.n == len(X) - 5
    assert found.p == np.mean(np.abs(r) >= abs(r[0]) - 1e-9)
    assert found.spearman == pytest.approx(stats.spearmanr(np.diff(a), np.diff(b)).statistic)


def test_local_ranks_by_hand():
    assert local_ranks(np.array([1.0, 2, 3, 4, 5, 0, 9, 5])).tolist() == [0, 1, 1, -2]
    assert local_ranks(np.arange(4.0)).size == 0


def test_untrained_and_missing_checkpoints_are_left_out():
    rng = np.random.default_rng(0)
    a, b = saturating(rng, X), saturating(rng, X)
    x = np.concatenate([[0], X[:10], [X[9] * 1.01], X[10:]])
    a_more, b_more = (np.concatenate([[9], c[:10], [np.nan], c[10:]]) for c in (a, b))
    assert increments_link(x, a_more, b_more) == increments_link(X, a, b)


def test_reasons_for_no_test():
    rng = np.random.default_rng(0)
    few = X[:24]
    found = increments_link(few, rng.normal(size=24), rng.normal(size=24))
    assert (found.p, found.r, found.reason) == (None, None, "too_few_checkpoints")
    assert found.spearman is not None
    found = increments_link(X, np.zeros(60), rng.normal(size=60))
    assert (found.p, found.reason, found.spearman) == (None, "constant", None)
    found = increments_link([], [], [])
    assert (found.n, found.reason) == (0, "too_few_checkpoints")
    # With 25 checkpoints p can reach 0.05.
    a = rng.normal(size=25)
    assert increments_link(X[:25], a, a).p == 1 / 20


def test_samples_seen_that_do_not_increase_are_refused():
    with pytest.raises(ValueError, match="must increase"):
        increments_link(X[::-1], X, X)


def test_over_runs_unrelated_curves_keep_the_level():
    rng, repeats = np.random.default_rng(2), 120
    x = np.linspace(1, 256, 15)
    linked = sum(
        link_over_runs([(x, saturating(rng, x), saturating(rng, x)) for _ in range(5)]).p <= 0.05
        for _ in range(repeats)
    )
    assert linked <= stats.binom.ppf(0.999, repeats, 0.05)


def test_over_runs_is_a_t_test_of_fishers_z():
    rng = np.random.default_rng(0)
    runs = []
    for _ in range(6):
        common = rng.normal(size=30)
        runs.append((X[:30], *(saturating(rng, X[:30], common=common) for _ in range(2))))
    found = link_over_runs(runs)
    z = np.arctanh([increments_link(*run).r for run in runs])
    expected = stats.ttest_1samp(z, 0)
    assert found.p == pytest.approx(expected.pvalue) and found.p < 0.05
    interval = expected.confidence_interval()
    assert np.arctanh([found.low, found.high]) == pytest.approx([interval.low, interval.high])
    assert found.n == 6 and found.method == "runs-t"


def test_over_runs_needs_five_that_count():
    rng = np.random.default_rng(0)
    run = (X, saturating(rng, X), saturating(rng, X))
    short = tuple(each[:11] for each in run)
    found = link_over_runs([run] * 4 + [short])
    assert (found.p, found.n, found.reason) == (None, 4, "too_few_runs")
    assert link_over_runs([]).reason == "too_few_runs"


def test_lags_find_the_curve_that_follows():
    rng = np.random.default_rng(0)
    noise = rng.normal(size=62)
    found = lagged(X, noise[2:], noise[:-2])
    assert found.largest == 2
    assert found.r[found.lags.index(2)] == pytest.approx(1)
    assert found.lags[0] == -found.lags[-1]
    plain = increments_link(X, noise[2:], noise[:-2])
    assert found.r[found.lags.index(0)] == pytest.approx(plain.r)


def test_lags_are_refused_below_twenty_checkpoints():
    rng = np.random.default_rng(0)
    for count, reason in ((19, "too_few_checkpoints"), (20, "")):
        found = lagged(X[:count], rng.normal(size=count), rng.normal(size=count))
        assert found.reason == reason and (found.largest is None) == bool(reason)
    assert lagged(X, np.zeros(60), np.zeros(60)).reason == "constant"


def test_levels_are_spearmans_pair_by_pair():
    rng = np.random.default_rng(0)
    curves = rng.normal(size=(3, 12))
    curves[1, 3] = np.nan
    constant = np.ones((1, 12))
    matrix = level_correlation(np.concatenate([curves, constant]))
    both = np.isfinite(curves[1])
    expected = stats.spearmanr(curves[0, both], curves[1, both]).statistic
    assert matrix[0, 1] == matrix[1, 0] == pytest.approx(expected)
    assert np.diag(matrix)[:3] == pytest.approx(1) and np.isnan(matrix[3]).all()
