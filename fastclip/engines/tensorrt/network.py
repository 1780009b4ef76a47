"""A tower's graph as TensorRT takes it: fixed batch, folded shapes, and a cast first."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from hashlib import blake2b

import numpy as np
import onnx
import onnx_ir as ir
import onnx_ir.passes.common as common_passes
import torch

from fastclip.towers.base import TowerGraph
from fastclip.towers.external import declare_external
from fastclip.towers.lowering import fold

WEIGHTS = "weights"
"""Name of the file, beside the ONNX file, that holds the weights."""

DYNAMIC = -1


@dataclass(frozen=True)
class Network:
    """What is built into a plan.

    Attributes:
        onnx: the file's bytes; its weights are external, in `WEIGHTS`, in the order of `weights`.
        inputs: `{name: (dtype, shape)}`; `DYNAMIC` stands for a length.
        weights: `{packed name: (dtype, shape)}`.
        constants: every other tensor in the file, by the name the parser gives its weights.
        folded: weights that the parser folds into others (BatchNormalization's) under names of
            its own.
        digest: of `onnx`.
    """

    onnx: bytes
    inputs: Mapping[str, tuple[torch.dtype, tuple[int, ...]]]
    weights: Mapping[str, tuple[torch.dtype, tuple[int, ...]]]
    constants: Mapping[str, torch.Tensor]
    folded: frozenset[str]
    digest: str

    @property
    def is_static(self) -> bool:
        """Whether every input has one shape."""
        return all(DYNAMIC not in shape for _, shape in self.inputs.values())


def network_of(graph: TowerGraph, batch: int) -> Network:
    """The network for batches of one size.

    Args:
        graph: has its precision in its types (`fastclip.towers.lowering`).
        batch: rows of every input.
    """
    model = ir.load(graph.path)
    for value in model.graph.inputs:
        assert value.shape is not None
        value.shape = ir.Shape([batch, *tuple(value.shape)[1:]])
    weights = fold(model, graph)
    _cast_first(model.graph)
    common_passes.RemoveUnusedNodesPass()(model)
    declare_external(weights, WEIGHTS)
    data = ir.to_proto(model).SerializeToString(deterministic=True)
    folded = (
        value
        for node in model.graph
        if node.op_type == "BatchNormalization"
        for value in node.inputs[1:]
    )
    return Network(
        onnx=data,
        inputs={str(value.name): _described(value) for value in model.graph.inputs},
        weights={str(weight.name): _described(weight) for weight in weights},
        constants=dict(_constants(model.graph, graph)),
        folded=frozenset(str(value.name) for value in folded if value is not None),
        digest=blake2b(data, digest_size=16).hexdigest(),
    )


def with_weights(network: Network, weights: Mapping[str, torch.Tensor]) -> bytes:
    """The ONNX file with the weights' data inside.

    Raises:
        ValueError: larger than the 2 GiB that such a file can have.
    """
    model = onnx.load_from_string(network.onnx)
    for tensor in model.graph.initializer:
        if tensor.name in network.weights:
            dtype, _ = network.weights[tensor.name]
            tensor.ClearField("external_data")
            tensor.data_location = onnx.TensorProto.DEFAULT
            tensor.raw_data = bytes_of(weights[tensor.name].to("cpu", dtype))
    data: bytes = model.SerializeToString()
    return data


def bytes_of(tensor: torch.Tensor) -> bytes:
    """A CPU tensor's bytes, whatever its dtype."""
    return tensor.contiguous().reshape(-1).view(torch.uint8).numpy().tobytes()


def _cast_first(graph: ir.Graph) -> None:
    """Cast pictures before their pixels are moved, not after: the same values.

    TensorRT takes uint8 at a network's input only, and only into a cast.
    """
    for value in graph.inputs:
        for first in [use.node for use in value.uses() if value.dtype == ir.DataType.UINT8]:
            moves = []
            node = first
            while node.op_type in ("Reshape", "Transpose"):
                moves.append(node)
                (node,) = (use.node for use in node.outputs[0].uses())
            if not moves or node.op_type != "Cast":
                continue
            (floats,) = node.outputs
            floats.replace_all_uses_with(moves[-1].outputs[0])
            node.replace_input_with(0, value)
            first.replace_input_with(0, floats)
            for move in moves:
                move.outputs[0].type = floats.type
            floats.shape = value.shape
            graph.remove(node)
            graph.insert_before(first, node)


def _constants(graph: ir.Graph, tower: TowerGraph) -> Iterator[tuple[str, torch.Tensor]]:
    for name, value in graph.initializers.items():
        if name not in tower.initializers and value.const_value is not None:
            yield name, _tensor(value.const_value)
    for node in graph:
        if node.op_type == "Constant":
            constant = ir.convenience.get_const_tensor(node.outputs[0])
            if constant is not None:
                yield str(node.outputs[0].name), _tensor(constant)


def _tensor(constant: ir.TensorProtocol) -> torch.Tensor:
    data = np.frombuffer(bytearray(constant.tobytes()), np.uint8)
    dtype = _torch_dtype(constant.dtype)
    return torch.from_numpy(data).view(dtype).reshape(constant.shape.numpy())


def _described(value: ir.Value) -> tuple[torch.dtype, tuple[int, ...]]:
    assert value.dtype is not None and value.shape is not None
    shape = tuple(size if isinstance(size, int) else DYNAMIC for size in value.shape)
    return _torch_dtype(value.dtype), shape


def _torch_dtype(dtype: ir.DataType) -> torch.dtype:
    names = {"bfloat16": torch.bfloat16}
    name = dtype.numpy().name
    found: torch.dtype = names.get(name) or getattr(torch, name)
    return found
