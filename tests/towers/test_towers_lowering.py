"""Lowered graphs against open_clip's module, and the types that they declare."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from typing import Any

import ml_dtypes
import numpy as np
import onnx
import onnx_ir as ir
import onnx_ir.passes.common as common_passes
import onnxruntime
import pytest
import torch
from onnx import TensorProto
from onnx.reference import ReferenceEvaluator
from tower_helpers import CONFIGS, example_ids, example_pixels

from fastclip.parity.base import TOLERANCE
from fastclip.parity.compare import relative_l2
from fastclip.parity.probe import random_state
from fastclip.towers import TowerGraph, Towers, lowering, pack
from fastclip.towers.half_types import HALF
from fastclip.towers.lowering import lowered
from fastclip.towers.module import build_module

TowersOf = Callable[..., Towers]
FLOAT, FLOAT16 = ir.DataType.FLOAT, ir.DataType.FLOAT16
PRODUCTS = ("Conv", "Gemm", "MatMul")


def model_of(graph: TowerGraph) -> onnx.ModelProto:
    """The file, checked as onnx checks one; its weights are inputs, for they have no data."""
    model = onnx.load(graph.path, load_external_data=False)
    weights = [value for value in model.graph.initializer if value.name in graph.initializers]
    for weight in weights:
        described = onnx.helper.make_tensor_value_info(weight.name, weight.data_type, weight.dims)
        model.graph.input.append(described)
        model.graph.initializer.remove(weight)
    onnx.checker.check_model(model, full_check=True)
    return onnx.shape_inference.infer_shapes(model, check_type=True, strict_mode=True)


def nodes_of(graph: TowerGraph) -> list[ir.Node]:
    """Every node, its values with their types."""
    return list(ir.from_proto(model_of(graph)).graph)


def converted(graph: TowerGraph, packed: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    dtypes = {name: dtype for name, (_, dtype) in graph.initializers.items()}
    return {
        name: packed[name].astype(ml_dtypes.bfloat16 if dtype == "bfloat16" else dtype)
        for name, dtype in dtypes.items()
    }


def in_onnxruntime(graph: TowerGraph, feeds: dict[str, np.ndarray]) -> np.ndarray:
    """Outputs with the weights as inputs: with half initializers given to it, onnxruntime 1.31's
    layout optimiser for CPUs ends the process."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(
        model_of(graph).SerializeToString(), options, providers=["CPUExecutionProvider"]
    )
    return np.asarray(session.run([graph.output], feeds)[0])


def in_onnx(graph: TowerGraph, feeds: dict[str, np.ndarray]) -> np.ndarray:
    """Outputs of onnx's reference implementation, which has bfloat16."""
    return np.asarray(ReferenceEvaluator(model_of(graph)).run([graph.output], feeds)[0])


def graphs_of(towers: Towers) -> dict[str, TowerGraph]:
    graphs = {"visual": towers.visual, "text": towers.text}
    return {part: graph for part, graph in graphs.items() if graph is not None}


@pytest.mark.parametrize("precision", HALF)
@pytest.mark.parametrize("name", CONFIGS)
def test_lowered_towers_equal_the_module(name: str, precision: str, towers_of: TowersOf) -> None:
    """fp16 as two implementations compute it, bf16 as onnx's own (onnxruntime has none on CPUs)."""
    towers = towers_of(name)
    state = random_state(towers, 1)
    packed, module = pack(towers.manifest, state), build_module(towers)
    module.load(pack(towers.module_manifest, state))
    ids, eot = example_ids(towers)
    feeds = {"pixels": example_pixels(towers), "ids": ids, "eot": eot}
    expected = {
        "visual": module.encode_image(torch.from_numpy(feeds["pixels"])).numpy(),
        "text": module.encode_text(torch.from_numpy(ids)).numpy(),
    }
    for part, graph in graphs_of(towers).items():
        low = lowered(graph, precision)
        given = converted(low, packed) | {name: feeds[name] for name in low.inputs}
        found = [in_onnx(low, given)]
        if precision == "fp16":
            found.append(in_onnxruntime(low, given))
        for outputs in found:
            assert outputs.dtype == np.float32
            error = relative_l2(outputs, expected[part])
            assert error < TOLERANCE[precision]
            # Not in float32 by mistake: that would be a hundred times closer.
            assert error > TOLERANCE["fp32"]


@pytest.mark.parametrize("part", ["visual", "text"])
@pytest.mark.parametrize("name", CONFIGS)
def test_types_are_the_policy(name: str, part: str, towers_of: TowersOf) -> None:
    nodes = nodes_of(lowered(graphs_of(towers_of(name))[part], "fp16"))
    products = [node for node in nodes if node.op_type in PRODUCTS]
    assert {node.outputs[0].dtype for node in products[:-1]} == {FLOAT16}
    assert products[-1].outputs[0].dtype == FLOAT
    for node in nodes:
        if node.op_type in ("BatchNormalization", "LayerNormalization", "ReduceMean", "Softmax"):
            assert node.outputs[0].dtype == FLOAT
        if node.op_type in ("Gelu", "Sigmoid"):
            assert node.outputs[0].dtype == FLOAT16
    assert not [n for n in nodes if n.op_type == "Gemm" and len(n.inputs) > 2]
    assert not [n for n in nodes if n.op_type in ("CastLike", "SplitToSequence")]


@pytest.mark.parametrize("part", ["visual", "text"])
@pytest.mark.parametrize("name", ["vit", "quickgelu", "coca", "siglip"])
def test_the_residual_stream_is_float32(name: str, part: str, towers_of: TowersOf) -> None:
    """Of the sums, those of a product and its bias are half, the others are not."""
    low = lowered(graphs_of(towers_of(name))[part], "fp16")

    def is_weight(value: ir.Value) -> bool:
        split = value.producer()
        return value.name in low.initializers or (split is not None and split.op_type == "Split")

    sums = [node for node in nodes_of(low) if node.op_type == "Add"]
    half = [node for node in sums if node.outputs[0].dtype == FLOAT16]
    assert all(any(map(is_weight, node.inputs)) for node in half)
    streams = [node for node in sums if not any(map(is_weight, node.inputs))]
    assert len(streams) >= 2  # after attention and after the MLP
    assert {node.outputs[0].dtype for node in streams} == {FLOAT}


@pytest.mark.parametrize("name", CONFIGS)
def test_casts_stand_where_types_change_and_nowhere_else(name: str, towers_of: TowersOf) -> None:
    towers = towers_of(name)
    for graph in graphs_of(towers).values():
        low = lowered(graph, "fp16")
        casts = [node for node in nodes_of(low) if node.op_type == "Cast"]
        sources = [node.inputs[0] for node in casts]
        assert all(v.dtype != n.outputs[0].dtype for v, n in zip(sources, casts, strict=True))
        # One for each value and type, no cast of a cast, and none of a weight: a weight that is
        # cast while the tower runs would be one that TensorRT may keep.
        assert max(Counter(value.name for value in sources).values()) == 1
        producers = [value.producer() for value in sources]
        floats = [node for node in producers if node is not None and node.op_type == "Cast"]
        assert not [node for node in floats if node.inputs[0].dtype in (FLOAT, FLOAT16)]
        assert not [value for value in sources if value.name in low.initializers]


def test_six_casts_in_a_block(towers_of: TowersOf) -> None:
    """Into and out of attention's products, softmax, and the MLP; the rest are the pictures' (from
    uint8, into and out of the patch embedding)."""

    def casts(graph: TowerGraph) -> int:
        return sum(node.op_type == "Cast" for node in nodes_of(lowered(graph, "fp16")))

    towers = towers_of("vit")  # one block in each tower
    assert casts(towers.visual) == 6 + 3
    assert towers.text is not None
    assert casts(towers.text) == 6


def test_weights_of_products_are_declared_half(towers_of: TowersOf) -> None:
    towers = towers_of("vit")
    low = lowered(towers.visual, "fp16")
    declared = {name.split("/", 1)[1]: dtype for name, (_, dtype) in low.initializers.items()}
    block = "transformer.resblocks.0."
    half = ("attn.in_proj", "attn.out_proj.", "mlp.c_fc.", "mlp.c_proj.")
    for name, dtype in declared.items():
        is_half = name.startswith("conv1.") or name.startswith(tuple(block + part for part in half))
        assert dtype == ("float16" if is_half else "float32"), name
    shapes = {name: shape for name, (shape, _) in low.initializers.items()}
    assert shapes == {name: shape for name, (shape, _) in towers.visual.initializers.items()}


def test_bfloat16_keeps_what_onnx_has_no_bfloat16_for(towers_of: TowersOf) -> None:
    """Conv has none before opset 22."""
    convolving = lowered(towers_of("resnet", text=False).visual, "bf16").initializers
    assert convolving["visual/conv1.weight"][1] == "float32"
    assert convolving["visual/attnpool.c_proj.weight"][1] == "float32"  # the final projection
    low = lowered(towers_of("vit").visual, "bf16")
    assert low.initializers["visual/conv1.weight.T"][1] == "bfloat16"
    dtypes = Counter(dtype for _, dtype in low.initializers.values())
    # The patches' product, attention's four and the MLP's two, with their biases; keys have none.
    assert dtypes["bfloat16"] == 2 * 7 - 1 and dtypes["float16"] == 0


def test_weights_have_no_data_and_fill_one_range(towers_of: TowersOf) -> None:
    graph = towers_of("vit").visual
    low = lowered(graph, "fp16")
    weights = [
        value
        for value in onnx.load(low.path, load_external_data=False).graph.initializer
        if value.name in low.initializers
    ]
    assert [value.name for value in weights] == list(graph.initializers)
    end = 0
    for value in weights:
        assert value.data_location == TensorProto.EXTERNAL and not value.raw_data
        entries = {entry.key: entry.value for entry in value.external_data}
        assert int(entries["offset"]) == end
        size = 2 if value.data_type == TensorProto.FLOAT16 else 4
        assert int(entries["length"]) == size * int(np.prod(value.dims))
        end += int(entries["length"])
    assert b".py" not in low.path.read_bytes()  # the exporter's notes name this machine


def test_fp32_is_the_graph_itself(towers_of: TowersOf) -> None:
    graph = towers_of("vit").visual
    assert lowered(graph, "fp32") is graph


def test_a_graph_is_lowered_once(towers_of: TowersOf, monkeypatch: pytest.MonkeyPatch) -> None:
    graph = towers_of("vit").visual
    first = lowered(graph, "fp16")
    again = lowering._lower(graph, HALF["fp16"])
    assert again == first.path.read_bytes()  # and to the same bytes

    def refuse(*_: Any) -> bytes:
        raise AssertionError("lowered again")

    monkeypatch.setattr(lowering, "_lower", refuse)
    assert lowered(graph, "fp16") == first
    assert len({graph.digest, first.digest, lowered(towers_of("quickgelu").visual, "fp16").digest})


def test_a_number_that_half_cannot_hold_keeps_its_operation_in_float32() -> None:
    from fastclip.towers.half_types import settle_types

    def settled(number: float) -> ir.DataType | None:
        model = ir.from_onnx_text(
            f"""<ir_version: 10, opset_import: ["": 20]>
            g (float[n, 4] x, float[4, 4] w, float[4, 2] p) => (float[n, 2] out) {{
               h = MatMul(x, w)
               c = Constant<value = float {{{number}}}>()
               m = Max(h, c)
               out = MatMul(m, p)
            }}"""
        )
        common_passes.ShapeInferencePass()(model)
        settle_types(model.graph, list(model.graph.inputs)[1:], FLOAT16)
        return next(node for node in model.graph if node.op_type == "Max").outputs[0].dtype

    assert settled(-10.0) == FLOAT16
    assert settled(-1e10) == FLOAT
