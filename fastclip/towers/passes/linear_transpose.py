"""`linear_transpose`: a Linear weight is stored as the graph multiplies it."""

from __future__ import annotations

import onnx_ir as ir

from fastclip.towers.passes.base import TowerExport
from fastclip.towers.recipes import transpose


def run(export: TowerExport) -> None:
    """Move the Transpose of a matrix initializer into the stored array.

    `x @ W.T` leaves torch as Transpose and MatMul. An initializer whose only use is such a
    Transpose is stored transposed and the node goes away; packing does it once per checkpoint.
    """
    graph = export.model.graph
    for name, weight in list(graph.initializers.items()):
        uses = tuple(weight.uses())
        if name not in export.recipes or len(uses) != 1:
            continue
        node = uses[0].node
        if node.op_type != "Transpose" or len(weight.shape or ()) != 2:
            continue
        node.outputs[0].replace_all_uses_with(weight)
        graph.remove(node, safe=True)
        rows, columns = export.shapes[name]
        export.shapes[name] = (columns, rows)
        export.recipes[name] = transpose(export.recipes[name])
        weight.shape = ir.Shape((columns, rows))
