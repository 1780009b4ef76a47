"""`last_block`: what only one token is read of is computed for that token only."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import onnx_ir as ir
from onnxscript.rewriter.pattern import ANY_VALUE, Pattern

from fastclip.towers.passes.alike import Inputs, inputs_alike
from fastclip.towers.passes.base import TowerExport, dimensions, infer_shapes, scalar

_END = 2**63 - 1
"""The end of an axis, to a Slice."""


def run(export: TowerExport) -> None:
    """Move the choice of the pooled token up to where all tokens are needed.

    A tower that pools one token, the class token or the one at the end of text, needs of its last
    block: keys and values of all tokens; queries, attention, norms and MLP of one. So the choice
    moves up through nodes that treat all tokens alike, as far as nobody else reads them. Exact
    up to rounding.

    Comes after `batch_first`, without which it gets no further than the last attention's output,
    and for text after `eot_input`, without which it does nothing there.
    """
    graph = export.model.graph
    infer_shapes(export.model)
    for node in list(graph):
        choice = _static_choice(node) or _choice_at_eot(export.model, node)
        if choice is not None:
            _narrow(graph, choice)


@dataclass(frozen=True)
class _Choice:
    """One token of each row of `tokens` [B, S, D] is `taken` [B, D].

    Attributes:
        reader: the node that reads `tokens` for it.
        place: the token's index where it is the same in every row, else the value [B] of them.
    """

    tokens: ir.Value
    reader: ir.Node
    taken: ir.Value
    place: int | ir.Value

    def applies_to(self, value: ir.Value, axis: int) -> bool:
        """Whether `of` can choose from this value along this axis."""
        sizes = dimensions(value)
        return isinstance(self.place, int) or (axis == 1 if sizes[0] != 1 else axis > 0)

    def of(self, value: ir.Value, axis: int) -> list[ir.Node]:
        """Nodes that take the token along any axis and leave that axis with size 1."""
        if isinstance(self.place, int):
            bounds = [self.place, self.place + 1 or _END, axis]
            constants = [ir.node("Constant", [], {"value_ints": [bound]}) for bound in bounds]
            return [*constants, ir.node("Slice", [value, *(c.outputs[0] for c in constants)])]
        if dimensions(value)[0] == 1:
            # The same for every row until now: a mask [1, 1, S, S].
            taken = ir.node("Gather", [value, self.place], {"axis": axis})
            perm = list(range(len(dimensions(value))))
            perm[0], perm[axis] = axis, 0
            return [taken, ir.node("Transpose", taken.outputs, {"perm": perm})]
        axes = ir.node("Constant", [], {"value_ints": [1, 2]})
        places = ir.node("Unsqueeze", [self.place, axes.outputs[0]])
        return [axes, places, ir.node("GatherND", [value, *places.outputs], {"batch_dims": 1})]


def _static_choice(node: ir.Node) -> _Choice | None:
    """`tokens[:, i]`, as for the class token."""
    if node.op_type != "Gather" or node.attributes.get_int("axis", 0) != 1:
        return None
    tokens, place = node.inputs[0], scalar(node.inputs[1])
    if tokens is None or place is None or len(dimensions(tokens)) != 3:
        return None
    (taken,) = node.outputs
    return _Choice(tokens, node, taken, int(place)) if len(dimensions(taken)) == 2 else None


def _choice_at_eot(model: ir.Model, node: ir.Node) -> _Choice | None:
    """`tokens[arange(B), eot]`, where `eot` is an input."""
    match = _pattern_at_eot().match(model, model.graph, node, check_nodes_are_removable=False)
    if not match:
        return None
    bound = match.bindings
    counted = (scalar(bound["start"]), scalar(bound["step"])) == (0, 1)
    if not counted or bound["eot"] not in model.graph.inputs:
        return None
    return _Choice(bound["tokens"], bound["moved"].producer(), node.outputs[0], bound["eot"])


@lru_cache
def _pattern_at_eot() -> Pattern:
    def exported(op: Any, tokens: Any, start: Any, stop: Any, step: Any, eot: Any) -> Any:
        rows = op.Unsqueeze(op.Expand(op.Range(start, stop, step), ANY_VALUE), [-1])
        places = op.Concat(rows, op.Unsqueeze(op.Expand(eot, ANY_VALUE), [-1]), axis=-1)
        moved = op.Transpose(tokens, perm=[0, 1, 2], _outputs=["moved"])
        return op.Transpose(op.GatherND(moved, places, batch_dims=0), perm=[0, 1])

    return Pattern(exported)


def _narrow(graph: ir.Graph, choice: _Choice) -> None:
    """Make the choice as early as possible."""
    narrowed: dict[ir.Node, Inputs] = {}
    wanted = {choice.tokens: 1}
    for node in reversed(graph):
        axis = wanted.get(node.outputs[0])
        if axis is None or not _is_read_only_by({choice.reader, *narrowed}, node):
            continue
        inputs = inputs_alike(node, axis)
        if inputs is not None and all(wanted.get(v, a) == a for v, a in inputs.items()):
            narrowed[node] = inputs
            wanted |= inputs
    first = {value: axis for value, axis in wanted.items() if value.producer() not in narrowed}
    if not narrowed or not all(choice.applies_to(*item) for item in first.items()):
        return
    for node in narrowed:
        _set_to_one(node.outputs[0], wanted[node.outputs[0]])
    for value, axis in first.items():
        readers = [use for use in value.uses() if value in narrowed.get(use.node, ())]
        nodes = choice.of(value, axis)
        before = next(node for node in graph if any(node is use.node for use in readers))
        graph.insert_before(before, nodes)
        for use in readers:
            use.node.replace_input_with(use.idx, nodes[-1].outputs[0])
    axes = ir.node("Constant", [], {"value_ints": [1]})
    taken = ir.node("Squeeze", [choice.tokens, axes.outputs[0]])
    graph.insert_before(choice.reader, [axes, taken])
    (token,) = taken.outputs
    token.type, token.shape = choice.taken.type, choice.taken.shape
    choice.taken.replace_all_uses_with(token, replace_graph_outputs=True)


def _is_read_only_by(readers: set[ir.Node], node: ir.Node) -> bool:
    """Whether nobody else wants all tokens of a node's output."""
    (output, *others) = node.outputs
    used = any(value.uses() for value in others) or output.is_graph_output()
    return not used and all(use.node in readers for use in output.uses())


def _set_to_one(value: ir.Value, axis: int) -> None:
    if value.shape is not None:
        sizes = list(value.shape)
        sizes[axis] = 1
        value.shape = ir.Shape(sizes)
