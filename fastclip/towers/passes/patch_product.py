"""`patch_product`: patches are embedded by one matrix product, pixel normalisation folded in."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx_ir as ir
from onnxscript.rewriter.pattern import ANY_VALUE, RewriteRule

from fastclip.towers.passes.base import TowerExport, dimensions, infer_shapes, scalar
from fastclip.towers.recipes import patch_bias, patch_weight


def run(export: TowerExport) -> None:
    """Rewrite normalisation and patch embedding as bytes moved, and one product.

    The convolution's patches do not overlap, so it is a product with the pixels of each patch.
    Their bytes are put in order before they are floats, mean and standard deviation are in the
    weights and the bias (`recipes.patch_weight`), and 128 is taken off, which is exact, lest the
    sum and the bias be large and cancel.

    Does nothing where the pixels' normalisation is another or the first convolution's patches
    overlap, leave pixels out, or do not become a row of tokens.
    """
    infer_shapes(export.model)
    replace = _Replacement(export)
    rule = RewriteRule(_convolution, replace.build, replace.fits, remove_nodes=False)
    rule.apply_to_model(export.model)


def _convolution(op: Any, pixels: Any, mean: Any, std: Any, weight: Any) -> Any:
    """From uint8 [B, H, W, 3] to [B, patches, D]."""
    x = op.Cast(op.Transpose(pixels, perm=[0, 3, 1, 2]), to=ir.DataType.FLOAT.value)
    x = op.Div(op.Sub(op.Div(x, ANY_VALUE, _outputs=["unit"]), mean), std)
    x = op.Conv(x, weight, _allow_other_inputs=True, _outputs=["patches"])
    return op.Transpose(op.Reshape(x, ANY_VALUE, _outputs=["rows"]), perm=[0, 2, 1])


class _Replacement:
    def __init__(self, export: TowerExport) -> None:
        self.export = export

    def fits(
        self,
        context: Any,
        pixels: ir.Value,
        unit: ir.Value,
        weight: ir.Value,
        patches: ir.Value,
        rows: ir.Value,
        mean: ir.Value,
        std: ir.Value,
    ) -> bool:
        """Whether every pixel is in one patch, and every number is known."""
        if weight.name not in self.export.recipes or len(dimensions(weight)) != 4:
            return False
        outputs, _, height, width = self.export.shapes[str(weight.name)]
        convolution, division = patches.producer(), unit.producer()
        assert convolution is not None and division is not None
        known = convolution.attributes
        size = [side or 0 for side in dimensions(pixels)[1:3]]
        return (
            scalar(division.inputs[1]) == 255
            and None not in (_per_channel(mean), _per_channel(std))
            and known.get_int("group", 1) == 1
            and list(known.get_ints("strides", [1, 1])) == [height, width]
            and not any(known.get_ints("pads", [0]))
            and known.get_string("auto_pad", "NOTSET") in ("NOTSET", "VALID")
            and set(known.get_ints("dilations", [1])) == {1}
            and size[0] % height == size[1] % width == 0
            and dimensions(rows)[1:] == (outputs, size[0] // height * (size[1] // width))
            and (self._bias(convolution) is not None or _is_without_bias(convolution))
        )

    def build(
        self,
        op: Any,
        pixels: ir.Value,
        mean: ir.Value,
        std: ir.Value,
        weight: ir.Value,
        patches: ir.Value,
        **_: Any,
    ) -> Any:
        """Bytes by patch, row, column and channel, times the weights."""
        name, export = str(weight.name), self.export
        size = [side for side in dimensions(pixels)[1:3] if side is not None]
        normalisation = (_per_channel(mean) or (), _per_channel(std) or ())
        outputs, channels, height, width = export.shapes[name]
        down, across = (side // patch for side, patch in zip(size, (height, width), strict=True))
        recipe, bias = export.recipes[name], export.recipe_of(self._bias(patches.producer()))
        shape = (height * width * channels, outputs)
        product = export.weight(f"{name}.T", shape, patch_weight(recipe, *normalisation))
        offset = export.weight(
            f"{name}.offset", (outputs,), patch_bias(recipe, bias, *normalisation)
        )
        cut = [0, down, height, across, width * channels]
        joined = [0, down * across, height * width * channels]
        x = op.Reshape(pixels, op.Constant(value_ints=cut))
        x = op.Transpose(x, perm=[0, 1, 3, 2, 4])
        x = op.Reshape(x, op.Constant(value_ints=joined))
        x = op.Sub(op.Cast(x, to=ir.DataType.FLOAT.value), op.Constant(value_float=128.0))
        x = op.Mul(x, op.Constant(value_float=1 / 128))
        return op.Add(op.MatMul(x, product), offset)

    def _bias(self, convolution: ir.Node | None) -> ir.Value | None:
        """The bias, where it is a checkpoint's."""
        value = None
        if convolution is not None and len(convolution.inputs) > 2:
            value = convolution.inputs[2]
        return None if self.export.recipe_of(value) is None else value


def _is_without_bias(convolution: ir.Node) -> bool:
    """Whether there is none, or zeros, as the exporter writes it."""
    return len(convolution.inputs) < 3 or scalar(convolution.inputs[2]) == 0


def _per_channel(value: ir.Value) -> tuple[float, float, float] | None:
    """Three numbers of a constant [1, 3, 1, 1]."""
    constant = ir.convenience.get_const_tensor(value)
    if constant is None or constant.shape != (1, 3, 1, 1):
        return None
    red, green, blue = constant.numpy().astype(np.float64).ravel().tolist()
    return red, green, blue
