"""A tower's graph with its matrix products in 8-bit integers, made once per architecture."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

import onnx
import onnx_ir as ir
import onnx_ir.passes.common as common_passes

from fastclip.files import digest_of, write_atomic
from fastclip.towers.base import TowerGraph
from fastclip.towers.external import declare_external

REVISION = 1
"""Raised whenever another quantised graph would be made of the same source graph."""

_TRANSPOSED = ".transposed"


@dataclass(frozen=True)
class Quantised:
    """A matrix of the source graph that is int8 in the quantised one.

    Attributes:
        source: packed name of the float32 weights.
        transposed: they are `[N, K]` in the source graph; int8 weights are always `[K, N]`.
    """

    source: str
    transposed: bool

    @property
    def weights(self) -> str:
        """The initializer that holds the int8 weights."""
        return f"{self.source}.int8{_TRANSPOSED if self.transposed else ''}"

    @property
    def scale(self) -> str:
        """The initializer that holds one scale per column, float32 `[N]`."""
        return f"{self.source}.scale"


@dataclass(frozen=True)
class QuantisedGraph:
    """A quantised tower; no weights inside.

    Attributes:
        path: ONNX file whose initializers are declared external; their data is not there.
        matrices: those that are int8 in it.
        kept: packed names of the weights that it takes as they are.
    """

    path: Path
    matrices: tuple[Quantised, ...]
    kept: tuple[str, ...]


def quantised(graph: TowerGraph) -> QuantisedGraph:
    """The same tower with products by weight matrices as `onnxruntime.quantization` makes them.

    `quantize_dynamic` with per-channel QInt8 weights turns `x @ W` into DynamicQuantizeLinear
    (uint8, one scale and zero point for all of x), MatMulInteger and a product with both scales;
    ONNX Runtime runs that as one operation. The product that gives the embeddings stays float32:
    it is one row per picture. The file goes beside the source graph and is made once.
    """
    path = graph.path.with_name(f"{graph.path.stem}-int8-{_makers()}.onnx")
    if not path.is_file():
        write_atomic(path, _quantise(graph))
    declared = {v.name for v in onnx.load(path, load_external_data=False).graph.initializer}
    matrices = [Quantised(name, flag) for name in graph.initializers for flag in (False, True)]
    return QuantisedGraph(
        path,
        tuple(matrix for matrix in matrices if matrix.weights in declared),
        tuple(name for name in graph.initializers if name in declared),
    )


def _makers() -> str:
    """A short digest of what, besides the source graph, a quantised graph depends on."""
    makers = {name: version(name) for name in ("onnx", "onnx-ir")}
    return digest_of({"revision": REVISION, "versions": makers}, 8)


def _quantise(graph: TowerGraph) -> bytes:
    """The quantised ONNX file's bytes; its weights are declared external, without data."""
    model = ir.load(graph.path)
    inputs: dict[ir.Value, Sequence[ir.Value]] = {}
    weights: dict[Quantised, tuple[ir.Value, ir.Value]] = {}
    for node in list(model.graph):
        if _is_product_by_weights(node, graph):
            _replace(model.graph, node, inputs, weights)
    common_passes.RemoveUnusedNodesPass()(model)
    initializers = model.graph.initializers
    kept = [initializers[name] for name in graph.initializers if name in initializers]
    declare_external([*kept, *(value for pair in weights.values() for value in pair)])
    data: bytes = ir.to_proto(model).SerializeToString(deterministic=True)
    return data


def _is_product_by_weights(node: ir.Node, graph: TowerGraph) -> bool:
    """Whether a node is `x @ W`, with or without a bias, of a packed matrix W, but the last."""
    if node.op_type not in ("MatMul", "Gemm") or node.inputs[1] is None:
        return False
    name = str(node.inputs[1].name)
    if name not in graph.initializers or len(graph.initializers[name][0]) != 2:
        return False
    attributes = node.attributes
    plain = all(attributes.get_float(key, 1.0) == 1.0 for key in ("alpha", "beta"))
    return plain and not attributes.get_int("transA", 0) and not node.outputs[0].is_graph_output()


def _replace(
    graph: ir.Graph,
    node: ir.Node,
    inputs: dict[ir.Value, Sequence[ir.Value]],
    weights: dict[Quantised, tuple[ir.Value, ir.Value]],
) -> None:
    """Put the integer product in place of `node`; what others share of it is made once."""
    x, matrix, *bias = node.inputs
    assert x is not None and matrix is not None and matrix.shape is not None
    added: list[ir.Node] = []
    if x not in inputs:
        dynamic = ir.node("DynamicQuantizeLinear", [x], num_outputs=3)
        inputs[x] = dynamic.outputs
        added.append(dynamic)
    quantised = Quantised(str(matrix.name), bool(node.attributes.get_int("transB", 0)))
    if quantised not in weights:
        weights[quantised] = _declare(graph, quantised, matrix.shape.numpy())
    x_int8, x_scale, x_zero = inputs[x]
    w_int8, w_scale = weights[quantised]
    product = ir.node("MatMulInteger", [x_int8, w_int8, x_zero])
    cast = ir.node("Cast", product.outputs, {"to": ir.DataType.FLOAT.value})
    scales = ir.node("Mul", [x_scale, w_scale])
    scaled = ir.node("Mul", [cast.outputs[0], scales.outputs[0]])
    added += [product, cast, scales, scaled]
    if bias and bias[0] is not None:
        added.append(ir.node("Add", [scaled.outputs[0], bias[0]]))
    (old,), (new,) = node.outputs, added[-1].outputs
    new.type, new.shape = old.type, old.shape
    graph.insert_before(node, added)
    old.replace_all_uses_with(new)
    graph.remove(node, safe=True)


def _declare(
    graph: ir.Graph, matrix: Quantised, shape: tuple[int, ...]
) -> tuple[ir.Value, ir.Value]:
    """Initializers for a matrix's int8 weights and its scales."""
    rows, columns = reversed(shape) if matrix.transposed else shape
    made = (
        ir.Value(
            name=matrix.weights,
            shape=ir.Shape([rows, columns]),
            type=ir.TensorType(ir.DataType.INT8),
        ),
        ir.Value(
            name=matrix.scale, shape=ir.Shape([columns]), type=ir.TensorType(ir.DataType.FLOAT)
        ),
    )
    for value in made:
        graph.initializers[str(value.name)] = value
    return made
