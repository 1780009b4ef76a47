import numpy as np
import pytest

from fastclip.statistics.correlation import CORRELATIONS, krcc, plcc, srcc


def average_ranks(values):
    return np.array([(values < v).sum() + ((values == v).sum() + 1) / 2 for v in values])


def tau_b(x, y):
    dx = np.sign(x[:, None] - x)[np.triu_indices(len(x), 1)]
    dy = np.sign(y[:, None] - y)[np.triu_indices(len(y), 1)]
    return (dx * dy).sum() / np.sqrt((dx != 0).sum() * (dy != 0).sum())


@pytest.fixture(params=[0, 1, 2])
def tied(request):
    rng = np.random.default_rng(request.param)
    x = rng.integers(0, 12, 40).astype(float)
    return x, x + rng.integers(-6, 7, 40)


def test_spearman_gives_ties_their_average_rank(tied):
    x, y = tied
    expected = np.corrcoef(average_ranks(x), average_ranks(y))[0, 1]
    assert srcc(x, y).value == pytest.approx(expected, abs=1e-12)


def test_pearson_is_the_covariance_over_the_deviations(tied):
    x, y = tied
    expected = ((x - x.mean()) * (y - y.mean())).mean() / x.std() / y.std()
    assert plcc(x, y).value == pytest.approx(expected, abs=1e-12)


def test_kendall_is_tau_b(tied):
    assert krcc(*tied).value == pytest.approx(tau_b(*tied), abs=1e-12)


@pytest.mark.parametrize("metric", CORRELATIONS)
class TestUndefined:
    def test_constant(self, metric):
        found = CORRELATIONS[metric]([1.0, 2.0, 3.0], [0.5, 0.5, 0.5])
        assert (found.value, found.reason) == (None, "constant")

    @pytest.mark.parametrize("n", [0, 1])
    def test_too_few(self, metric, n):
        found = CORRELATIONS[metric](np.arange(n), np.arange(n))
        assert (found.value, found.reason) == (None, "fewer_than_2")

    def test_nan_is_refused_by_name(self, metric):
        with pytest.raises(ValueError, match="y holds NaN at index 2"):
            CORRELATIONS[metric]([1, 2, 3], [1, 2, np.nan])

    def test_two_points_agree_or_disagree(self, metric):
        assert CORRELATIONS[metric]([1, 2], [3, 1]).value == pytest.approx(-1)
