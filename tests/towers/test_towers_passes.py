"""Each pass on the graph, and that it changes no value."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import onnx
import pytest
from tower_helpers import example_ids, example_pixels, info_of, run_graph

from fastclip.errors import UsageError
from fastclip.towers import Towers
from fastclip.towers.base import TowerGraph
from fastclip.towers.manifest import adapt
from fastclip.towers.passes import DEFAULT_PASSES, PASSES
from fastclip.towers.random_state import lively_state

TowersOf = Callable[..., Towers]


def operations(graph: TowerGraph, of_weights: bool = False) -> list[str]:
    model = onnx.load(graph.path, load_external_data=False)
    return [
        node.op_type
        for node in model.graph.node
        if not of_weights or any(name in graph.initializers for name in node.input)
    ]


def outputs(towers: Towers) -> tuple[np.ndarray, np.ndarray]:
    assert towers.text is not None
    state = lively_state(towers.module_manifest.shapes, 9)
    manifest = adapt(towers, info_of(state), "open_clip").manifest
    ids, eot = example_ids(towers)
    given = {key: {"ids": ids, "eot": eot}[key] for key in towers.text.inputs}
    images = run_graph(towers.visual, manifest, state, pixels=example_pixels(towers))
    return images, run_graph(towers.text, manifest, state, **given)


def test_linear_transpose_moves_into_the_stored_array(towers_of: TowersOf) -> None:
    without, with_pass = towers_of("vit", passes=()), towers_of("vit", passes=("linear_transpose",))
    assert "Transpose" in operations(without.visual, of_weights=True)
    assert "Transpose" not in operations(with_pass.visual, of_weights=True)
    name = "visual/transformer.resblocks.0.mlp.c_fc.weight"
    assert without.manifest.recipes[name].op == "tensor"
    assert with_pass.manifest.recipes[name].op == "transpose"
    assert with_pass.visual.initializers[name] == ((32, 128), "float32")
    for a, b in zip(outputs(without), outputs(with_pass), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-5)


def test_eot_input_replaces_the_search(towers_of: TowersOf) -> None:
    without, with_pass = towers_of("vit", passes=()), towers_of("vit", passes=("eot_input",))
    assert without.text is not None and with_pass.text is not None
    assert without.text.inputs == ("ids",)
    assert with_pass.text.inputs == ("ids", "eot")
    assert "ArgMax" in operations(without.text)
    assert "ArgMax" not in operations(with_pass.text)
    np.testing.assert_array_equal(outputs(without)[1], outputs(with_pass)[1])


def test_end_of_text_is_obeyed(towers_of: TowersOf) -> None:
    towers = towers_of("vit")
    assert towers.text is not None
    state = lively_state(towers.module_manifest.shapes, 9)
    manifest = adapt(towers, info_of(state), "open_clip").manifest
    ids, eot = example_ids(towers)
    there = run_graph(towers.text, manifest, state, ids=ids, eot=eot)
    elsewhere = run_graph(towers.text, manifest, state, ids=ids, eot=eot - 1)
    assert np.abs(there - elsewhere).max() > 0.1


def test_towers_not_pooled_at_end_of_text_take_no_eot(towers_of: TowersOf) -> None:
    for name in ("coca", "siglip"):
        text = towers_of(name).text
        assert text is not None and text.inputs == ("ids",)


def test_unknown_pass_is_refused_with_the_choices(towers_of: TowersOf) -> None:
    with pytest.raises(UsageError) as refusal:
        towers_of("vit", passes=("fuse_everything",))
    assert all(name in str(refusal.value) for name in PASSES)
    assert set(DEFAULT_PASSES) <= set(PASSES)
