"""The ONNX file that TensorRT gets: the same tower, in what TensorRT takes."""

from __future__ import annotations

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from onnx import numpy_helper
from tiny_towers import tiny_towers

from fastclip.engines.tensorrt.network import DYNAMIC, network_of, with_weights
from fastclip.parity.probe import random_state
from fastclip.towers.lowering import lowered
from fastclip.towers.recipes import pack

BATCH = 3


def nodes(data: bytes) -> list[onnx.NodeProto]:
    return list(onnx.load_from_string(data).graph.node)


@pytest.mark.parametrize("kind", ["vit", "resnet"])
def test_uint8_goes_into_a_cast_and_nowhere_else(kind: str) -> None:
    """TensorRT refuses to move uint8, which is what the picture tower's graph begins with."""
    tower = tiny_towers(kind).visual
    exported = onnx.load(str(tower.path), load_external_data=False).graph.node
    network = network_of(tower, BATCH)
    assert {"Reshape", "Transpose"} & {n.op_type for n in exported if "pixels" in n.input}
    assert [n.op_type for n in nodes(network.onnx) if "pixels" in n.input] == ["Cast"]


def test_pictures_have_one_shape_and_nothing_is_computed_from_it() -> None:
    network = network_of(tiny_towers("vit").visual, BATCH)
    assert network.inputs == {"pixels": (torch.uint8, (BATCH, 32, 32, 3))}
    assert network.is_static
    assert not {n.op_type for n in nodes(network.onnx)} & {"Shape", "CastLike"}


def test_prompts_keep_their_length_open() -> None:
    network = network_of(tiny_towers("vit").text, BATCH)  # type: ignore[arg-type]
    assert network.inputs["ids"] == (torch.int64, (BATCH, DYNAMIC))
    assert network.inputs["eot"] == (torch.int64, (BATCH,))
    assert not network.is_static


def test_sequences_that_tensorrt_lacks_are_folded() -> None:
    tower = tiny_towers("resnet").visual
    exported = onnx.load(str(tower.path), load_external_data=False).graph.node
    found = {n.op_type for n in nodes(network_of(tower, BATCH).onnx)}
    assert "SplitToSequence" in {n.op_type for n in exported}
    assert not {"SplitToSequence", "SequenceAt"} & found


def test_batch_norms_weights_are_known_to_be_folded() -> None:
    network = network_of(tiny_towers("resnet").visual, BATCH)
    assert {"visual/bn1.weight", "visual/bn1.running_var"} <= network.folded
    assert network_of(tiny_towers("vit").visual, BATCH).folded == frozenset()


def test_every_tensor_of_the_file_is_a_weight_or_a_constant() -> None:
    network = network_of(lowered(tiny_towers("resnet").visual, "fp16"), BATCH)
    graph = onnx.load_from_string(network.onnx).graph
    held = {i.name for i in graph.initializer}
    held |= {n.output[0] for n in graph.node if n.op_type == "Constant"}
    assert held == network.weights.keys() | network.constants.keys()
    assert network.constants["scalar_tensor_default"].item() == 255


@pytest.mark.parametrize("precision", ["fp32", "fp16"])
def test_it_is_the_same_tower(precision: str) -> None:
    """Against the graph it is made of, run by ONNX Runtime with the same weights."""
    towers = tiny_towers("resnet")
    graph = lowered(towers.visual, precision)
    packed = pack(towers.manifest, random_state(towers, 1))
    weights = {name: torch.from_numpy(packed[name]) for name in graph.initializers}
    pixels = np.random.default_rng(0).integers(0, 256, (BATCH, 64, 64, 3), dtype=np.uint8)

    source = onnx.load(str(graph.path), load_external_data=False)
    for tensor in source.graph.initializer:
        if tensor.name in weights:
            dtype = onnx.helper.tensor_dtype_to_np_dtype(tensor.data_type)
            tensor.CopyFrom(numpy_helper.from_array(packed[tensor.name].astype(dtype), tensor.name))
    found, expected = (
        onnxruntime.InferenceSession(data, providers=["CPUExecutionProvider"]).run(
            None, {"pixels": pixels}
        )[0]
        for data in (with_weights(network_of(graph, BATCH), weights), source.SerializeToString())
    )
    assert np.abs(found - expected).max() < {"fp32": 1e-5, "fp16": 2e-3}[precision]


def test_bfloat16_weights_are_written_as_such() -> None:
    """ONNX Runtime on a CPU runs no bfloat16 product, so only the bytes are looked at."""
    towers = tiny_towers("vit")
    network = network_of(lowered(towers.visual, "bf16"), BATCH)
    packed = pack(towers.manifest, random_state(towers, 1))
    weights = {name: torch.from_numpy(packed[name]) for name in network.weights}
    name = "visual/transformer.resblocks.0.mlp.c_fc.weight"
    assert network.weights[name][0] == torch.bfloat16
    graph = onnx.load_from_string(with_weights(network, weights)).graph
    (written,) = (i for i in graph.initializer if i.name == name)
    assert written.data_type == onnx.TensorProto.BFLOAT16
    found = torch.frombuffer(bytearray(written.raw_data), dtype=torch.bfloat16)
    assert torch.equal(found, weights[name].bfloat16().reshape(-1))
