"""Recipes, packing, and fitting manifests to a checkpoint's own naming."""

from __future__ import annotations

import json
from collections.abc import Callable

import numpy as np
import pytest
import torch
from tower_helpers import example_ids, example_pixels, info_of, run_graph

from fastclip.errors import CheckpointError
from fastclip.towers import Manifest, Recipe, Towers, pack
from fastclip.towers.manifest import adapt, compose, manifest_from_json, manifest_to_json
from fastclip.towers.module import build_module
from fastclip.towers.random_state import lively_state
from fastclip.towers.recipes import (
    concat,
    evaluate,
    part,
    patch_bias,
    patch_weight,
    reshape,
    shape_of,
    tensor,
    transpose,
)

TowersOf = Callable[..., Towers]

ARRAYS = {
    "a": np.arange(6, dtype=np.float32).reshape(2, 3),
    "b": np.arange(3, dtype=np.float32).reshape(1, 3),
}


def canonical(towers: Towers, seed: int = 1) -> dict[str, np.ndarray]:
    """A random checkpoint in the naming open_clip saves the architecture in."""
    state = lively_state(towers.module_manifest.shapes, seed)
    return {recipe.name: state[k] for k, recipe in towers.module_manifest.recipes.items()}


def custom(towers: Towers, seed: int = 1) -> dict[str, np.ndarray]:
    """The same with the text tower under `text.`."""
    return lively_state(towers.module_manifest.shapes, seed)


def test_recipes_do_what_numpy_does() -> None:
    recipe = transpose(concat(tensor("a"), reshape(tensor("b"), (1, 3))))
    expected = np.concatenate([ARRAYS["a"], ARRAYS["b"]]).T
    got = evaluate(recipe, ARRAYS)
    np.testing.assert_array_equal(got, expected)
    assert got.flags.c_contiguous
    assert shape_of(recipe, info_of(ARRAYS)) == (3, 3)
    assert evaluate(tensor("a"), ARRAYS) is ARRAYS["a"]
    large = np.random.default_rng(0).normal(size=(300, 70)).astype(np.float32)
    np.testing.assert_array_equal(evaluate(transpose(tensor("c")), {"c": large}), large.T)


def test_parts_are_equal_rows_and_of_a_join_its_arrays() -> None:
    whole = {"w": np.arange(18, dtype=np.float32).reshape(6, 3)}
    for i in range(3):
        got = evaluate(part(tensor("w"), i, 3), whole)
        np.testing.assert_array_equal(got, whole["w"][2 * i : 2 * i + 2])
    assert shape_of(part(tensor("w"), 0, 3), info_of(whole)) == (2, 3)
    assert shape_of(part(tensor("w"), 0, 4), info_of(whole)) is None
    joined = {"w": concat(tensor("q"), tensor("k"), tensor("v"))}
    manifest = Manifest({"p": transpose(part(tensor("w"), 1, 3))}, {"p": (3, 2)})
    assert compose(manifest, joined).recipes == {"p": transpose(tensor("k"))}


@pytest.mark.parametrize("bias", [None, "bias"])
def test_patches_of_bytes_give_what_the_convolution_gives(bias: str | None) -> None:
    """Against torch's convolution of normalised pixels in float64; arrays and tensors alike."""
    generator = np.random.default_rng(0)
    mean, std = (0.48, 0.46, 0.41), (0.27, 0.26, 0.28)
    arrays = {
        "weight": generator.standard_normal((7, 3, 4, 2), dtype=np.float32),
        "bias": generator.standard_normal(7, dtype=np.float32),
    }
    pixels = generator.integers(0, 256, (5, 3, 4, 2), dtype=np.uint8)
    normalised = (pixels / 255 - np.reshape(mean, (3, 1, 1))) / np.reshape(std, (3, 1, 1))
    weight64, bias64 = (torch.from_numpy(arrays[k]).double() for k in ("weight", "bias"))
    expected = torch.conv2d(torch.from_numpy(normalised), weight64, bias64 if bias else None)
    patches = (pixels.transpose(0, 2, 3, 1).reshape(5, -1).astype(np.float64) - 128) / 128
    recipes = (
        patch_weight(tensor("weight"), mean, std),
        patch_bias(tensor("weight"), tensor(bias) if bias else None, mean, std),
    )
    for given in (arrays, {k: torch.from_numpy(v) for k, v in arrays.items()}):
        weight, offset = (np.asarray(evaluate(recipe, given)) for recipe in recipes)
        assert weight.dtype == offset.dtype == np.float32 and weight.flags.c_contiguous
        got = patches @ weight.astype(np.float64) + offset
        np.testing.assert_allclose(got, expected.numpy().reshape(5, 7), rtol=1e-6, atol=1e-6)
    assert [shape_of(recipe, info_of(arrays)) for recipe in recipes] == [(24, 7), (7,)]
    manifest = Manifest({"w": recipes[0], "b": recipes[1]}, {"w": (24, 7), "b": (7,)})
    assert manifest_from_json(json.loads(json.dumps(manifest_to_json(manifest)))) == manifest


def test_shapes_that_do_not_join_have_none() -> None:
    info = info_of({"a": np.zeros((2, 3)), "c": np.zeros((2, 4))})
    assert shape_of(concat(tensor("a"), tensor("c")), info) is None
    assert shape_of(reshape(tensor("a"), (5,)), info) is None


def test_manifest_survives_json_and_composition() -> None:
    recipe = transpose(concat(tensor("x"), reshape(tensor("y"), (1, 3))))
    manifest = Manifest({"visual/w": recipe, "s": tensor("x")}, {"visual/w": (3, 3), "s": (2, 3)})
    again = manifest_from_json(json.loads(json.dumps(manifest_to_json(manifest))))
    assert again == manifest
    composed = compose(again, {"x": tensor("a"), "y": concat(tensor("b"))})
    assert composed.needed == ("a", "b")
    np.testing.assert_array_equal(pack(composed, ARRAYS)["s"], ARRAYS["a"])
    assert composed.recipes["visual/w"].of[0].of[0] == Recipe("tensor", name="a")


def test_packing_refuses_what_is_not_finite() -> None:
    manifest = Manifest({"w": tensor("a")}, {"w": (2, 3)})
    for bad in (np.nan, np.inf, -np.inf):
        array = ARRAYS["a"].copy()
        array[1, 2] = bad
        with pytest.raises(CheckpointError, match=r"'a' holds 1 values .*\(of 6\)"):
            pack(manifest, {"a": array})
    # Large but finite: the quick sum of squares overflows, the weights are fine.
    pack(manifest, {"a": np.full((2, 3), 3e38, np.float32)})


def test_packing_refuses_missing_and_misshapen() -> None:
    manifest = Manifest({"w": tensor("a")}, {"w": (3, 2)})
    with pytest.raises(CheckpointError, match=r"\(2, 3\) but .*\(3, 2\)") as refusal:
        pack(manifest, ARRAYS)
    assert "--model" in str(refusal.value)
    with pytest.raises(CheckpointError, match="'a' is not in the checkpoint"):
        pack(manifest, {})


def test_both_namings_of_the_text_tower_pack_the_same(towers_of: TowersOf) -> None:
    towers = towers_of("vit")
    plain, under_text = canonical(towers), custom(towers)
    assert "text_projection" in plain and "text.text_projection" in under_text
    first = pack(adapt(towers, info_of(plain), "open_clip").manifest, plain)
    second = pack(adapt(towers, info_of(under_text), "open_clip").manifest, under_text)
    assert first.keys() == second.keys()
    for name in first:
        np.testing.assert_array_equal(first[name], second[name])


def test_what_else_checkpoints_hold_is_passed_over(towers_of: TowersOf) -> None:
    towers = towers_of("coca")
    state = canonical(towers)
    extra = {
        "text_decoder.ln_final.weight": np.zeros(32, np.float32),
        "attn_mask": np.zeros((16, 16), np.float32),
        "text.transformer.embeddings.position_ids": np.zeros((1, 16), np.int64),
        "visual.bn1.num_batches_tracked": np.zeros((), np.int64),
        "input_resolution": np.zeros((), np.int64),
    }
    own = adapt(towers, info_of(state | extra), "open_clip")
    assert not set(extra) & {*own.manifest.needed, *own.module_manifest.needed}


def test_logit_scale_of_another_rank_and_absent_bias(towers_of: TowersOf) -> None:
    towers = towers_of("siglip")
    state = canonical(towers)
    assert state["logit_scale"].shape == ()
    del state["logit_bias"]
    state["logit_scale"] = np.array([3.0], np.float32)
    own = adapt(towers, info_of(state), "open_clip")
    packed = pack(own.manifest, state)
    assert packed["logit_scale"].shape == () and packed["logit_scale"] == 3
    assert "logit_bias" not in packed
    build_module(towers).load(pack(own.module_manifest, state))
    ids, _ = example_ids(towers)
    assert towers.text is not None
    assert np.isfinite(run_graph(towers.text, own.manifest, state, ids=ids)).all()
    assert run_graph(towers.visual, own.manifest, state, pixels=example_pixels(towers)).shape == (
        3,
        32,
    )


def test_another_architecture_is_refused_by_name(towers_of: TowersOf) -> None:
    towers = towers_of("vit")
    state = canonical(towers)
    del state["visual.ln_post.bias"]
    state["visual.proj"] = np.zeros((32, 25), np.float32)
    state["visual.transformer.resblocks.1.ln_1.weight"] = np.zeros(32, np.float32)
    with pytest.raises(CheckpointError) as refusal:
        adapt(towers, info_of(state), "open_clip")
    text = str(refusal.value)
    assert "'visual.ln_post.bias' is missing" in text
    assert "'visual.proj' is 32x25, not 32x24" in text
    assert "'visual.transformer.resblocks.1.ln_1.weight' is not of this architecture" in text
    assert "--model" in text
