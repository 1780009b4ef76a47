from dataclasses import replace

import made_up
import numpy as np
import pytest
from made_up import one, run
from statsmodels.stats.proportion import proportion_confint

from fastclip.evaluators.options import TaskOptions
from fastclip.evaluators.shape_bias import CueCounts, build


@pytest.mark.parametrize(
    ("shape", "texture", "bias"),
    [
        (9236, 398, 0.9587),  # ten humans, pooled (Geirhos et al., raw data of model-vs-human)
        (184, 750, 0.1970),  # Gavrikov et al., 80 templates: RN50
        (229, 669, 0.2550),  # RN101
        (615, 394, 0.6095),  # ViT-L/14
        (641, 401, 0.6152),  # ViT-L/14-336
        (696, 358, 0.6603),  # EVA01-g/14
        (714, 374, 0.6562),  # EVA02-E/14+
    ],
)
def test_published_counts_give_published_biases(shape, texture, bias):
    pictures = 12000 if shape > 1200 else 1200
    counts = CueCounts(shape, texture, pictures - shape - texture)
    assert counts.shape_bias == pytest.approx(bias, abs=5e-5)
    assert counts.cue_accuracy > 2 / 16


def test_guess_correction_takes_out_what_guessing_adds():
    """70 pictures decided by shape, 30 by texture, 1600 guessed evenly over 16 classes."""
    counts = CueCounts(70 + 100, 30 + 100, 1400)
    assert counts.guess_corrected == pytest.approx(0.7)
    assert counts.shape_bias == pytest.approx(170 / 300)


@pytest.mark.parametrize(
    ("counts", "chance"),
    [
        (CueCounts(1, 1, 14), True),  # exactly 2/16
        (CueCounts(10, 6, 112), True),
        (CueCounts(2, 1, 14), False),
        (CueCounts(0, 0, 50), True),
        (CueCounts(3, 2, 0, classes=2), True),  # of two classes one is always a cue
    ],
)
def test_the_correction_has_no_denominator_up_to_chance(counts, chance):
    assert (counts.cue_accuracy <= 2 / counts.classes) == chance
    assert np.isnan(counts.guess_corrected) == chance


def evaluator(dataset, **options):
    (found,) = build([made_up.pairs(), dataset], made_up.PIXELS, TaskOptions(**options))
    return found


def decided(dataset, decisions):
    """(pictures, texts): orthogonal classes, each picture closest to the class it shall get."""
    axes = np.eye(len(dataset.classes))
    noise = np.random.default_rng(0).uniform(0, 0.1, (len(decisions), len(axes)))
    return axes[decisions] * 3 + noise, axes.repeat(80, axis=0)


def neither(dataset):
    """For each picture the class after its shape's, or the one after that: no cue of it."""
    return (dataset.shape + 1 + (dataset.texture == (dataset.shape + 1) % 16)) % 16


@pytest.fixture
def dataset():
    return made_up.cues(16)


@pytest.fixture
def decisions(dataset):
    """A quarter by texture, a quarter elsewhere, the rest by shape."""
    turn = np.arange(256) % 4
    return np.select([turn == 0, turn == 1], [dataset.texture, neither(dataset)], dataset.shape)


def test_every_measure_from_known_decisions(dataset, decisions):
    result = run(evaluator(dataset), *decided(dataset, decisions))
    conflict = dataset.shape != dataset.texture
    s = int((conflict & (decisions == dataset.shape)).sum())
    t = int((conflict & (decisions == dataset.texture)).sum())
    g = (240 - s - t) / 14
    expected = {
        "shape_bias": s / (s + t),
        "texture_bias": t / (s + t),
        "cue_accuracy": (s + t) / 240,
        "shape_accuracy": s / 240,
        "texture_accuracy": t / 240,
        "shape_bias_guess_corrected": (s - g) / (s + t - 2 * g),
        "shape_decisions": s,
        "texture_decisions": t,
        "other_decisions": 240 - s - t,
        "tied_decisions": 0,
    }
    for metric, value in expected.items():
        score = one(result, metric)
        assert score.value == pytest.approx(value, abs=1e-12), metric
        assert (score.n, score.n_units, score.flag, score.prompts) == (
            240,
            16,
            "",
            "gavrikov-16way",
        )
    agreed = one(result, "nonconflict_accuracy")
    assert agreed.value == pytest.approx((decisions == dataset.shape)[~conflict].mean())
    assert (agreed.n, agreed.n_units) == (16, 16)


def test_each_shape_category_over_its_own_conflict_pictures(dataset, decisions):
    result = run(evaluator(dataset), *decided(dataset, decisions))
    for k, category in enumerate(dataset.classes):
        own = (dataset.shape == k) & (dataset.texture != k)
        s = (decisions == dataset.shape)[own].sum()
        t = (decisions == dataset.texture)[own].sum()
        score = one(result, "shape_bias", category=category)
        assert score.value == pytest.approx(s / (s + t))
        assert (score.n, score.n_units) == (15, 1)


def test_items_are_one_row_per_picture(dataset, decisions):
    pictures, texts = decided(dataset, decisions)
    items = run(evaluator(dataset), pictures, texts).items
    assert {len(column) for column in items.values()} == {256}
    classes = np.array(dataset.classes)
    np.testing.assert_array_equal(items["decision"], classes[decisions])
    np.testing.assert_array_equal(items["is_shape"], items["decision"] == items["shape"])
    np.testing.assert_array_equal(items["is_texture"], items["decision"] == items["texture"])
    assert items["conflict"].sum() == 240
    cosines = np.sort(pictures / np.linalg.norm(pictures, axis=1, keepdims=True), axis=1)
    np.testing.assert_allclose(items["margin"], cosines[:, -1] - cosines[:, -2], atol=1e-6)


def test_a_model_that_guesses_is_flagged(dataset):
    decisions = neither(dataset)
    conflict = np.flatnonzero(dataset.shape != dataset.texture)
    decisions[conflict[:12]] = dataset.shape[conflict[:12]]
    decisions[conflict[12:30]] = dataset.texture[conflict[12:30]]
    result = run(evaluator(dataset), *decided(dataset, decisions))
    assert one(result, "cue_accuracy").value == 2 / 16
    bias = one(result, "shape_bias")
    assert (bias.value, bias.flag) == (pytest.approx(12 / 30), "at_chance")
    corrected = one(result, "shape_bias_guess_corrected")
    assert (corrected.value, corrected.flag) == (None, "at_chance")
    assert all("at_chance" in s.flag for s in result.scores if s.category is not None)
    assert one(result, "nonconflict_accuracy").flag == ""


def test_no_decision_by_any_cue_is_undefined(dataset):
    result = run(evaluator(dataset), *decided(dataset, neither(dataset)))
    for metric in ("shape_bias", "texture_bias"):
        score = one(result, metric)
        assert (score.value, score.flag) == (None, "at_chance;no_cue_decision")
    assert one(result, "cue_accuracy").value == 0


def test_a_collapsed_model_ties_everywhere(dataset):
    result = run(evaluator(dataset), np.ones((256, 16)), np.ones((1280, 16)))
    assert one(result, "tied_decisions").value == 240
    assert set(result.items["decision"]) == {"c00"}


def test_prompts_are_eighty_templates_of_every_class(dataset):
    prompts = evaluator(dataset).prompts()
    assert len(prompts) == 1280
    assert prompts[0] == "a bad photo of a c00."
    assert prompts[-1] == "a tattoo of the c15."


def test_fewer_classes_and_own_templates_are_named_so():
    dataset = made_up.cues(4)
    own = evaluator(dataset, templates=("{}",))
    assert own.prompts() == dataset.classes
    plain = evaluator(dataset)
    result = run(plain, *decided(dataset, dataset.shape))
    assert one(result, "shape_bias").prompts == "gavrikov-4way"
    assert one(result, "shape_bias").value == 1
    assert own.protocol()["prompts_name"].startswith("own-1-")
    assert own.protocol()["prompts"] != plain.protocol()["prompts"]


def test_a_set_without_nonconflict_pictures(dataset):
    rows = dataset.shape != dataset.texture
    names = [dataset.pictures.name(row) for row in np.flatnonzero(rows)]
    some = replace(
        dataset,
        pictures=made_up.Named(names),
        shape=dataset.shape[rows],
        texture=dataset.texture[rows],
        shape_exemplar=tuple(np.array(dataset.shape_exemplar)[rows]),
        texture_exemplar=tuple(np.array(dataset.texture_exemplar)[rows]),
    )
    result = run(evaluator(some), *decided(some, some.shape))
    score = one(result, "nonconflict_accuracy")
    assert (score.value, score.n, score.flag) == (None, 0, "no_pictures")


def test_chunking_changes_nothing(dataset, decisions):
    pictures, texts = decided(dataset, decisions)
    whole = run(evaluator(dataset), pictures, texts)
    made_up.assert_same(run(evaluator(dataset), pictures, texts, chunks=[1, 2, 100]), whole)


def mixed(dataset, rng, cue=0.8, shape=0.4):
    """Decisions by shape, texture or at random."""
    n = len(dataset.shape)
    by_cue = np.where(rng.uniform(size=n) < shape, dataset.shape, dataset.texture)
    return np.where(rng.uniform(size=n) < cue, by_cue, rng.integers(0, 16, n))


FRACTIONS = {
    "shape_bias": ((1, 0, 0), (1, 1, 0)),
    "texture_bias": ((0, 1, 0), (1, 1, 0)),
    "cue_accuracy": ((1, 1, 0), (1, 1, 1)),
    "shape_accuracy": ((1, 0, 0), (1, 1, 1)),
    "texture_accuracy": ((0, 1, 0), (1, 1, 1)),
    "shape_bias_guess_corrected": ((1, 0, -1 / 14), (1, 1, -2 / 14)),
}
"""Weights of decisions by shape, by texture, by neither in numerator and denominator."""


def drawn_again(dataset, decisions, rows, resamples=3000):
    """Percentile intervals by drawing exemplars with numpy, one resample after the other."""
    rng = np.random.default_rng(7)
    shapes, s = np.unique(np.array(dataset.shape_exemplar)[rows], return_inverse=True)
    textures, t = np.unique(np.array(dataset.texture_exemplar)[rows], return_inverse=True)
    kind = np.select([decisions == dataset.shape, decisions == dataset.texture], [0, 1], default=2)[
        rows
    ]
    found = {metric: [] for metric in FRACTIONS}
    for _ in range(resamples):
        of_shape = np.bincount(rng.integers(0, len(shapes), len(shapes)), minlength=len(shapes))
        of_texture = np.bincount(
            rng.integers(0, len(textures), len(textures)), minlength=len(textures)
        )
        counts = np.bincount(kind, weights=of_shape[s] * of_texture[t], minlength=3)
        for metric, (above, below) in FRACTIONS.items():
            found[metric].append(counts @ above / (counts @ below))
    return {metric: np.percentile(values, [2.5, 97.5]) for metric, values in found.items()}


def test_intervals_draw_shape_and_texture_exemplars():
    dataset = made_up.cues(16, per_pair=3)
    decisions = mixed(dataset, np.random.default_rng(0))
    result = run(evaluator(dataset), *decided(dataset, decisions))
    conflict = dataset.shape != dataset.texture
    expected = drawn_again(dataset, decisions, conflict)
    for metric, (low, high) in expected.items():
        score = one(result, metric)
        assert score.ci_low < score.value < score.ci_high
        near = pytest.approx((low, high), abs=0.1 * (high - low))
        assert (score.ci_low, score.ci_high) == near, metric
        assert (score.ci_method, score.n_units) == ("two-way-bootstrap", 48)
    own = conflict & (dataset.shape == 3)
    low, high = drawn_again(dataset, decisions, own)["shape_bias"]
    score = one(result, "shape_bias", category="c03")
    assert (score.ci_low, score.ci_high) == pytest.approx((low, high), abs=0.15 * (high - low))
    assert score.n_units == 3
    for name in ("shape", "texture", "other", "tied"):
        score = one(result, f"{name}_decisions")
        assert (score.ci_low, score.ci_high, score.ci_method) == (None, None, None)


def test_agreeing_pictures_have_wilsons_interval(dataset, decisions):
    score = one(run(evaluator(dataset), *decided(dataset, decisions)), "nonconflict_accuracy")
    expected = proportion_confint(round(score.value * 16), 16, method="wilson")
    assert (score.ci_low, score.ci_high) == pytest.approx(expected, abs=1e-12)
    assert (score.ci_method, score.n_units) == ("wilson", 16)


def test_a_cue_accuracy_not_known_to_be_above_chance_is_flagged():
    dataset = made_up.cues(16, per_pair=5)
    decisions = mixed(dataset, np.random.default_rng(3), cue=0.02)
    result = run(evaluator(dataset), *decided(dataset, decisions))
    accuracy = one(result, "cue_accuracy")
    assert accuracy.ci_low <= 2 / 16 < accuracy.value
    bias = one(result, "shape_bias")
    assert bias.value is not None and bias.flag == "at_chance"
    corrected = one(result, "shape_bias_guess_corrected")
    assert corrected.value is not None
    assert (corrected.ci_low, corrected.flag) == (None, "at_chance")


def test_a_category_may_be_at_chance_alone():
    dataset = made_up.cues(16, per_pair=5)
    rng = np.random.default_rng(3)
    decisions = mixed(dataset, rng)
    guessing = dataset.shape == 5
    decisions[guessing] = rng.integers(0, 16, guessing.sum())
    result = run(evaluator(dataset), *decided(dataset, decisions))
    flagged = {s.category for s in result.scores if s.flag == "at_chance"}
    assert flagged == {"c05"}


def test_decisions_of_one_kind_have_no_interval(dataset):
    result = run(evaluator(dataset), *decided(dataset, dataset.shape))
    for metric in ("shape_bias", "cue_accuracy"):
        score = one(result, metric)
        assert (score.value, score.flag) == (1, "")
        assert (score.ci_low, score.ci_high, score.ci_method) == (None, None, None)


def test_every_checkpoint_has_the_same_draws(dataset, decisions):
    used = evaluator(dataset)
    first = run(used, *decided(dataset, decisions))
    run(used, *decided(dataset, dataset.texture))
    made_up.assert_same(run(used, *decided(dataset, decisions)), first)
    made_up.assert_same(run(evaluator(dataset), *decided(dataset, decisions)), first)
