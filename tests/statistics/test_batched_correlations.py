"""Batched correlations against scipy, one coefficient at a time."""

from __future__ import annotations

import subprocess
import sys
import warnings

import numba
import numpy as np
import pytest
from scipy import stats

from fastclip.statistics.batched import METRICS, base, compiled, correlate, numba_cpu
from fastclip.statistics.batched.resamples import multiplicities
from fastclip.statistics.correlation import CORRELATIONS

SCIPY = {"srcc": stats.spearmanr, "plcc": stats.pearsonr, "krcc": stats.kendalltau}


def by_scipy(metric, x, y):
    if len(x) < 2 or (x == x[0]).all() or (y == y[0]).all():
        return np.nan
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", stats.NearConstantInputWarning)
        return SCIPY[metric](x, y).statistic


def vector(rng, size):
    """Scores of one of the kinds that occur: distinct, rounded, few levels, or constant."""
    kind = rng.integers(8)
    if kind == 0:
        return np.full(size, rng.normal())
    if kind < 4:
        return rng.integers(0, rng.integers(2, size + 2), size).astype(float)
    values = rng.normal(0, 10.0 ** rng.integers(-3, 4), size) + rng.normal(0, 5)
    return np.round(values, rng.integers(0, 3)) if kind < 6 else values


def sizes():
    """1,000 of them from 2 to 50,000, mostly small."""
    rng = np.random.default_rng(0)
    return np.concatenate(
        [[2] * 20, np.exp(rng.uniform(np.log(2), np.log(300), 955)), [1000] * 20, [50_000] * 5]
    ).astype(int)


@pytest.mark.parametrize("tenth", range(10))
def test_thousand_random_cases_are_scipys(tenth):
    undefined = 0
    for case, size in list(enumerate(sizes()))[tenth::10]:
        rng = np.random.default_rng(case)
        x, y = vector(rng, size), vector(rng, size)
        clusters = rng.integers(0, rng.integers(1, size + 1), size)
        codes = np.unique(clusters, return_inverse=True)[1]
        rows = np.repeat(np.arange(size), multiplicities(codes.max() + 1, 1, case)[codes, 1])
        for metric in METRICS:
            found = correlate(metric, [x], y, resamples=1, clusters=clusters, seed=case, threads=1)
            expected = [by_scipy(metric, x, y), by_scipy(metric, x[rows], y[rows])]
            np.testing.assert_allclose(
                found.values[0, 0], expected, rtol=0, atol=1e-9, err_msg=f"{metric}, case {case}"
            )
            assert (found.reasons[0, 0] == "constant") == np.isnan(expected[0])
            undefined += np.isnan(expected).sum()
    assert undefined > 0


@pytest.fixture
def batch():
    """Three score vectors with ties over 40 pictures of 8 references, in three groups."""
    rng = np.random.default_rng(1)
    x, y = rng.integers(0, 15, (3, 40)).astype(float), rng.integers(0, 12, 40).astype(float)
    return x, y, [np.arange(40), rng.permutation(40)[:17], [3, 1, 1, 39]], np.arange(40) // 5


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("threads", [1, 3])
def test_a_resample_counts_each_picture_as_often_as_its_cluster_is_drawn(metric, threads, batch):
    x, y, groups, clusters = batch
    options = {"clusters": clusters, "seed": 5, "threads": threads}
    found = correlate(metric, x, y, groups, resamples=150, **options)
    drawn = multiplicities(8, 150, 5)[clusters]
    assert found.values.shape == (3, 3, 151)
    for k, row in enumerate(x):
        for g, members in enumerate(groups):
            members = np.asarray(members)
            for b in range(151):
                rows = np.repeat(members, drawn[members, b])
                expected = by_scipy(metric, row[rows], y[rows])
                np.testing.assert_allclose(found.values[k, g, b], expected, rtol=0, atol=1e-12)
    assert np.isnan(found.values).any()


@pytest.mark.parametrize("metric", METRICS)
def test_a_vectors_coefficients_do_not_depend_on_the_others(metric, batch, monkeypatch):
    x, y, groups, clusters = batch
    options = {"clusters": clusters, "seed": 5}
    together = correlate(metric, x, y, groups, resamples=40, **options).values
    alone = correlate(metric, x[1:2], y, groups[1:2], resamples=140, **options).values
    np.testing.assert_array_equal(together[1, 1], alone[0, 0, :41])
    monkeypatch.setattr(base, "CHUNK", 50)
    chunked = correlate(metric, x, y, groups, resamples=40, **options).values
    np.testing.assert_array_equal(together, chunked)


@pytest.mark.parametrize("metric", METRICS)
def test_default_is_one_group_of_pictures_drawn_alone(metric, batch):
    x, y, _, _ = batch
    default = correlate(metric, x, y, resamples=5, seed=2**63 + 1).values
    spelt = correlate(metric, x, y, [range(40)], resamples=5, clusters=range(40), seed=2**63 + 1)
    np.testing.assert_array_equal(default, spelt.values)
    single = [CORRELATIONS[metric](row, y).value for row in x]
    np.testing.assert_allclose(default[:, 0, 0], single, rtol=0, atol=1e-12)
    other = correlate(metric, x, y, resamples=5, seed=1).values
    assert (default[..., 0] == other[..., 0]).all() and (default[..., 1:] != other[..., 1:]).any()


@pytest.mark.parametrize("metric", ["srcc", "krcc"])
def test_large_resamples_take_wider_types_to_the_same_sums(metric, batch, monkeypatch):
    x, y, groups, clusters = batch
    narrow = correlate(metric, x, y, groups, resamples=40, clusters=clusters).values
    monkeypatch.setattr(numba_cpu, "EXACT_FLOAT32", 1)
    monkeypatch.setattr(numba_cpu, "EXACT_UINT16", 1)
    wide = correlate(metric, x, y, groups, resamples=40, clusters=clusters).values
    np.testing.assert_array_equal(narrow, wide)


@pytest.mark.parametrize("metric", ["srcc", "krcc"])
def test_resamples_of_more_than_65535_pictures(metric):
    """Three of four pictures are of one cluster, which some resamples draw several times."""
    rng = np.random.default_rng(2)
    y = rng.normal(size=40_000)
    x = y + rng.normal(size=40_000)
    clusters = np.maximum(np.arange(40_000) - 30_000, 0) // 5_000
    drawn = multiplicities(2, 6, 0)[clusters]
    largest = int(drawn.sum(axis=0).argmax())
    assert drawn[:, largest].sum() > 65535
    found = correlate(metric, [x], y, resamples=6, clusters=clusters).values[0, 0, largest]
    rows = np.repeat(np.arange(40_000), drawn[:, largest])
    assert found == pytest.approx(by_scipy(metric, x[rows], y[rows]), abs=1e-12)


@pytest.mark.parametrize("offset, scale", [(1e9, 1.0), (0.0, 1e-200), (0.0, 1e200)])
def test_pearson_keeps_its_digits(offset, scale):
    rng = np.random.default_rng(3)
    x, y = rng.integers(0, 50, (2, 100)).astype(float)
    found = correlate("plcc", [x * scale + offset], y * scale + offset, resamples=20).values
    expected = correlate("plcc", [x], y, resamples=20).values
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-12)
    assert expected[0, 0, 0] == pytest.approx(stats.pearsonr(x, y).statistic, abs=1e-14)


def test_pearson_of_resamples_without_the_outlier():
    """It is 1e8 times what remains when it is not drawn."""
    rng = np.random.default_rng(4)
    x, y = rng.normal(size=(2, 60))
    x[7] = 1e8
    found = correlate("plcc", [x], y, resamples=10).values[0, 0]
    drawn = multiplicities(60, 10, 0)
    assert 0 in drawn[7]
    for b in range(11):
        rows = np.repeat(np.arange(60), drawn[:, b])
        assert found[b] == pytest.approx(stats.pearsonr(x[rows], y[rows]).statistic, abs=1e-12)


class TestUndefined:
    @pytest.mark.parametrize("metric", METRICS)
    def test_reasons_are_those_of_single_coefficients(self, metric):
        x = np.array([[1.0, 2, 3, 4], [5, 5, 5, 7]])
        found = correlate(metric, x, [1, 2, 2, 2], [range(4), [1, 2, 3], [0, 1, 2], [2], []])
        assert found.reasons.tolist() == [
            ["", "constant", "", "fewer_than_2", "fewer_than_2"],
            ["", "constant", "constant", "fewer_than_2", "fewer_than_2"],
        ]
        assert (np.isnan(found.values[..., 0]) == (found.reasons != "")).all()
        assert found.of_data(1, 2) == CORRELATIONS[metric]([5, 5, 5], [1, 2, 2])
        assert found.of_data(0, 0).value == pytest.approx(
            CORRELATIONS[metric](x[0], [1, 2, 2, 2]).value
        )

    @pytest.mark.parametrize("metric", METRICS)
    def test_perfect_agreement_is_exactly_one(self, metric):
        x = np.array([[0.1, 0.2, 0.3, 0.7], [-0.1, -0.2, -0.3, -0.7]])
        found = correlate(metric, x, x[0], resamples=30).values
        defined = ~np.isnan(found)
        assert defined[:, :, 0].all() and (np.abs(found[defined]) <= 1).all()
        np.testing.assert_allclose(found[0][defined[0]], 1, rtol=1e-14)
        np.testing.assert_allclose(found[1][defined[1]], -1, rtol=1e-14)

    def test_infinity_has_a_rank_but_no_deviation(self):
        x, y = [[1.0, np.inf, 3.0, 2.0], [1, 2, 3, 4]], [1.0, 2.0, 3.0, 4.0]
        assert correlate("srcc", x, y).values[0, 0, 0] == pytest.approx(0.2)
        found = correlate("plcc", x, y, [range(4), [0, 2, 3]], resamples=9)
        assert found.reasons.tolist() == [["infinite", ""], ["", ""]]
        assert np.isnan(found.values[0, 0]).all() and not np.isnan(found.values[:, 1, 0]).any()

    @pytest.mark.parametrize("metric", METRICS)
    def test_nan_is_refused_by_name(self, metric):
        x = np.ones((3, 5))
        x[2, 4] = np.nan
        with pytest.raises(ValueError, match=r"scores\[2\] holds NaN at index 4"):
            correlate(metric, x, np.arange(5))
        with pytest.raises(ValueError, match="target holds NaN at index 1"):
            correlate(metric, np.ones((1, 3)), [0, np.nan, np.nan])


@pytest.mark.parametrize(
    "arguments, message",
    [
        ({"metric": "r2"}, "unknown metric 'r2'; known: srcc, plcc, krcc"),
        ({"device": "tpu"}, "unknown device 'tpu'; known: cpu, cuda"),
        ({"scores": np.ones(3)}, r"scores \[3\] and target \[3\] must be \[K, N\] and \[N\]"),
        ({"groups": [[0], [1, 3]]}, r"groups\[1\] holds index 3, outside \[0, 3\)"),
        ({"groups": [[-1]]}, "holds index -1"),
        ({"clusters": [0, 1]}, r"clusters \[2\] must be \[3\]"),
    ],
)
def test_what_does_not_fit_is_refused(arguments, message):
    right = {"metric": "srcc", "scores": np.ones((2, 3)), "target": np.arange(3.0)}
    with pytest.raises(ValueError, match=message):
        correlate(**(right | arguments))


def test_numba_is_imported_only_to_compute():
    code = (
        "import sys, fastclip, fastclip.statistics.batched;"
        "sys.exit(any(name in sys.modules for name in ('numba', 'torch', 'pandas')))"
    )
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0


def test_code_is_kept_and_found_again_by_the_next_process(tmp_path):
    code = (
        "from fastclip.statistics.batched import resamples;"
        "resamples.multiplicities(3, 1, 0);"
        "print(sum(resamples._draw.stats.cache_hits.values()))"
    )
    command, environment = [sys.executable, "-c", code], {"NUMBA_CACHE_DIR": str(tmp_path)}
    hits = [subprocess.check_output(command, env=environment, text=True) for _ in range(2)]
    assert hits == ["0\n", "1\n"]


def test_where_nothing_may_be_written_code_is_not_kept(monkeypatch):
    def nowhere(*arguments, cache=False, **options):
        if cache:
            raise RuntimeError("cannot cache function: no locator available")
        return numba.njit(*arguments, **options)

    monkeypatch.setattr(compiled, "njit", lambda **options: lambda f: nowhere(f, **options))
    twice = compiled.compiled(lambda x: 2 * x)
    assert twice(21) == 42


class TestJackknife:
    @pytest.mark.parametrize("metric", METRICS)
    def test_each_column_leaves_one_cluster_out(self, metric, batch):
        x, y, groups, clusters = batch
        labels = np.array(["b", "a", "h", "c", "d", "e", "f", "g"])[clusters]
        options = {"clusters": labels, "threads": 1}
        found = correlate(metric, x, y, groups, resamples="jackknife", **options).values
        assert found.shape == (3, 3, 9)
        for k, row in enumerate(x):
            for g, members in enumerate(map(np.asarray, groups)):
                assert found[k, g, 0] == pytest.approx(by_scipy(metric, row[members], y[members]))
                for c, label in enumerate("abcdefgh"):
                    kept = members[labels[members] != label]
                    expected = by_scipy(metric, row[kept], y[kept])
                    np.testing.assert_allclose(found[k, g, 1 + c], expected, rtol=0, atol=1e-12)

    def test_a_group_of_one_cluster_has_nothing_without_it(self, batch):
        x, y, _, clusters = batch
        found = correlate("srcc", x, y, [range(5, 10)], resamples="jackknife", clusters=clusters)
        assert np.isnan(found.values[:, 0, 2]).all()
        np.testing.assert_array_equal(found.values[:, 0, 1], found.values[:, 0, 0])

    def test_another_word_is_refused(self, batch):
        with pytest.raises(ValueError, match="a number or 'jackknife', not 'bootstrap'"):
            correlate("srcc", batch[0], batch[1], resamples="bootstrap")
