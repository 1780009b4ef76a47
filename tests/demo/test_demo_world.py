from __future__ import annotations

import numpy as np
import pytest

from fastclip.demo import shapes, textures, world

LABELS = np.arange(len(world.CLASSES))


def scenes(seed: int) -> world.Scenes:
    return world.sample(np.random.default_rng(seed), LABELS, LABELS)


def test_every_class_has_its_own_shape_and_texture():
    assert tuple(sorted(set(world.WORDS))) == world.WORDS
    assert {entry.shape for entry in world.CLASSES} == set(shapes.OUTLINES)
    assert {entry.texture for entry in world.CLASSES} == set(textures.TEXTURES)


def test_equal_seeds_draw_equal_bytes_and_others_do_not():
    once, again, other = (world.draw(scenes(seed)) for seed in (3, 3, 4))
    assert once.dtype == np.uint8 and once.shape == (16, 32, 32, 3)
    assert np.array_equal(once, again)
    assert not np.array_equal(once, other)


def test_a_scene_does_not_depend_on_its_neighbours():
    many = scenes(0)
    alone = world.draw(many.take(slice(5, 6)), (48, 64))
    assert np.array_equal(world.draw(many, (48, 64))[5:6], alone)


def test_training_scenes_show_no_conflict_of_cues():
    labels = np.random.default_rng(0).integers(0, 16, 2000)
    drawn = world.everyday(np.random.default_rng(1), labels)
    plain, close_up = drawn.texture < 0, drawn.shape < 0
    assert not (plain & close_up).any()
    assert np.array_equal(drawn.shape[~close_up], labels[~close_up])
    assert np.array_equal(drawn.texture[~plain], labels[~plain])
    assert plain.mean() == pytest.approx(0.1, abs=0.03)
    assert close_up.mean() == pytest.approx(0.1, abs=0.03)


@pytest.mark.parametrize("name", shapes.OUTLINES)
def test_a_shape_differs_from_every_other(name):
    masks = {
        other: shapes.draw_mask(other, (16, 16), 12, 0.0, (32, 32)) for other in shapes.OUTLINES
    }
    mine = masks.pop(name)
    assert 0.1 < mine.mean() < 0.6
    assert min(np.abs(mine - other).mean() for other in masks.values()) > 0.03


@pytest.mark.parametrize("name", textures.TEXTURES)
def test_a_texture_has_both_colours_and_no_others(name):
    v, u = np.mgrid[-3:3:64j, -3:3:64j].astype(np.float32)
    share = textures.TEXTURES[name](u[None], v[None])
    assert share.min() >= 0 and share.max() <= 1
    assert 0.1 < share.mean() < 0.9
    assert share.std() > 0.15


def test_captions_name_the_class_and_only_true_colours():
    drawn = world.everyday(np.random.default_rng(2), np.tile(LABELS, 40))
    sentences = world.caption(drawn, np.random.default_rng(3))
    for row, sentence in enumerate(sentences):
        words = sentence.rstrip(".").split()
        assert world.WORDS[row % 16] in words
        colours = {int(drawn.colour[row]), int(drawn.ground[row])}
        named = {world.COLOUR_NAMES.index(w) for w in words if w in world.COLOURS}
        assert named <= colours
        assert " a orange" not in sentence and not sentence.startswith("a arrow")
    assert len(set(sentences)) > 200
