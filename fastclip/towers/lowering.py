"""A graph whose declared types carry the precision, for runtimes that take it from there.

A strongly typed TensorRT network and ONNX Runtime compute in the types that the file declares.
"""

from __future__ import annotations

from dataclasses import replace
from hashlib import blake2b
from importlib.metadata import version

import numpy as np
import onnx
import onnx_ir as ir
import onnx_ir.passes.common as common_passes

from fastclip.files import digest_of, write_atomic
from fastclip.towers.base import TowerGraph
from fastclip.towers.external import declare_external
from fastclip.towers.half_types import HALF, settle_types

LOWERING_REVISION = 2
"""Raised whenever another lowered graph would be made of the same source graph."""


def lowered(graph: TowerGraph, precision: str) -> TowerGraph:
    """The same tower with `precision` ("fp32", "fp16" or "bf16") in its types.

    Conv, Gemm and MatMul run in half precision, with their weights and biases declared so. The
    residual stream, norms, softmax, reductions, pixel normalisation and the final projection
    stay float32; see `half_types` for the policy. A Gemm's bias becomes an Add of its own.

    Packed arrays stay float32 in the shapes of the manifest; the engine converts them to the
    dtypes in `initializers` ("float32", "float16", "bfloat16"). fp32 is the graph itself. The
    file goes beside the source graph and is made once.
    """
    if precision == "fp32":
        return graph
    path = graph.path.with_name(f"{graph.path.stem}-{precision}-{_makers()}.onnx")
    if not path.is_file():
        write_atomic(path, _lower(graph, HALF[precision]))
    data = path.read_bytes()
    declared = {
        value.name: value.data_type for value in onnx.load_from_string(data).graph.initializer
    }
    initializers = {
        name: (shape, ir.DataType(declared[name]).numpy().name)
        for name, (shape, _) in graph.initializers.items()
    }
    digest = blake2b(data, digest_size=16).hexdigest()
    return replace(graph, path=path, initializers=initializers, digest=digest)


def _makers() -> str:
    """A short digest of what, besides the source graph, a lowered graph depends on."""
    makers = {name: version(name) for name in ("onnx", "onnx-ir", "onnxscript")}
    return digest_of({"revision": LOWERING_REVISION, "versions": makers}, 8)


def _lower(graph: TowerGraph, half: ir.DataType) -> bytes:
    """The lowered ONNX file's bytes; its weights are declared external, without data."""
    model = ir.load(graph.path)
    weights = fold(model, graph)
    _split_biases(model.graph)
    common_passes.RemoveUnusedNodesPass()(model)
    settle_types(model.graph, weights, half)
    common_passes.RemoveUnusedNodesPass()(model)
    declare_external(weights)
    data: bytes = ir.to_proto(model).SerializeToString(deterministic=True)
    return data


def weights_to_inputs(model: ir.Model, graph: TowerGraph) -> list[ir.Value]:
    """Turn the initializers that `load` supplies into graph inputs, behind the others.

    Returns:
        them, in the order of `graph.initializers`.
    """
    weights = [model.graph.initializers.pop(name) for name in graph.initializers]
    for weight in weights:
        weight.const_value = None
    model.graph.inputs.extend(weights)
    return weights


def fold(model: ir.Model, graph: TowerGraph) -> list[ir.Value]:
    """`tidy` a model whose weights are initializers and stay so; returns them in order."""
    weights = weights_to_inputs(model, graph)
    tidy(model)
    for weight in weights:
        model.graph.inputs.remove(weight)
        model.graph.initializers[str(weight.name)] = weight
    return weights


def tidy(model: ir.Model) -> None:
    """Compute what depends on constants and known shapes alone, and infer every value's type.

    Weights are graph inputs meanwhile: their shapes are known, their values are not.
    """
    from onnxscript import optimizer

    # A shape that was found may be one more constant to compute with.
    for _ in range(2):
        common_passes.ShapeInferencePass()(model)
        optimizer.fold_constants_ir(model)
        common_passes.RemoveUnusedNodesPass()(model)
        for constant in model.graph.initializers.values():
            if constant.const_value is not None:  # or its shape is still the computation's
                constant.shape = ir.Shape(constant.const_value.shape.numpy())
    common_passes.ShapeInferencePass()(model)
    _undo_splits(model.graph)
    common_passes.RemoveUnusedNodesPass()(model)
    for node in model.graph:
        node.metadata_props.clear()
        node.doc_string = None


def _undo_splits(graph: ir.Graph) -> None:
    """What is joined and split again at the same places is used as it was.

    torch's attention does so with biases; a weight behind a Split is none that TensorRT refits.
    """
    for node in graph:
        joined = node.inputs[0].producer() if node.op_type == "Split" and node.inputs[0] else None
        if joined is None or joined.op_type != "Concat":
            continue
        axes = [n.attributes.get_int("axis", 0) for n in (node, joined)]
        shapes = [[value and value.shape for value in v] for v in (joined.inputs, node.outputs)]
        if axes[0] == axes[1] and shapes[0] == shapes[1] and None not in shapes[0]:
            for part, whole in zip(node.outputs, joined.inputs, strict=True):
                assert whole is not None
                part.replace_all_uses_with(whole)


def _split_biases(graph: ir.Graph) -> None:
    """A Gemm's bias becomes an Add of its own; a Conv's bias of zeros goes.

    TensorRT is known to drop the bias of a Gemm whose weights change, and zeros among the biases
    would be one more weight that it wants from every checkpoint.
    """
    for node in list(graph):
        bias = node.inputs[2] if len(node.inputs) == 3 else None
        if bias is None:
            continue
        if node.op_type == "Conv" and _is_zero(bias):
            node.resize_inputs(2)
        elif node.op_type == "Gemm" and node.attributes.get_float("beta", 1.0) == 1.0:
            node.resize_inputs(2)
            (product,) = node.outputs
            add = ir.node("Add", [product, bias])
            (summed,) = add.outputs
            summed.type, summed.shape, summed.name = product.type, product.shape, product.name
            product.replace_all_uses_with(summed, replace_graph_outputs=True)
            product.name = f"{product.name}_product"
            add.replace_input_with(0, product)
            graph.insert_after(node, add)


def _is_zero(value: ir.Value) -> bool:
    constant = ir.convenience.get_const_tensor(value)
    return constant is not None and not np.any(constant.numpy())
