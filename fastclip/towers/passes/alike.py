"""Which nodes treat all places along an axis alike, and along which axes of their inputs."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import onnx_ir as ir

from fastclip.towers.passes.base import dimensions, scalar

Inputs = Mapping[ir.Value, int]
"""`{input: axis}`: the inputs that have the places, and where."""

# fmt: off
_ELEMENTWISE = frozenset({
    "Add", "Cast", "Div", "Erf", "Gelu", "HardSwish", "Identity", "Mul", "Pow", "Relu", "Sigmoid",
    "Sqrt", "Sub", "Tanh",
})
# fmt: on


def inputs_alike(node: ir.Node, axis: int) -> Inputs | None:
    """What a node needs for one place along `axis` of its first output.

    None where the node does not compute every place by itself, or where nothing is known of it.
    An input that a node takes twice must want the same axis twice.
    """
    if node.domain not in ("", "ai.onnx"):
        return None
    if node.op_type in _ELEMENTWISE:
        return _broadcast(node, axis, list(range(len(node.inputs))))
    rule = _RULES.get(node.op_type)
    return None if rule is None else rule(node, axis)


def _constant(value: ir.Value | None) -> np.ndarray | None:
    tensor = None if value is None else ir.convenience.get_const_tensor(value)
    return None if tensor is None else tensor.numpy()


def _first(node: ir.Node, axis: int) -> Inputs:
    value = node.inputs[0]
    assert value is not None
    return {value: axis}


def _broadcast(node: ir.Node, axis: int, which: list[int]) -> Inputs | None:
    """Inputs that have the axis and not once for all."""
    rank = len(dimensions(node.outputs[0]))
    wanted: dict[ir.Value, int] = {}
    for value in (node.inputs[i] for i in which):
        if value is None:
            continue
        if value.shape is None:
            return None
        sizes = dimensions(value)
        own = axis - rank + len(sizes)
        if own >= 0 and sizes[own] != 1:
            wanted[value] = own
    return wanted if rank else None


def _layer_normalization(node: ir.Node, axis: int) -> Inputs | None:
    rank = len(dimensions(node.outputs[0]))
    start = node.attributes.get_int("axis", -1)
    return _first(node, axis) if axis < (start + rank if start < 0 else start) else None


def _softmax(node: ir.Node, axis: int) -> Inputs | None:
    rank = len(dimensions(node.outputs[0]))
    along = node.attributes.get_int("axis", -1)
    return _first(node, axis) if rank and along % rank != axis else None


def _transpose(node: ir.Node, axis: int) -> Inputs | None:
    perm = node.attributes.get_ints("perm", None)
    return None if perm is None else _first(node, perm[axis])


def _reshape(node: ir.Node, axis: int) -> Inputs | None:
    """Only one that says of this axis, and of those before it, that it stays as it is."""
    target = _constant(node.inputs[1])
    if target is None or node.attributes.get_int("allowzero", False):
        return None
    kept = target[: axis + 1]
    return None if kept.any() or len(kept) <= axis else _first(node, axis)


def _slice(node: ir.Node, axis: int) -> Inputs | None:
    """Only one along another axis."""
    along = scalar(node.inputs[3]) if len(node.inputs) > 3 else None
    return None if along is None or along < 0 or along == axis else _first(node, axis)


def _matmul(node: ir.Node, axis: int) -> Inputs | None:
    """Rows of the left matrix; for a stack of matrices, those of the stack that have the axis."""
    left, right = node.inputs
    rank = len(dimensions(node.outputs[0]))
    if left is None or right is None or min(len(dimensions(v)) for v in (left, right)) < 2:
        return None
    if axis == rank - 2 and len(dimensions(left)) == rank:
        return {left: axis}
    return _broadcast(node, axis, [0, 1]) if axis < rank - 2 else None


_RULES = {
    "LayerNormalization": _layer_normalization,
    "MatMul": _matmul,
    "Reshape": _reshape,
    "Slice": _slice,
    "Softmax": _softmax,
    "Transpose": _transpose,
}
