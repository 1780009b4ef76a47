"""What a pass works on: a graph and the recipes of its initializers, changed together."""

from __future__ import annotations

from dataclasses import dataclass

import onnx_ir as ir
import onnx_ir.passes.common as common_passes

from fastclip.towers.base import Recipe


@dataclass
class TowerExport:
    """One tower on its way through the passes.

    Attributes:
        model: the ONNX graph.
        recipes: `{packed name: recipe}` over the module's state names.
        shapes: `{packed name: shape}` as the graph wants it.
        pools_at_eot: the embedding is read at the end-of-text position.
    """

    model: ir.Model
    recipes: dict[str, Recipe]
    shapes: dict[str, tuple[int, ...]]
    pools_at_eot: bool

    def weight(self, name: str, shape: tuple[int, ...], recipe: Recipe) -> ir.Value:
        """A new float32 initializer that packing fills; one that nothing uses goes away."""
        value = ir.Value(name=name, type=ir.TensorType(ir.DataType.FLOAT), shape=ir.Shape(shape))
        self.model.graph.initializers[name] = value
        self.recipes[name], self.shapes[name] = recipe, shape
        return value

    def recipe_of(self, value: ir.Value | None) -> Recipe | None:
        """How a weight is made; None for what is not one."""
        return None if value is None else self.recipes.get(str(value.name))


def infer_shapes(model: ir.Model) -> None:
    """Find the shapes that the exporter, or a pass, has not written down."""
    common_passes.ShapeInferencePass()(model)
    for node in model.graph:
        if node.op_type == "SplitToSequence":
            # The pass takes the type of its elements for that of the sequence.
            node.outputs[0].type = node.outputs[0].shape = None


def dimensions(value: ir.Value) -> tuple[int | None, ...]:
    """A value's shape, None where a dimension is free; empty where nothing is known."""
    return tuple(d if isinstance(d, int) else None for d in value.shape or ())


def scalar(value: ir.Value | None) -> float | int | None:
    """The number that a value holds, once or repeated; None where it is not one number.

    The exporter casts, reshapes and expands its constants.
    """
    while value is not None and (node := value.producer()) is not None:
        if node.op_type not in _SAME_NUMBER:
            break
        value = node.inputs[0]
    constant = None if value is None else ir.convenience.get_const_tensor(value)
    if constant is None or constant.size != 1:
        return None
    number: float | int = constant.numpy().item()
    return number


_SAME_NUMBER = ("Cast", "CastLike", "Expand", "Identity", "Reshape", "Squeeze", "Unsqueeze")
