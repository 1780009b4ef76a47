"""Which operations of a graph run in half precision: `torch.autocast`'s policy, in ONNX types.

Products run in half precision. What sums over many values or loses digits runs in float32.
Everything else has the type of its inputs, and float32 where they differ: an MLP's wide
activation stays half, the residual stream, which adds halves to float32, does not.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import onnx
import onnx_ir as ir

FLOAT = ir.DataType.FLOAT
HALF = {"fp16": ir.DataType.FLOAT16, "bf16": ir.DataType.BFLOAT16}
_FLOATS = {FLOAT, *HALF.values()}

PRODUCTS = frozenset({"Conv", "Gemm", "MatMul"})
"""Run in half precision, except the last one before the output: the final projection."""

# fmt: off
FULL = frozenset({
    "AveragePool", "BatchNormalization", "CumSum", "Exp", "GlobalAveragePool",
    "GroupNormalization", "InstanceNormalization", "LayerNormalization", "Log", "LogSoftmax",
    "LpNormalization", "Pow", "Reciprocal", "ReduceL1", "ReduceL2", "ReduceLogSumExp",
    "ReduceMean", "ReduceProd", "ReduceSum", "ReduceSumSquare", "Softmax", "Sqrt",
})
"""Run in float32: norms, reductions, softmax, and functions that overflow or lose digits."""

MOVES = frozenset({
    "Concat", "Expand", "Flatten", "Gather", "GatherND", "Identity", "Reshape", "Slice", "Split",
    "Squeeze", "Transpose", "Unsqueeze",
})
# fmt: on
"""Compute nothing, so that a cast may go before them as well as after."""


def settle_types(graph: ir.Graph, weights: list[ir.Value], half: ir.DataType) -> None:
    """Give every floating value of a float32 graph its type, and insert the casts between them.

    An operation that ONNX does not define for `half` stays float32 (Conv, with bfloat16, before
    opset 22). A weight is declared `half` where all its uses want it so. The output of a graph
    that ends in a product or in what follows one stays float32.

    Args:
        graph: float32, in topological order, every value's type known.
        weights: initializers whose values are not known.
        half: FLOAT16 or BFLOAT16.
    """
    settling = _Settling(graph, weights, half)
    for node in list(graph):
        settling.settle(node)
    settling.declare_weights()


class _Settling:
    def __init__(self, graph: ir.Graph, weights: list[ir.Value], half: ir.DataType) -> None:
        self.graph = graph
        self.weights = weights
        self.half = half
        self.projection = _last_product(graph)
        self.casts: dict[tuple[ir.Value, ir.DataType], ir.Value] = {}
        self.settled: set[ir.Node] = set()

    def settle(self, node: ir.Node) -> None:
        """The node's inputs and outputs, once its inputs' types are final."""
        variable = _variable(node)
        inputs = [(i, value) for i, value, kind in _floating_inputs(node) if kind == variable]
        if not inputs:
            return
        dtype = self._dtype(node, variable, [value for _, value in inputs])
        for i, value in inputs:
            node.replace_input_with(i, self._as(value, dtype, node))
        for value, kind in _floating_outputs(node):
            if kind == variable:
                value.dtype = dtype
        self.settled.add(node)

    def declare_weights(self) -> None:
        """A weight that is only ever cast to half is stored as half."""
        for weight in self.weights:
            casts = [use.node for use in weight.uses()]
            if all(node.op_type == "Cast" and node.outputs[0].dtype == self.half for node in casts):
                for node in casts:
                    node.outputs[0].replace_all_uses_with(weight)
                    self.graph.remove(node, safe=True)
                weight.dtype = self.half

    def _dtype(self, node: ir.Node, variable: str, inputs: list[ir.Value]) -> ir.DataType:
        allowed = _allowed(node, variable, self.half)
        if node.op_type in FULL or node is self.projection or not allowed:
            return FLOAT
        if node.op_type in PRODUCTS:
            return self.half
        if node.op_type == "Add" and any(self._is_product(value) for value in inputs):
            # A product's bias is as precise as the product; what else is added may be more so.
            inputs = [value for value in inputs if not self._is_bias(value)]
        telling = [value for value in inputs if not self._is_free(value)]
        return self.half if telling and all(v.dtype == self.half for v in telling) else FLOAT

    def _is_product(self, value: ir.Value) -> bool:
        node = value.producer()
        return node is not None and node.op_type in PRODUCTS and value.dtype == self.half

    def _is_bias(self, value: ir.Value) -> bool:
        return value.shape is not None and len(value.shape) == 1 and self._is_weight(value)

    def _is_weight(self, value: ir.Value) -> bool:
        node = value.producer()
        if node is None:
            return value in self.weights
        moved = [value for _, value, _ in _floating_inputs(node)]
        return node.op_type in MOVES and all(map(self._is_weight, moved))

    def _is_free(self, value: ir.Value) -> bool:
        """Whether this is a number, which takes any type that can hold it."""
        number = _number(value)
        if number is None:
            return False
        with np.errstate(over="ignore"):
            return bool(np.isfinite(number.astype(self.half.numpy())) | ~np.isfinite(number))

    def _as(self, value: ir.Value, dtype: ir.DataType, before: ir.Node) -> ir.Value:
        """`value` in a type; what that takes goes before the node `before`, and is made once."""
        if value.dtype == dtype:
            return value
        if (value, dtype) not in self.casts:
            self.casts[value, dtype] = self._cast(value, dtype, before)
        return self.casts[value, dtype]

    def _cast(self, value: ir.Value, dtype: ir.DataType, before: ir.Node) -> ir.Value:
        node, number = value.producer(), _number(value)
        if node is not None and dtype == self.half and self._may_follow(node):
            # Half the bytes are moved when the cast comes first.
            for i, moved, kind in _floating_inputs(node):
                if kind == _variable(node):
                    node.replace_input_with(i, self._as(moved, dtype, node))
            for output in node.outputs:
                output.dtype = dtype
            return value
        if number is None:
            cast = ir.node("Cast", [value], attributes={"to": dtype})
        else:
            constant = ir.tensor(number.astype(dtype.numpy()))
            cast = ir.node("Constant", [], attributes={"value": constant})
        (output,) = cast.outputs
        output.name = f"{value.name}_{dtype.name.lower()}"
        output.type, output.shape = ir.TensorType(dtype), value.shape
        self.graph.insert_before(before, cast)
        return output

    def _may_follow(self, node: ir.Node) -> bool:
        """Whether a cast may go before this node: it moves values, to one place each, and what is
        there can still be told."""
        users = [use.node for output in node.outputs for use in output.uses()]
        return (
            node.op_type in MOVES
            and len(users) == len(node.outputs)
            and self.settled.isdisjoint(users)
            and (len(users) == 1 or all(map(self._is_weight, node.outputs)))
        )


def _last_product(graph: ir.Graph) -> ir.Node | None:
    """The last product on a way to the output: the projection into the embedding space."""
    reaching: set[ir.Node] = set()
    stack = [graph.outputs[0].producer()]
    while stack:
        node = stack.pop()
        if node is not None and node not in reaching:
            reaching.add(node)
            stack.extend(value.producer() for value in node.inputs if value is not None)
    products = [node for node in graph if node in reaching and node.op_type in PRODUCTS]
    return products[-1] if products else None


def _number(value: ir.Value) -> np.ndarray | None:
    """The value of a floating constant of one element, also where it is cast first."""
    node = value.producer()
    if node is not None and node.op_type in ("Cast", "CastLike"):
        source = node.inputs[0]
        return None if source is None else _number(source)
    constant = ir.convenience.get_const_tensor(value)
    if constant is None or constant.size != 1 or constant.dtype not in _FLOATS:
        return None
    return constant.numpy()


def _schema(node: ir.Node) -> onnx.defs.OpSchema:
    assert node.graph is not None
    opset = node.version or node.graph.opset_imports[node.domain]
    return onnx.defs.get_schema(node.op_type, opset, node.domain)


def _variable(node: ir.Node) -> str:
    """The type variable, as the operation's schema calls it, that says how it computes."""
    kinds = [kind for _, _, kind in _floating_inputs(node)]
    result = str(_schema(node).outputs[0].type_str)
    return result if result in kinds or not kinds else kinds[0]


def _allowed(node: ir.Node, variable: str, dtype: ir.DataType) -> bool:
    wanted = f"tensor({dtype.name.lower()})"
    return any(
        constraint.type_param_str == variable and wanted in constraint.allowed_type_strs
        for constraint in _schema(node).type_constraints
    )


def _floating_inputs(node: ir.Node) -> Iterator[tuple[int, ir.Value, str]]:
    """(index, value, type variable); a variadic parameter stands for all that follow."""
    formal = _schema(node).inputs
    for i, value in enumerate(node.inputs):
        if value is not None and value.dtype in _FLOATS:
            yield i, value, str(formal[min(i, len(formal) - 1)].type_str)


def _floating_outputs(node: ir.Node) -> Iterator[tuple[ir.Value, str]]:
    formal = _schema(node).outputs
    for i, value in enumerate(node.outputs):
        if value.dtype in _FLOATS:
            yield value, str(formal[min(i, len(formal) - 1)].type_str)
