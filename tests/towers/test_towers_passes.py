"""Each pass on the graph, and that it changes no value."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnx_ir as ir
import pytest
from tower_helpers import example_ids, info_of, run_graph, run_packed

from fastclip.errors import UsageError
from fastclip.towers import Towers
from fastclip.towers.base import TowerGraph
from fastclip.towers.export import capture, serialised
from fastclip.towers.identify import architecture_of
from fastclip.towers.manifest import adapt
from fastclip.towers.module import TowerModule
from fastclip.towers.passes import DEFAULT_PASSES, PASSES
from fastclip.towers.passes.base import TowerExport
from fastclip.towers.random_state import lively_state
from fastclip.towers.recipes import evaluate

TowersOf = Callable[..., Towers]
WithPasses = Callable[..., tuple[TowerExport, TowerGraph]]


@pytest.fixture(scope="module")
def module(config_path: Callable[[str], Path]) -> TowerModule:
    return TowerModule(architecture_of(str(config_path("vit"))))


@pytest.fixture(scope="module")
def with_passes(module: TowerModule, tmp_path_factory: pytest.TempPathFactory) -> WithPasses:
    """The text tower, captured once, after some passes: it has all that they look for."""
    captured = capture(module, "text")

    def run(*names: str) -> tuple[TowerExport, TowerGraph]:
        export = TowerExport(
            ir.from_proto(ir.to_proto(captured.model)),
            dict(captured.recipes),
            dict(captured.shapes),
            captured.pools_at_eot,
        )
        for name in names:
            PASSES.get(name)(export)
        graph, data = serialised(export, tmp_path_factory.mktemp("passes"), "text")
        graph.path.write_bytes(data)
        return export, graph

    return run


def operations(graph: TowerGraph, of_weights: bool = False) -> list[str]:
    model = onnx.load(graph.path, load_external_data=False)
    return [
        node.op_type
        for node in model.graph.node
        if not of_weights or any(name in graph.initializers for name in node.input)
    ]


def outputs(made: tuple[TowerExport, TowerGraph], module: TowerModule, **feeds: Any) -> np.ndarray:
    export, graph = made
    state = lively_state(module.state_names(), 9)
    packed = {name: evaluate(recipe, state) for name, recipe in export.recipes.items()}
    return run_packed(graph, packed, **{key: feeds[key] for key in graph.inputs})


def test_linear_transpose_moves_into_the_stored_array(
    with_passes: WithPasses, module: TowerModule, towers_of: TowersOf
) -> None:
    before, after = with_passes(), with_passes("linear_transpose")
    assert "Transpose" in operations(before[1], of_weights=True)
    assert "Transpose" not in operations(after[1], of_weights=True)
    name = "text/transformer.resblocks.0.mlp.c_fc.weight"
    assert before[0].recipes[name].op == "tensor"
    assert after[0].recipes[name].op == "transpose"
    assert after[1].initializers[name] == ((32, 128), "float32")
    ids, eot = example_ids(towers_of("vit"))
    a, b = (outputs(made, module, ids=ids, eot=eot) for made in (before, after))
    np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-5)


def test_eot_input_replaces_the_search(
    with_passes: WithPasses, module: TowerModule, towers_of: TowersOf
) -> None:
    before, after = with_passes(), with_passes("eot_input")
    assert before[1].inputs == ("ids",)
    assert after[1].inputs == ("ids", "eot")
    assert "ArgMax" in operations(before[1])
    ids, eot = example_ids(towers_of("vit"))
    a, b = (outputs(made, module, ids=ids, eot=eot) for made in (before, after))
    np.testing.assert_array_equal(a, b)


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
