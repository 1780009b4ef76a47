"""The two-way bootstrap over crossed exemplars."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats
from scipy.special import expit

from fastclip.statistics.batched.resamples import multiplicities
from fastclip.statistics.intervals.ratios import ratio, ratio_influence
from fastclip.statistics.intervals.shares import wilson
from fastclip.statistics.intervals.two_way import (
    TEXTURES,
    TwoWayBootstrap,
)


def shape_bias_replicates(is_shape, is_texture, shapes, textures, resamples, seed):
    bootstrap = TwoWayBootstrap(shapes, textures, resamples, seed)
    shape, texture = (bootstrap.sums(columns)[:, 1:] for columns in (is_shape, is_texture))
    return ratio(shape, shape + texture)


def shape_bias_covariance(is_shape, is_texture, shapes, textures):
    influence = ratio_influence(is_shape, is_shape | is_texture)
    return TwoWayBootstrap(shapes, textures).covariance(influence)


def published(rng):
    """Exemplars of the 1,200 conflict pictures: 5 of each pair of 16 classes that differ, from 10
    shapes and 3 textures of a class.
    """
    pairs = [(s, t) for s in range(16) for t in range(16) if s != t]
    shapes = [s * 10 + rng.choice(10, 5, replace=False) for s, _ in pairs]
    textures = [t * 3 + rng.integers(0, 3, 5) for _, t in pairs]
    return np.concatenate(shapes), np.concatenate(textures)


def names(codes):
    return np.array([f"e{code:03d}" for code in codes])


def decide(shape, texture, rng, sd=1.0, cue=0.8):
    """is_shape and is_texture of a model whose exemplars pull either way."""
    odds = rng.normal(0, sd, 160)[shape] + rng.normal(0, sd, 48)[texture] - 0.8
    takes = rng.uniform(size=len(shape)) < cue
    by_shape = rng.uniform(size=len(shape)) < expit(odds)
    return takes & by_shape, takes & ~by_shape


def test_a_picture_counts_as_often_as_its_shape_times_its_texture():
    shape, texture = published(np.random.default_rng(0))
    bootstrap = TwoWayBootstrap(names(shape), names(texture), resamples=50, seed=3)
    of_shape, of_texture = multiplicities(160, 50, 3), multiplicities(48, 50, 3 + TEXTURES)
    np.testing.assert_array_equal(bootstrap.weights, of_shape[shape] * of_texture[texture])
    # The matrix form: W_shape @ counts @ W_texture, one resample after the other.
    column = np.random.default_rng(1).uniform(size=1200) < 0.4
    counts = np.zeros((160, 48))
    np.add.at(counts, (shape, texture), column)
    expected = ((of_shape.T @ counts) * of_texture.T).sum(axis=1)
    np.testing.assert_array_equal(bootstrap.sums([column])[0], expected)


def test_the_two_directions_are_drawn_apart():
    weights = TwoWayBootstrap(names(range(40)), names(range(40)), 3000).weights[:, 1:]
    # Independent binomials of mean 1 have a product of mean 1; equal ones have one of nearly 2.
    assert weights.mean() == pytest.approx(1, abs=0.02)


def test_interval_is_the_percentiles():
    values = np.random.default_rng(0).normal(size=2000)
    found = TwoWayBootstrap(["a", "b"], ["c", "d"]).interval(values)
    assert (found.low, found.high) == pytest.approx(tuple(np.percentile(values, [2.5, 97.5])))
    assert (found.method, found.units) == ("two-way-bootstrap", 2)


@pytest.mark.parametrize(
    ("shape", "texture"), [(["a"] * 4, list("wxyz")), (list("abcd"), ["z"] * 4), ([], [])]
)
def test_one_exemplar_of_a_kind_has_no_interval(shape, texture):
    bootstrap = TwoWayBootstrap(shape, texture, resamples=100)
    sums = bootstrap.sums(np.ones((1, len(shape)), bool))
    found = bootstrap.interval(np.random.default_rng(0).normal(size=100))
    assert sums.shape == (1, 101)
    assert (found.low, found.high, found.method) == (None, None, "")


@pytest.mark.parametrize(("undefined", "defined"), [(20, True), (30, False)])
def test_a_ratio_undefined_in_many_resamples_has_no_interval(undefined, defined):
    values = np.random.default_rng(0).normal(size=1000)
    values[:undefined] = np.nan
    found = TwoWayBootstrap(["a", "b"], ["c", "d"]).interval(values)
    assert (found.low is not None) is defined


def test_replicates_of_many_checkpoints_are_those_of_each():
    rng = np.random.default_rng(2)
    shape, texture = published(rng)
    decided = [decide(shape, texture, rng) for _ in range(3)]
    is_shape, is_texture = (np.stack(columns) for columns in zip(*decided, strict=True))
    found = shape_bias_replicates(is_shape, is_texture, names(shape), names(texture), 200, 5)
    assert found.shape == (3, 200)
    for t in range(3):
        bootstrap = TwoWayBootstrap(names(shape), names(texture), 200, 5)
        s, x = bootstrap.sums([is_shape[t], is_texture[t]])[:, 1:]
        np.testing.assert_array_equal(found[t], s / (s + x))


def test_covariance_is_that_of_the_resamples():
    rng = np.random.default_rng(3)
    shape, texture = published(rng)
    decided = [decide(shape, texture, np.random.default_rng(k // 2)) for k in range(4)]
    is_shape, is_texture = (np.stack(columns) for columns in zip(*decided, strict=True))
    is_shape[1] ^= (rng.uniform(size=1200) < 0.05) & (is_shape[1] | is_texture[1])
    is_texture[1] &= ~is_shape[1]
    exemplars = names(shape), names(texture)
    covariance = shape_bias_covariance(is_shape, is_texture, *exemplars)
    replicates = shape_bias_replicates(is_shape, is_texture, *exemplars, 4000, 0)
    drawn = np.cov(replicates)
    scale = np.sqrt(np.outer(np.diag(drawn), np.diag(drawn)))
    np.testing.assert_allclose(covariance / scale, drawn / scale, atol=0.08)
    assert np.linalg.eigvalsh(covariance).min() > -1e-12
    # Two checkpoints that nearly agree differ by much less than either is uncertain.
    apart = covariance[0, 0] + covariance[1, 1] - 2 * covariance[0, 1]
    assert apart < 0.2 * covariance[0, 0]


def test_covariance_of_linear_statistics_is_exact():
    """All resamples of 3 shapes and 2 textures, one after the other."""
    shape, texture = np.repeat(np.arange(3), 2), np.tile(np.arange(2), 3)
    influence = np.random.default_rng(5).normal(size=(2, 6))
    influence -= influence.mean(axis=1, keepdims=True)
    of_shape = [np.bincount(d, minlength=3) for d in np.ndindex(3, 3, 3)]
    of_texture = [np.bincount(d, minlength=2) for d in np.ndindex(2, 2)]
    sums = [influence @ (s[shape] * t[texture]) for s in of_shape for t in of_texture]
    expected = np.cov(np.transpose(sums), ddof=0)
    found = TwoWayBootstrap(names(shape), names(texture)).covariance(influence)
    np.testing.assert_allclose(found, expected, rtol=1e-12)


def test_coverage_where_exemplars_matter():
    """`bench/intervals_shares.py` in small: Wilson's interval is much too narrow."""
    rng = np.random.default_rng(4)
    shape, texture = published(rng)
    truth = stats.norm(-0.8, np.sqrt(2)).expect(expit)
    decided = [decide(shape, texture, rng) for _ in range(300)]
    is_shape, is_texture = (np.stack(columns) for columns in zip(*decided, strict=True))
    replicates = shape_bias_replicates(is_shape, is_texture, names(shape), names(texture), 1000, 0)
    low, high = np.percentile(replicates, [2.5, 97.5], axis=1)
    plain = [
        wilson(int(s), int(s + t))
        for s, t in zip(is_shape.sum(axis=1), is_texture.sum(axis=1), strict=True)
    ]
    assert ((low < truth) & (truth < high)).mean() >= 0.95
    assert np.mean([i.low < truth < i.high for i in plain]) < 0.75


def test_ratio_is_undefined_without_a_denominator():
    np.testing.assert_array_equal(ratio([1, 0, 2], [2, 0, -1]), [0.5, np.nan, np.nan])
