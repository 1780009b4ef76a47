from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from scipy.stats import spearmanr

from fastclip.demo import sets, world
from fastclip.demo.distort import DISTORTIONS, distort, pseudo_score
from fastclip.stimuli import cifar100, cue_conflict, tid2013


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("toy")
    sets.write_tid2013(made / "toy-tid2013", 0)
    sets.write_cue_conflict(made / "toy-cue-conflict", 0)
    sets.write_cifar100(made / "toy-cifar", 0)
    return made


def test_toy_tid2013_loads_as_tid2013(folder):
    loaded = tid2013.load(folder / "toy-tid2013", name="toy-tid2013")
    assert loaded.label == "toy-tid2013" and loaded.complete and not loaded.notes
    assert len(loaded.score) == 16 * len(DISTORTIONS) * 5
    assert len(loaded.pictures) == 16 + len(loaded.score)
    assert loaded.score.min() > 0 and loaded.score.max() < 9
    picture = loaded.pictures.decode(0, loaded.pictures.encoded(0))
    assert picture.shape == (48, 64, 3)
    assert "no human data" in (folder / "toy-tid2013" / "readme.txt").read_text()


def test_pseudo_scores_follow_the_level_of_each_type(folder):
    loaded = tid2013.load(folder / "toy-tid2013", name="toy-tid2013")
    for kind in dict.fromkeys(loaded.type):
        rows = [row for row, name in enumerate(loaded.type) if name == kind]
        means = [
            loaded.score[[r for r in rows if loaded.level[r] == lv]].mean() for lv in range(1, 6)
        ]
        assert means == sorted(means, reverse=True), kind


def test_toy_cue_conflict_has_every_pair_of_classes(folder):
    loaded = cue_conflict.load(folder / "toy-cue-conflict", name="toy-cue-conflict")
    assert loaded.complete and not loaded.notes
    assert loaded.classes == world.WORDS
    pairs = np.zeros((16, 16), int)
    np.add.at(pairs, (loaded.shape, loaded.texture), 1)
    assert (pairs == sets.CUE_PER_PAIR).all()
    for exemplars in (loaded.shape_exemplar, loaded.texture_exemplar):
        assert len(set(exemplars)) == 16 * sets.CUE_EXEMPLARS


def test_toy_cifar_loads_as_cifar100(folder):
    loaded = cifar100.load(folder / "toy-cifar", name="toy-cifar")
    assert loaded.complete and loaded.class_names["dataset"] == world.WORDS
    assert (np.bincount(loaded.label_index) == sets.CIFAR_PER_CLASS).all()
    rng = np.random.default_rng([0, 4])
    labels = rng.permutation(np.repeat(np.arange(16), sets.CIFAR_PER_CLASS))
    drawn = world.draw(world.everyday(rng, labels))
    row = 77
    assert np.array_equal(loaded.pictures.decode(row, loaded.pictures.encoded(row)), drawn[row])


def test_the_same_seed_writes_the_same_files(folder, tmp_path):
    sets.write_cifar100(tmp_path, 0)
    for name in ("test", "meta"):
        assert (tmp_path / name).read_bytes() == (folder / "toy-cifar" / name).read_bytes()


def test_a_visible_error_costs_more_than_one_the_eye_filters_out():
    rng = np.random.default_rng(0)
    reference = rng.integers(60, 190, (48, 64, 3), dtype=np.uint8)
    assert pseudo_score(reference, reference) == 9
    x = np.arange(64)
    seen = 10 * np.sin(2 * np.pi * x * 16 / 64)  # 8 cycles per degree
    unseen = np.full(64, 10 / np.sqrt(2))  # a shift of the same power
    scores = [
        pseudo_score(reference, np.rint(reference + wave[None, :, None]).astype(np.uint8))
        for wave in (seen, unseen)
    ]
    assert scores[0] < scores[1] - 1


def test_pseudo_scores_agree_with_psnr_on_noise():
    rng = np.random.default_rng(1)
    reference = world.draw(world.sample(rng, np.arange(4), np.arange(4)), (48, 64))[2]
    noisy = [distort(reference, DISTORTIONS[0], level, [level]) for level in range(1, 6)]
    errors = [((n.astype(float) - reference) ** 2).mean() for n in noisy]
    assert spearmanr(
        errors, [pseudo_score(reference, n) for n in noisy]
    ).statistic == pytest.approx(-1)
