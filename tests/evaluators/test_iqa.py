from dataclasses import replace

import made_up
import numpy as np
import pytest
from made_up import one, run
from scipy import stats

from fastclip.errors import CheckpointError
from fastclip.evaluators import iqa
from fastclip.evaluators.iqa import build
from fastclip.evaluators.iqa_scores import score_items
from fastclip.evaluators.options import TaskOptions
from fastclip.results.record import read_items, write_items
from fastclip.statistics.ceiling import ceiling
from fastclip.stimuli.psnr import of_pairs

SCIPY = {"srcc": stats.spearmanr, "plcc": stats.pearsonr, "krcc": stats.kendalltau}


@pytest.fixture
def dataset():
    return made_up.pairs()


@pytest.fixture
def embeddings(dataset):
    return np.random.default_rng(1).normal(size=(len(dataset.pictures), 24)).astype(np.float32)


def evaluator(dataset, **options):
    (found,) = build([dataset, made_up.cues(4)], made_up.PIXELS, TaskOptions(**options))
    return found


def plain_cosine(dataset, embeddings):
    a = embeddings[dataset.reference].astype(float)
    b = embeddings[dataset.distorted].astype(float)
    norms = np.linalg.norm(a, axis=1) * np.linalg.norm(b, axis=1)
    return 1 - (a * b).sum(axis=1) / norms


@pytest.mark.parametrize("metric", SCIPY)
def test_pooled_per_type_and_within_reference_against_scipy(metric, dataset, embeddings):
    result = run(evaluator(dataset), embeddings)
    distance, types = plain_cosine(dataset, embeddings), np.array(dataset.type)

    def expected(pairs):
        return -SCIPY[metric](distance[pairs], dataset.score[pairs]).statistic

    pooled = one(result, metric, distance="cosine", subset="pooled")
    assert pooled.value == pytest.approx(expected(slice(None)), abs=1e-9)
    assert (pooled.n, pooled.n_units, pooled.distortion) == (60, 4, None)
    for kind in ("type_00", "type_01", "type_02"):
        score = one(result, metric, distance="cosine", distortion=kind)
        assert score.value == pytest.approx(expected(types == kind), abs=1e-9)
        assert (score.n, score.n_units) == (20, 4)
    within = one(result, metric, distance="cosine", subset="within-reference")
    each = [expected(dataset.reference == row) for row in np.unique(dataset.reference)]
    assert within.value == pytest.approx(np.mean(each), abs=1e-9)
    assert (within.n, within.n_units, within.flag) == (60, 4, "")


@pytest.mark.parametrize("metric", SCIPY)
def test_intervals_are_a_plain_jackknife_over_references(metric, dataset, embeddings):
    result = run(evaluator(dataset), embeddings)
    distance, types = plain_cosine(dataset, embeddings), np.array(dataset.type)

    def fisher(pairs):
        return -np.arctanh(SCIPY[metric](distance[pairs], dataset.score[pairs]).statistic)

    for factors, pairs in (
        ({"subset": "pooled"}, np.full(60, True)),
        ({"distortion": "type_01"}, types == "type_01"),
    ):
        score = one(result, metric, distance="cosine", **factors)
        without = [fisher(pairs & (dataset.reference != r)) for r in set(dataset.reference)]
        half = stats.t.ppf(0.975, 3) * np.sqrt(3 * np.var(without))
        ends = np.tanh([fisher(pairs) - half, fisher(pairs) + half])
        assert score.ci_method == "jackknife-t"
        assert (score.ci_low, score.ci_high) == pytest.approx(ends, abs=1e-9)
    within = one(result, metric, distance="cosine", subset="within-reference")
    each = [np.tanh(fisher(dataset.reference == r)) for r in set(dataset.reference)]
    expected = stats.t.interval(0.95, 3, loc=np.mean(each), scale=stats.sem(each))
    assert within.ci_method == "t"
    assert (within.ci_low, within.ci_high) == pytest.approx(expected, abs=1e-9)


def test_rows_without_a_value_or_with_two_references_have_no_interval(embeddings, dataset):
    few = made_up.pairs(references=2)
    result = run(evaluator(few), embeddings[: len(few.pictures)])
    assert {(score.ci_low, score.ci_high, score.ci_method) for score in result.scores} == {
        (None, None, None)
    }
    collapsed = run(evaluator(dataset), np.ones((len(dataset.pictures), 8)))
    assert {score.ci_low for score in collapsed.scores if score.value is None} == {None}


@pytest.mark.parametrize("higher", [True, False])
def test_stored_items_give_the_same_rows_and_other_intervals(higher, embeddings, tmp_path):
    made = evaluator(made_up.pairs(higher=higher))
    result = run(made, embeddings)
    polarity = made.protocol()["higher_is_better"]
    write_items(tmp_path / "record.items.parquet", result)
    items = read_items(tmp_path / "record.json")
    assert score_items(items, higher_is_better=polarity) == result.scores
    for method in ("bootstrap", "bca"):
        again = score_items(items, higher_is_better=polarity, method=method, resamples=400)
        for other, score in zip(again, result.scores, strict=True):
            assert (other.value, other.n_units, other.flag) == (
                score.value,
                score.n_units,
                score.flag,
            )
            if score.subset == "pooled":
                assert other.ci_method == method and other.ci_low != score.ci_low
                assert other.ci_low < other.value < other.ci_high


def ranks_given(values, given):
    """Ranks less what a straight line on the ranks of `given` says of them."""
    x, y = stats.rankdata(given), stats.rankdata(values)
    line = stats.linregress(x, y)
    return y - line.intercept - line.slope * x


@pytest.mark.parametrize("higher", [True, False])
def test_psnr_is_a_baseline_and_given(higher, embeddings):
    dataset = made_up.pairs(higher=higher)
    dataset.score[:30] += 3 * np.arange(30)  # so that references differ
    result = run(evaluator(dataset), embeddings)
    psnr, types = result.items["psnr"], np.array(dataset.type)
    np.testing.assert_array_equal(psnr, of_pairs(dataset))
    quality = dataset.score if higher else -dataset.score
    for metric, scipys in SCIPY.items():
        pooled = one(result, metric, distance="psnr", subset="pooled")
        assert pooled.value == pytest.approx(scipys(psnr, quality).statistic, abs=1e-12)
        assert pooled.ci_low < pooled.value < pooled.ci_high
        own = types == "type_02"
        kind = one(result, metric, distance="psnr", distortion="type_02")
        assert kind.value == pytest.approx(scipys(psnr[own], quality[own]).statistic, abs=1e-12)

    def fisher(pairs):
        nearness = -plain_cosine(dataset, embeddings)[pairs]
        left = ranks_given(nearness, psnr[pairs]), ranks_given(quality[pairs], psnr[pairs])
        return np.arctanh(stats.pearsonr(*left).statistic)

    score = one(result, "srcc_partial_psnr", distance="cosine", subset="pooled")
    z = fisher(np.full(60, True))
    without = [fisher(dataset.reference != r) for r in set(dataset.reference)]
    half = stats.t.ppf(0.975, 3) * np.sqrt(3 * np.var(without))
    assert score.value == pytest.approx(np.tanh(z), abs=1e-9)
    assert (score.ci_low, score.ci_high) == pytest.approx(np.tanh([z - half, z + half]), abs=1e-9)
    assert (score.n, score.n_units, score.ci_method) == (60, 4, "jackknife-t")
    assert not [s for s in result.scores if s.metric == score.metric and s.distance == "psnr"]


def test_equal_pictures_and_pictures_of_other_size(dataset, embeddings, monkeypatch):
    psnr = of_pairs(dataset).copy()
    psnr[0] = np.inf
    monkeypatch.setattr(iqa, "of_pairs", lambda *_: psnr)
    result = run(evaluator(dataset), embeddings)
    pooled = {m: one(result, m, distance="psnr", subset="pooled") for m in SCIPY}
    assert (pooled["plcc"].value, pooled["plcc"].flag) == (None, "infinite")
    assert pooled["srcc"].value == pytest.approx(stats.spearmanr(psnr, dataset.score).statistic)
    psnr[0] = np.nan
    result = run(evaluator(dataset), embeddings)
    for metric in ("srcc", "plcc", "krcc"):
        score = one(result, metric, distance="psnr", subset="pooled")
        assert (score.value, score.ci_low, score.flag) == (None, None, "sizes_differ")
    given = one(result, "srcc_partial_psnr", distance="rmse", subset="pooled")
    assert (given.value, given.flag) == (None, "sizes_differ")
    assert one(result, "srcc", distance="psnr", distortion="type_01").value is not None
    assert one(result, "srcc", distance="rmse", subset="pooled").value is not None
    within = one(result, "srcc", distance="psnr", subset="within-reference")
    assert (within.n_units, within.flag) == (3, "sizes_differ in 1 references")


def test_human_ceiling_only_where_every_error_is_known(dataset, embeddings, tmp_path):
    error = np.linspace(0.5, 1, 60)
    known = run(evaluator(replace(dataset, score_error=error)), embeddings)
    for metric in SCIPY:
        score = one(known, metric, distance="human_ceiling", subset="pooled")
        assert 0.75 < score.value < 1 and (score.n, score.n_units, score.ci_low) == (60, 4, None)
        assert score.value == ceiling(metric, dataset.score, error).value
    write_items(tmp_path / "record.items.parquet", known)
    again = score_items(read_items(tmp_path / "record.json"), higher_is_better=True)
    assert again == known.scores
    error[7] = np.nan
    for absent in (dataset, replace(dataset, score_error=error)):
        result = run(evaluator(absent), embeddings)
        assert "human_ceiling" not in {score.distance for score in result.scores}
        assert result.scores == known.scores[: len(result.scores)]


def test_a_distance_that_follows_psnr_has_nothing_beyond_it(dataset):
    table = {
        "reference": dataset.reference,
        "distorted": dataset.distorted,
        "type": dataset.type,
        "level": dataset.level,
        "score": dataset.score,
        "rmse": 10 ** (-of_pairs(dataset) / 20),
        "psnr": of_pairs(dataset),
    }
    scores = score_items(table, higher_is_better=True)
    (given,) = (score for score in scores if score.metric == "srcc_partial_psnr")
    assert (given.value, given.ci_low, given.flag) == (None, None, "collinear")


@pytest.mark.parametrize("higher", [True, False])
def test_positive_is_aligned_whatever_the_polarity(higher):
    dataset = made_up.pairs(higher=higher)
    badness = -dataset.score if higher else dataset.score
    angle = 0.2 + 0.05 * (badness - badness.min())
    pictures = np.zeros((len(dataset.pictures), 2))
    pictures[dataset.distorted] = np.stack([np.cos(angle), np.sin(angle)], axis=1)
    pictures[np.unique(dataset.reference)] = (1, 0)
    result = run(evaluator(dataset), pictures)
    for subset in ("pooled", "within-reference"):
        for metric in ("srcc", "krcc"):
            score = one(result, metric, distance="cosine", subset=subset)
            assert score.value == pytest.approx(1, abs=1e-9)


def test_distances_are_those_asked_for_and_all_are_items(dataset, embeddings):
    result = run(evaluator(dataset, distances=("rmse",)), embeddings)
    assert {score.distance for score in result.scores} == {"rmse", "psnr"}
    a, b = embeddings[dataset.reference], embeddings[dataset.distorted]
    plain = np.sqrt(np.mean((a.astype(float) - b) ** 2, axis=1))
    np.testing.assert_allclose(result.items["rmse"], plain, rtol=1e-12)
    full = run(evaluator(dataset), embeddings)
    assert list(full.items) == [
        *("reference", "distorted", "type", "level", "score"),
        *("cosine", "rmse", "rmse_dimnorm", "psnr"),
    ]
    assert {len(column) for column in full.items.values()} == {60}
    assert (full.items["reference"][0], full.items["distorted"][0]) == ("i0", "i0_0_0")


def test_chunking_changes_nothing(dataset, embeddings):
    whole = run(evaluator(dataset), embeddings)
    made_up.assert_same(run(evaluator(dataset), embeddings, chunks=[1, 7, 30]), whole)


def test_an_evaluator_forgets_the_last_checkpoint(dataset, embeddings):
    used = evaluator(dataset)
    run(used, embeddings[:, ::-1] ** 3)
    made_up.assert_same(run(used, embeddings), run(evaluator(dataset), embeddings))


def test_collapsed_embeddings_are_undefined(dataset):
    result = run(evaluator(dataset), np.ones((len(dataset.pictures), 8)))
    assert {score.value for score in result.scores if score.distance != "psnr"} == {None}
    assert one(result, "srcc_partial_psnr", distance="rmse", subset="pooled").flag == "constant"
    assert one(result, "srcc", distance="rmse", subset="pooled").flag == "constant"
    within = one(result, "srcc", distance="rmse", subset="within-reference")
    assert (within.n, within.n_units, within.flag) == (0, 0, "constant in 4 references")


def test_one_collapsed_reference_is_left_out_of_the_mean(dataset, embeddings):
    own = dataset.reference == dataset.reference[0]
    embeddings[dataset.distorted[own]] = embeddings[dataset.reference[0]]
    result = run(evaluator(dataset), embeddings)
    score = one(result, "srcc", distance="rmse", subset="within-reference")
    assert (score.n, score.n_units, score.flag) == (45, 3, "constant in 1 references")


def test_a_zero_embedding_makes_its_cosine_correlations_undefined(dataset, embeddings):
    embeddings[dataset.distorted[0]] = 0
    result = run(evaluator(dataset), embeddings)
    pooled = one(result, "plcc", distance="cosine", subset="pooled")
    assert (pooled.value, pooled.flag) == (None, "zero_norm_embedding")
    assert one(result, "plcc", distance="cosine", distortion="type_01").value is not None
    assert one(result, "plcc", distance="rmse", subset="pooled").value is not None


def test_nan_fails_the_checkpoint_and_names_the_picture(dataset, embeddings):
    embeddings[17, 3] = np.nan
    with pytest.raises(CheckpointError, match=dataset.pictures.name(17)):
        run(evaluator(dataset), embeddings, chunks=[10])


def test_a_table_without_types_has_no_per_type_rows(dataset, embeddings):
    bare = replace(dataset, type=("",) * 60, level=np.full(60, -1))
    result = run(evaluator(bare), embeddings)
    assert {score.subset for score in result.scores} == {"pooled", "within-reference"}


@pytest.mark.parametrize(
    ("view", "mode"), [("auto", "longest"), ("crop", "shortest"), ("squash", "squash")]
)
def test_iqa_view_overrides_the_resize_mode(dataset, view, mode):
    pixels = replace(made_up.PIXELS, resize_mode="longest")
    (found,) = build([dataset], pixels, TaskOptions(iqa_view=view))
    (request,) = found.views().values()
    assert request.pixels.resize_mode == mode
    assert found.protocol()["pixels"]["resize_mode"] == mode


def test_equal_requests_are_equal(dataset):
    (one_request,), (other,) = (evaluator(dataset).views().values() for _ in range(2))
    assert one_request == other and hash(one_request) == hash(other)
