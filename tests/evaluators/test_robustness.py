from dataclasses import replace

import made_up
import numpy as np
import pytest
from made_up import one, run
from scipy import stats
from statsmodels.stats.proportion import proportion_confint

from fastclip.distortions.blur import GaussianBlur
from fastclip.distortions.colour import Saturate
from fastclip.distortions.noise import GaussianNoise
from fastclip.errors import CheckpointError
from fastclip.evaluators.options import TaskOptions
from fastclip.evaluators.robustness import build

K = 10
LABELS = np.arange(1200) % K


@pytest.fixture
def dataset():
    return made_up.labelled(LABELS, K)


def evaluators(dataset, **options):
    return build([made_up.cues(4), dataset], made_up.PIXELS, TaskOptions(**options))


def embeddings(right: int, seed=0):
    """(pictures, texts) of which exactly the first `right` pictures are decided right."""
    axes = np.eye(K)
    decisions = np.where(np.arange(len(LABELS)) < right, LABELS, (LABELS + 1) % K)
    noise = np.random.default_rng(seed).uniform(0, 0.1, (len(LABELS), K))
    return axes[decisions] + noise, axes.repeat(3, axis=0)


def test_clean_accuracy(dataset):
    clean = evaluators(dataset)[0]
    pictures, texts = embeddings(900)
    result = run(clean, pictures, texts)
    acc1, acc5 = one(result, "acc1"), one(result, "acc5")
    assert acc1.value == 900 / 1200
    order = np.argsort(-pictures / np.linalg.norm(pictures, axis=1, keepdims=True), axis=1)
    hits = (order[:, :5] == LABELS[:, None]).any(axis=1)
    assert 900 < hits.sum() < 1200
    assert acc5.value == hits.mean()
    np.testing.assert_array_equal(result.items["top5"], hits)
    np.testing.assert_array_equal(result.items["decision"], order[:, 0])
    np.testing.assert_array_equal(result.items["label"], LABELS)
    assert (acc1.distortion, acc1.level, acc1.noise_at, acc1.noise_seed) == (
        "none",
        None,
        None,
        None,
    )
    assert (acc1.prompts, acc1.n) == ("three/openai", 1200)
    assert {score.metric for score in result.scores} == {"acc1", "acc5", "tied_decisions"}


def test_drops_are_of_the_clean_evaluators_decisions(dataset):
    clean, noisy = evaluators(dataset)
    assert clean.after() is None and noisy.after() is clean
    before = run(clean, *embeddings(900))
    result = run(noisy, *embeddings(300, seed=1), earlier=before)
    assert one(result, "acc1").value == 0.25
    assert one(result, "drop_abs").value == pytest.approx(0.5)
    assert one(result, "drop_rel").value == pytest.approx(0.5 / 0.75)
    assert one(result, "drop_rel_chance").value == pytest.approx(0.5 / (0.75 - 0.1))
    for score in result.scores:
        factors = (score.distortion, score.level, score.noise_at, score.noise_seed, score.flag)
        assert factors == ("gaussian_noise", 0.1, "native", 0, "")


@pytest.mark.parametrize(
    ("right", "defined"), [(0, False), (120, False), (121, False), (140, False), (142, True)]
)
def test_relative_drops_are_undefined_where_the_clean_interval_holds_chance(
    dataset, right, defined
):
    clean, noisy = evaluators(dataset)
    before = run(clean, *embeddings(right))
    low, _ = proportion_confint(right, 1200, method="wilson")
    assert (low > 1 / K) == defined
    result = run(noisy, *embeddings(60), earlier=before)
    assert one(result, "drop_abs").value == pytest.approx((right - 60) / 1200)
    assert one(result, "drop_abs").flag == ""
    for metric in ("drop_rel", "drop_rel_chance"):
        score = one(result, metric)
        assert (score.value is not None) is (score.ci_low is not None) is defined
        assert score.flag == ("" if defined else "clean_at_chance")


def two_visits(dataset, rng, clean_right=0.7, noisy_right=0.5):
    """Results of a clean and a noisy visit whose decisions go together."""
    clean, noisy = evaluators(dataset)
    ease = rng.uniform(size=len(LABELS))
    results = []
    for share in (clean_right, noisy_right):
        kept = ease + rng.normal(0, 0.1, len(LABELS)) < share
        pictures = np.eye(K)[np.where(kept, LABELS, (LABELS + 1) % K)]
        before = results[0] if results else None
        visited = noisy if results else clean
        results.append(run(visited, pictures, np.eye(K).repeat(3, axis=0), earlier=before))
    return results


def test_accuracies_have_wilsons_interval(dataset):
    for result in two_visits(dataset, np.random.default_rng(0)):
        for metric in ("acc1", "acc5"):
            score = one(result, metric)
            hits = round(score.value * 1200)
            expected = proportion_confint(hits, 1200, method="wilson")
            assert (score.ci_low, score.ci_high) == pytest.approx(expected, abs=1e-12)
            assert (score.ci_method, score.n_units) == ("wilson", 1200)
        ties = one(result, "tied_decisions")
        assert (ties.ci_low, ties.ci_high, ties.ci_method) == (None, None, None)


def test_drops_have_paired_intervals(dataset):
    before, result = two_visits(dataset, np.random.default_rng(1))
    c, n = (r.items["decision"] == LABELS for r in (before, result))

    def drops(c, n, axis=-1):
        lost = c.mean(axis=axis) - n.mean(axis=axis)
        return lost, lost / c.mean(axis=axis), lost / (c.mean(axis=axis) - 1 / K)

    for row, metric in enumerate(("drop_abs", "drop_rel", "drop_rel_chance")):
        score = one(result, metric)
        assert score.value == pytest.approx(drops(c, n)[row])
        assert score.ci_low < score.value < score.ci_high
        assert score.ci_method == ("fieller" if row else "paired-t")
        assert score.n_units == 1200
        resampled = stats.bootstrap(
            (c, n),
            lambda c, n, axis, row=row: drops(c, n, axis)[row],
            paired=True,
            n_resamples=2000,
            rng=np.random.default_rng(2),
        ).confidence_interval
        width = score.ci_high - score.ci_low
        assert (score.ci_low, score.ci_high) == pytest.approx(tuple(resampled), abs=0.08 * width)
    paired = stats.ttest_rel(c.astype(float), n).confidence_interval()
    score = one(result, "drop_abs")
    assert (score.ci_low, score.ci_high) == pytest.approx(tuple(paired), abs=1e-12)


def test_a_drop_and_a_relative_drop_agree_on_whether_anything_was_lost(dataset):
    seen = set()
    for seed in range(12):
        _, result = two_visits(dataset, np.random.default_rng(seed), 0.5, 0.478)
        lows = [one(result, m).ci_low > 0 for m in ("drop_abs", "drop_rel", "drop_rel_chance")]
        assert len(set(lows)) == 1
        seen.add(lows[0])
    assert seen == {True, False}


def test_one_evaluator_per_level_and_seed(dataset):
    found = evaluators(
        dataset,
        conditions=(GaussianNoise(0.05), GaussianNoise(0.2)),
        noise_seed=7,
        noise_seeds=2,
        noise_at="input",
    )
    requests = [request for e in found for request in e.views().values()]
    assert [(r.distortion, r.noise_at) for r in requests] == [
        (None, ""),
        *((GaussianNoise(level, seed), "input") for level in (0.05, 0.2) for seed in (7, 8)),
    ]
    protocols = [str(e.protocol()) for e in found]
    assert len(set(protocols)) == 5


def test_noise_is_added_where_the_set_says(dataset):
    for place in ("native", "input"):
        _, noisy = evaluators(replace(dataset, noise_at=place))
        assert noisy.views()["pictures"].noise_at == place


def test_class_names_are_a_choice(dataset):
    by_variant = {
        variant: evaluators(dataset, class_names=variant)[0].prompts()
        for variant in ("auto", "openai", "dataset")
    }
    assert by_variant["auto"] == by_variant["openai"]
    assert by_variant["openai"][3] == "a photo of the 1."
    assert by_variant["dataset"][3] == "a photo of the_1."


def test_all_conditions_share_prompts_and_the_protocol_knows_them(dataset):
    clean, noisy = evaluators(dataset)
    other = evaluators(dataset, class_names="dataset")[0]
    assert clean.prompts() is noisy.prompts()
    assert clean.protocol()["prompts"] == noisy.protocol()["prompts"]
    assert clean.protocol()["prompts"] != other.protocol()["prompts"]


@pytest.mark.parametrize("chunks", [[1] * 9, [511, 2], [64] * 18, [700]])
def test_chunking_changes_nothing(dataset, chunks):
    clean = evaluators(dataset)[0]
    rng = np.random.default_rng(5)
    pictures, texts = rng.normal(size=(1200, 33)), rng.normal(size=(30, 33))
    whole = run(clean, pictures, texts)
    made_up.assert_same(run(clean, pictures, texts, chunks=chunks), whole)


def test_with_five_classes_top5_says_nothing():
    labels = np.arange(20) % 5
    clean = evaluators(made_up.labelled(labels, 5))[0]
    rng = np.random.default_rng(0)
    score = one(run(clean, rng.normal(size=(20, 4)), rng.normal(size=(15, 4))), "acc5")
    assert (score.value, score.flag, score.ci_low) == (1.0, "trivial", None)


def test_nan_fails_the_checkpoint_and_names_the_picture(dataset):
    pictures, texts = embeddings(900)
    pictures[700, 0] = np.inf
    with pytest.raises(CheckpointError, match="00700"):
        run(evaluators(dataset)[0], pictures, texts, chunks=[600])


def test_nan_in_a_prompt_fails_the_checkpoint_and_names_it(dataset):
    pictures, texts = embeddings(900)
    texts[4, 0] = np.nan
    with pytest.raises(CheckpointError, match="the prompt 'the 1 seen"):
        run(evaluators(dataset)[0], pictures, texts)


def test_embeddings_are_not_kept():
    """50,000 pictures cost bytes per picture, not an embedding each."""
    import tracemalloc

    rows, width = 50_000, 256
    clean = evaluators(made_up.labelled(np.zeros(rows, int), K))[0]
    clean.start(1.0)
    clean.texts(np.random.default_rng(0).normal(size=(30, width)).astype(np.float32))
    chunk = np.random.default_rng(1).normal(size=(500, width)).astype(np.float32)
    tracemalloc.start()
    for low in range(0, rows, 500):
        clean.update("pictures", slice(low, low + 500), chunk)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < rows * width * 4 / 5


def test_seeds_multiply_noise_alone(dataset):
    conditions = (GaussianNoise(0.1), GaussianBlur(2.0), Saturate(5.0, shift=0.1))
    found = evaluators(dataset, conditions=conditions, noise_seeds=2)
    rows = [run(e, *embeddings(600), earlier=run(found[0], *embeddings(900))) for e in found]
    factors = [
        (s.distortion, s.level, s.noise_at, s.noise_seed)
        for result in rows[1:]
        for s in result.scores
        if s.metric == "drop_abs"
    ]
    assert factors == [
        ("gaussian_noise", 0.1, "native", 0),
        ("gaussian_noise", 0.1, "native", 1),
        ("gaussian_blur", 2.0, "native", None),
        ("saturate", 5.0, "native", None),
    ]
    assert found[-1].protocol()["distortion"]["shift"] == 0.1
    assert len({str(e.protocol()) for e in found}) == 5
