"""The passes that save work, each on or off, against open_clip's own module."""

from __future__ import annotations

import json
from collections.abc import Callable
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnx_ir as ir
import pytest
import torch
from tower_helpers import CONFIGS, run_packed

from fastclip.parity.compare import relative_l2
from fastclip.towers import TowerGraph, Towers
from fastclip.towers.export import capture, run_passes, serialised
from fastclip.towers.fusing import fused
from fastclip.towers.identify import architecture_of
from fastclip.towers.module import TowerModule
from fastclip.towers.passes import DEFAULT_PASSES
from fastclip.towers.passes.base import TowerExport, dimensions, infer_shapes
from fastclip.towers.random_state import lively_state
from fastclip.towers.recipes import evaluate

TowersOf = Callable[..., Towers]
Run = tuple[TowerExport, TowerGraph]

TWO_BLOCKS = {
    **CONFIGS["vit"],
    "vision_cfg": {**CONFIGS["vit"]["vision_cfg"], "layers": 2},
    "text_cfg": {**CONFIGS["vit"]["text_cfg"], "layers": 2},
}
OF_THE_OTHER_TOWER = {"visual": "eot_input", "text": "patch_product"}
SUBSETS = [
    (part, chosen)
    for part, without in OF_THE_OTHER_TOWER.items()
    for count in range(len(DEFAULT_PASSES))
    for chosen in combinations([name for name in DEFAULT_PASSES if name != without], count)
] + [(part, DEFAULT_PASSES) for part in OF_THE_OTHER_TOWER]


class Tower:
    """One tower, exported once; passes run over copies."""

    def __init__(self, config: dict[str, Any], part: str, folder: Path) -> None:
        path = folder / "config.json"
        path.write_text(json.dumps(config))
        self.folder = folder
        self.part = part
        self.module = TowerModule(architecture_of(str(path)), text=part == "text")
        self.captured = capture(self.module, part)
        self.state = lively_state(self.module.state_names(), 9)
        self.module.load(self.state)
        generator = np.random.default_rng(1)
        if part == "visual":
            shape = (3, *self.module.image_size, 3)
            self.inputs = {"pixels": generator.integers(0, 256, shape, dtype=np.uint8)}
            self.expected = self.module.encode_image(torch.from_numpy(self.inputs["pixels"]))
        else:
            eot = np.array([5, 0, self.module.context_length - 1])
            ids = generator.integers(1, self.module.eot_id, (3, self.module.context_length))
            ids[np.arange(3), eot] = self.module.eot_id
            self.inputs = {"ids": ids, "eot": eot}
            self.expected = self.module.encode_text(torch.from_numpy(ids))

    def after(self, *passes: str) -> Run:
        """The tower after some passes."""
        model = ir.from_proto(ir.to_proto(self.captured.model))
        given = self.captured
        export = TowerExport(model, dict(given.recipes), dict(given.shapes), given.pools_at_eot)
        run_passes(export, self.module, self.part, passes)
        graph, data = serialised(export, self.folder, self.part)
        graph.path.write_bytes(data)
        return export, graph

    def error(self, run: Run, graph: TowerGraph | None = None) -> float:
        """Largest relative distance between its embeddings and open_clip's."""
        export, own = run
        packed = {name: evaluate(recipe, self.state) for name, recipe in export.recipes.items()}
        feeds = {name: self.inputs[name] for name in own.inputs}
        return float(relative_l2(run_packed(graph or own, packed, **feeds), self.expected.numpy()))


@pytest.fixture(scope="module")
def towers(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Tower]:
    return {
        part: Tower(TWO_BLOCKS, part, tmp_path_factory.mktemp(part)) for part in ("visual", "text")
    }


def sizes(run: Run) -> dict[str, tuple[int | None, ...]]:
    """`{weight: shape}` of what every product with a weight gives; None for what is free."""
    export, _ = run
    infer_shapes(export.model)
    return {
        str(node.inputs[1].name).rpartition("blocks.")[2]: dimensions(node.outputs[0])
        for node in export.model.graph
        if node.op_type == "MatMul" and node.inputs[1].name in export.recipes
    }


def operations(run: Run | TowerGraph) -> list[str]:
    graph = run if isinstance(run, TowerGraph) else run[1]
    model = onnx.load(graph.path, load_external_data=False)
    return [node.op_type for node in model.graph.node if node.op_type != "Constant"]


@pytest.mark.parametrize(("part", "passes"), SUBSETS)
def test_every_subset_gives_the_same_embeddings(
    part: str, passes: tuple[str, ...], towers: dict[str, Tower]
) -> None:
    tower = towers[part]
    assert tower.error(tower.after(*passes)) < 1e-6


@pytest.mark.parametrize("part", ["visual", "text"])
def test_the_last_block_computes_keys_and_values_of_all_tokens_and_one_token_else(
    part: str, towers: dict[str, Tower]
) -> None:
    tokens = 17 if part == "visual" else None
    found = sizes(towers[part].after(*DEFAULT_PASSES))
    one = {"attn.in_proj_weight.q", "attn.out_proj.weight.T", "mlp.c_fc.weight"}
    one |= {"mlp.c_proj.weight"}
    for name, (_, rows, _) in ((k, v) for k, v in found.items() if k[:2] in ("0.", "1.")):
        assert rows == (1 if name.startswith("1.") and name[2:] in one else tokens), name
    assert len([name for name in found if name.startswith("1.")]) == 6


def test_text_without_its_end_as_an_input_computes_all_tokens(towers: dict[str, Tower]) -> None:
    without = [name for name in DEFAULT_PASSES if name != "eot_input"]
    found = sizes(towers["text"].after(*without))
    assert found["1.mlp.c_fc.weight"] == found["0.mlp.c_fc.weight"] == (None, None, 128)


def test_without_batch_first_only_what_follows_attention_is_saved(
    towers: dict[str, Tower],
) -> None:
    found = sizes(towers["visual"].after("linear_transpose", "last_block"))
    assert found["1.mlp.c_fc.weight"][1] == found["1.mlp.c_proj.weight"][1] == 1
    assert found["0.mlp.c_fc.weight"][1] == 17


def test_attention_moves_heads_and_nothing_else(towers: dict[str, Tower]) -> None:
    """Queries, keys, values and what is mixed of them, in each of two blocks; and the patches."""
    before = operations(towers["visual"].after("linear_transpose", "patch_product"))
    after = operations(towers["visual"].after(*DEFAULT_PASSES))
    assert before.count("Transpose") == 1 + 2 * 8
    assert after.count("Transpose") == 1 + 2 * 4


def test_patches_are_moved_as_bytes_and_multiplied_once(towers: dict[str, Tower]) -> None:
    export, graph = towers["visual"].after(*DEFAULT_PASSES)
    kinds = operations(graph)
    assert "Conv" not in kinds and "Div" not in kinds
    infer_shapes(export.model)
    (pixels,) = export.model.graph.inputs
    node = next(use.node for use in pixels.uses() if use.node.op_type == "Reshape")
    while node.op_type != "Cast":
        assert node.outputs[0].dtype == ir.DataType.UINT8
        (node,) = (use.node for use in node.outputs[0].uses())
    assert graph.initializers["visual/conv1.weight.T"] == ((8 * 8 * 3, 32), "float32")
    assert graph.initializers["visual/conv1.weight.offset"] == ((32,), "float32")


def test_what_is_no_plain_vit_is_not_touched(towers_of: TowersOf) -> None:
    """Their embeddings are compared with open_clip's in test_towers_export."""
    kinds = {name: operations(towers_of(name).visual) for name in ("resnet", "siglip", "coca")}
    # Patches that overlap, and attention of one query over many keys.
    assert kinds["resnet"].count("Conv") == 19 and "MatMul" in kinds["resnet"]
    # The mean over tokens needs all of them; attention with learned queries stays torch's.
    assert "ReduceMean" in kinds["siglip"] and kinds["siglip"].count("Slice") <= 2
    assert kinds["coca"].count("Softmax") == 2 and kinds["coca"].count("Gemm") == 1


@pytest.mark.parametrize("part", ["visual", "text"])
@pytest.mark.parametrize("passes", [DEFAULT_PASSES, DEFAULT_PASSES[:3]])
def test_fused_attention_is_the_same_tower(
    part: str, passes: tuple[str, ...], towers: dict[str, Tower]
) -> None:
    run = towers[part].after(*passes)
    graph = fused(run[1])
    kinds = operations(graph)
    assert (kinds.count("Attention"), kinds.count("Softmax")) == (2, 0)
    assert graph.initializers == run[1].initializers
    assert graph.digest != run[1].digest
    assert towers[part].error(run, graph) < 1e-6
    made = graph.path.stat().st_mtime_ns
    assert fused(run[1]) == graph and graph.path.stat().st_mtime_ns == made


def test_a_vit_b_32s_size(tmp_path: Path) -> None:
    """Its width, patches and pictures, two blocks of its twelve."""
    config = {
        "embed_dim": 512,
        "vision_cfg": {"image_size": 224, "layers": 2, "width": 768, "patch_size": 32},
        "text_cfg": CONFIGS["vit"]["text_cfg"],
    }
    tower = Tower(config, "visual", tmp_path)
    run = tower.after(*DEFAULT_PASSES)
    assert tower.error(run) < 1e-6
    assert tower.error(run, fused(run[1])) < 1e-6
