"""A graph whose attention is ONNX's own node, for runtimes that are faster with it."""

from __future__ import annotations

from dataclasses import replace
from hashlib import blake2b
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

from fastclip.files import digest_of, write_atomic
from fastclip.towers.base import TowerGraph

if TYPE_CHECKING:
    import onnx_ir as ir

FUSING_REVISION = 1
"""Raised whenever another fused graph would be made of the same source graph."""

OPSET = 23
"""The first that has Attention."""


def fused(graph: TowerGraph) -> TowerGraph:
    """The same tower, with weights of the same names and shapes, and attention as one node.

    Replaces what the pass `batch_first` leaves of attention, but for its products with weights;
    other attention stays as it is. ONNX Runtime's CPU kernel then moves no heads about: 7 % less
    time for a tower of width 128, 3 % for a ViT-B-32's. The same up to rounding.

    The file goes beside the source graph and is made once; later calls import nothing heavy.
    """
    path = graph.path.with_name(f"{graph.path.stem}-fused-{_makers()}.onnx")
    if not path.is_file():
        write_atomic(path, _fuse(graph))
    return replace(graph, path=path, digest=blake2b(path.read_bytes(), digest_size=16).hexdigest())


def _makers() -> str:
    """A short digest of what, besides the source graph, a fused graph depends on."""
    makers = {name: version(name) for name in ("onnx", "onnx-ir", "onnxscript")}
    return digest_of({"revision": FUSING_REVISION, "versions": makers}, 8)


def _fuse(graph: TowerGraph) -> bytes:
    """The fused ONNX file's bytes; its weights are declared external, without data."""
    import onnx_ir as ir
    from onnxscript.rewriter.pattern import RewriteRule

    from fastclip.towers.external import declare_external
    from fastclip.towers.lowering import fold

    model = ir.load(graph.path)
    weights = fold(model, graph)
    if RewriteRule(_spelled_out, _one_node, remove_nodes=False).apply_to_model(model):
        model.graph.opset_imports[""] = OPSET
    declare_external(weights)
    data: bytes = ir.to_proto(model).SerializeToString(deterministic=True)
    return data


def _spelled_out(op: Any, query: Any, key: Any, value: Any, mask: Any, scale: Any) -> Any:
    """`batch_first`'s attention: queries, keys and values [B, S, D]."""
    from onnxscript.rewriter.pattern import ANY_VALUE, OrValue

    heads = op.Transpose(op.Reshape(query, ANY_VALUE, _outputs=["heads"]), perm=[0, 2, 1, 3])
    turned = op.Transpose(op.Reshape(key, ANY_VALUE), perm=[0, 2, 3, 1])
    values = op.Transpose(op.Reshape(value, ANY_VALUE), perm=[0, 2, 1, 3])
    scores = op.MatMul(op.Mul(heads, scale), turned)
    scores = OrValue([op.Add(scores, mask), scores])
    mixed = op.MatMul(op.Softmax(scores, axis=-1), values)
    return op.Reshape(op.Transpose(mixed, perm=[0, 2, 1, 3]), ANY_VALUE)


def _one_node(
    op: Any,
    query: ir.Value,
    key: ir.Value,
    value: ir.Value,
    mask: ir.Value | None,
    scale: ir.Value,
    heads: ir.Value,
    **_: Any,
) -> Any:
    from fastclip.towers.passes.base import dimensions, scalar

    count = dimensions(heads)[2]
    masks = [] if mask is None else [mask]
    numbers = {"scale": scalar(scale), "q_num_heads": count, "kv_num_heads": count}
    return op.Attention(query, key, value, *masks, **numbers)
