"""`eot_input`: the end-of-text position becomes a graph input instead of an ArgMax over ids."""

from __future__ import annotations

import onnx_ir as ir

from fastclip.towers.passes.base import TowerExport


def run(export: TowerExport) -> None:
    """Replace the ArgMax over token ids by the input `eot`, int64 `[B]`.

    Does nothing to a tower that does not pool at end-of-text. The tokenizer knows the position;
    on the device the search is one more kernel, and a type of operation less well supported.
    """
    graph = export.model.graph
    searches = [node for node in graph if node.op_type == "ArgMax"]
    if not export.pools_at_eot or not searches:
        return
    (search,) = searches
    batch = search.outputs[0].shape
    eot = ir.Value(name="eot", type=ir.TensorType(ir.DataType.INT64), shape=batch)
    graph.inputs.append(eot)
    search.outputs[0].replace_all_uses_with(eot)
