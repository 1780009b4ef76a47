"""What a pass works on: a graph and the recipes of its initializers, changed together."""

from __future__ import annotations

from dataclasses import dataclass

import onnx_ir as ir

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
