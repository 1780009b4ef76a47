import made_up
import numpy as np
import pytest
from made_up import one, run

from fastclip.evaluators import embedding_diagnostics, iqa, robustness
from fastclip.evaluators.embedding_diagnostics import build, effective_rank, spectrum
from fastclip.evaluators.options import TaskOptions


def unit(rows):
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def evaluator(dataset, **options):
    (found,) = build([made_up.cues(4), dataset], made_up.PIXELS, TaskOptions(**options))
    return found


@pytest.fixture
def rng():
    return np.random.default_rng(0)


@pytest.mark.parametrize("shape", [(300, 12), (12, 300)])
def test_spectrum_is_that_of_numpys_covariance(rng, shape):
    rows = rng.normal(size=shape) * np.geomspace(1, 0.01, shape[1])
    values = np.linalg.svd(np.cov(rows.T), compute_uv=False)
    shares = spectrum(rows)
    np.testing.assert_allclose(shares, (values / values.sum())[: len(shares)], atol=1e-12)


def test_effective_rank_of_equal_directions_is_their_number():
    rows = np.concatenate([np.eye(6), -np.eye(6)])
    assert effective_rank(spectrum(rows)) == pytest.approx(6)
    line = np.outer(np.linspace(-1, 1, 9), np.ones(5))
    assert effective_rank(spectrum(line)) == pytest.approx(1)
    assert effective_rank(spectrum(np.ones((9, 5)) / 3)) is None


def test_a_set_of_pairs(rng):
    dataset = made_up.pairs()
    pictures = rng.normal(1, 1, (len(dataset.pictures), 20)).astype(np.float32)
    result = run(evaluator(dataset), pictures, logit_scale=14.3)
    units = unit(pictures.astype(float))
    assert one(result, "logit_scale").value == 14.3
    values = np.linalg.eigvalsh(np.cov(units.T))
    shares = values / values.sum()
    expected = np.exp(-(shares * np.log(shares)).sum())
    assert one(result, "effective_rank").value == pytest.approx(expected)
    references = units[np.unique(dataset.reference)]
    cosines = (references @ references.T)[np.triu_indices(4, 1)]
    unrelated = one(result, "mean_cosine_unrelated")
    assert (unrelated.value, unrelated.n) == (pytest.approx(cosines.mean()), 4)
    distance = 1 - (units[dataset.reference] * units[dataset.distorted]).sum(axis=1)
    for level in range(1, 6):
        score = one(result, "median_distance", distance="cosine", level=float(level))
        assert score.value == pytest.approx(np.median(distance[dataset.level == level]))
        assert (score.n, score.n_units) == (12, 4)
    assert result.items["variance_share"].sum() == pytest.approx(1)


def test_a_classification_set(rng):
    labels = np.arange(90) % 4
    pictures, texts = rng.normal(1, 1, (90, 16)), rng.normal(-1, 1, (12, 16))
    result = run(evaluator(made_up.labelled(labels, 4)), pictures, texts, logit_scale=None)
    images, words = unit(pictures), unit(texts)
    apart = labels[:, None] != labels
    assert one(result, "mean_cosine_unrelated").value == pytest.approx(
        (images @ images.T)[apart].mean(), abs=1e-7
    )
    gap = np.linalg.norm(images.mean(axis=0) - words.mean(axis=0))
    assert one(result, "image_text_gap").value == pytest.approx(gap, abs=1e-6)
    scale = one(result, "logit_scale")
    assert (scale.value, scale.flag) == (None, "no_logit_scale")


@pytest.mark.parametrize("chunks", [[], [1, 1, 7], [50, 3]])
def test_a_large_set_is_sampled_evenly(rng, monkeypatch, chunks):
    monkeypatch.setattr(embedding_diagnostics, "SAMPLE", 25)
    labels = np.arange(90) % 4
    pictures, texts = rng.normal(1, 1, (90, 8)), rng.normal(size=(12, 8))
    sampled = run(evaluator(made_up.labelled(labels, 4)), pictures, texts, chunks=chunks)
    monkeypatch.setattr(embedding_diagnostics, "SAMPLE", 10_000)
    kept = run(evaluator(made_up.labelled(labels[::4], 4)), pictures[::4], texts)
    assert one(sampled, "effective_rank").n == 23
    assert [s.value for s in sampled.scores] == [s.value for s in kept.scores]


def test_undefined_values_say_why():
    dataset = made_up.pairs(references=1)
    result = run(evaluator(dataset), np.ones((len(dataset.pictures), 8)))
    assert one(result, "mean_cosine_unrelated").flag == "one_reference"
    assert one(result, "effective_rank").flag == "constant"
    same = made_up.labelled(np.zeros(9, int), 4)
    result = run(evaluator(same), np.ones((9, 8)), np.ones((12, 8)))
    assert one(result, "mean_cosine_unrelated").flag == "one_class"


def test_nothing_is_encoded_for_the_diagnostics_alone():
    sets = [made_up.pairs(), made_up.labelled(np.arange(20) % 4, 4)]
    options = TaskOptions(iqa_view="squash", conditions=(), templates=("a {}",))
    others = [e for task in (iqa, robustness) for e in task.build(sets, made_up.PIXELS, options)]
    views = {request for e in others for request in e.views().values()}
    prompts = {prompt for e in others for prompt in e.prompts()}
    for diagnostics in build(sets, made_up.PIXELS, options):
        assert set(diagnostics.views().values()) <= views
        assert set(diagnostics.prompts()) <= prompts
