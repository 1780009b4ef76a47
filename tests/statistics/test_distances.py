import numpy as np
import pytest
from scipy.spatial.distance import cdist

from fastclip.statistics import distances
from fastclip.statistics.distances import DISTANCES, cosine, rmse, rmse_dimnorm, unit


@pytest.fixture
def embeddings():
    rng = np.random.default_rng(3)
    a = rng.normal(0, 3, (50, 16)).astype(np.float32)
    return a, a + rng.normal(0, 0.3, a.shape).astype(np.float32)


def test_cosine_is_scipys(embeddings):
    a, b = embeddings
    expected = np.diag(cdist(a.astype(float), b.astype(float), "cosine"))
    np.testing.assert_allclose(cosine(a, b), expected, rtol=1e-9)


def test_cosine_of_near_rows_keeps_its_digits():
    angle = 1e-9
    a, b = np.array([[1.0, 0.0]]), np.array([[np.cos(angle), np.sin(angle)]])
    assert cosine(a, b)[0] == pytest.approx(angle**2 / 2, rel=1e-6)  # 1 - cos would be 0


def test_rmse_is_of_raw_embeddings(embeddings):
    a, b = embeddings
    expected = np.linalg.norm(a.astype(float) - b, axis=1) / np.sqrt(16)
    np.testing.assert_allclose(rmse(a, b), expected, rtol=1e-12)
    np.testing.assert_allclose(rmse(a * 2, b * 2), 2 * expected, rtol=1e-12)


def test_rmse_dimnorm_divides_each_dimension_by_its_mean(embeddings):
    a, b = embeddings
    squares = (a.astype(float) - b) ** 2
    expected = np.sqrt((squares / squares.mean(axis=0)).mean(axis=1))
    np.testing.assert_allclose(rmse_dimnorm(a, b), expected, rtol=1e-12)
    scale = np.geomspace(1, 1024, 11, dtype=np.float32).repeat(2)[:16]
    np.testing.assert_allclose(rmse_dimnorm(a * scale, b * scale), expected, rtol=1e-5)


def test_rmse_dimnorm_leaves_out_dimensions_that_never_differ(embeddings):
    a, b = (np.pad(side, ((0, 0), (0, 4))) for side in embeddings)
    np.testing.assert_array_equal(rmse_dimnorm(a, b), rmse_dimnorm(*embeddings))
    np.testing.assert_array_equal(rmse_dimnorm(a, a), np.zeros(len(a)))


@pytest.mark.parametrize("name", DISTANCES)
def test_equal_rows_are_at_exactly_zero(name, embeddings):
    a, b = embeddings
    mixed = np.where(np.arange(50)[:, None] % 5 == 0, a, b)
    found = DISTANCES[name](a, mixed)
    assert (found[::5] == 0).all()
    assert (np.delete(found, np.s_[::5]) > 0).all()


@pytest.mark.parametrize("name", DISTANCES)
def test_blocks_change_nothing(name, embeddings, monkeypatch):
    whole = DISTANCES[name](*embeddings)
    monkeypatch.setattr(distances, "BLOCK", 7)
    np.testing.assert_allclose(DISTANCES[name](*embeddings), whole, rtol=1e-14)


def test_a_row_without_direction_has_no_cosine():
    a, b = np.eye(3, dtype=np.float32), np.eye(3, dtype=np.float32)
    b[1] = 0
    np.testing.assert_array_equal(np.isnan(cosine(a, b)), [False, True, False])
    assert (unit(b)[1] == 0).all()
