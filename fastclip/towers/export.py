"""From open_clip's module to an ONNX graph without weights, once per architecture."""

from __future__ import annotations

import contextlib
import io
import warnings
from collections.abc import Iterator, Sequence
from hashlib import blake2b
from pathlib import Path
from typing import Any

import onnx_ir as ir
import onnx_ir.passes.common as common_passes
import torch

from fastclip.errors import EngineError
from fastclip.towers.base import Recipe, TowerGraph
from fastclip.towers.external import declare_external
from fastclip.towers.module import TowerModule
from fastclip.towers.passes import PASSES
from fastclip.towers.passes.base import TowerExport
from fastclip.towers.random_state import lively_state
from fastclip.towers.recipes import leaves, tensor

OPSET = 20
"""Has Gelu and LayerNormalization as one node each; attention is spelled out, because the
Attention node of opset 23 is not in every runtime from onnxruntime 1.22 on."""

OUTPUT = "embeddings"


def export_tower(module: TowerModule, part: str, passes: Sequence[str]) -> TowerExport:
    """Export one tower and run the passes over it.

    Args:
        module: gets a lively random state, so that no two tensors are equal: the exporter
            merges equal ones.
        part: "visual" or "text".
        passes: names in `PASSES`, in order.

    Raises:
        EngineError: torch cannot export the tower, or a weight that matters is not among the
            graph's initializers.
    """
    export = capture(module, part)
    run_passes(export, module, part, passes)
    return export


def capture(module: TowerModule, part: str) -> TowerExport:
    """The tower's graph as torch exports it, before any pass.

    Raises:
        EngineError: torch cannot export the tower.
    """
    module.load(lively_state(module.state_names(), seed=0))
    tower, example, axes = _example(module, part)
    (name,) = axes
    try:
        with _quiet(), torch.no_grad():
            program = torch.onnx.export(
                tower,
                (example,),
                dynamo=True,
                optimize=False,
                opset_version=OPSET,
                dynamic_shapes=axes,
                input_names=[name],
                output_names=[OUTPUT],
            )
    except Exception as error:
        raise EngineError(
            f"torch cannot export the {part} tower: {type(error).__name__}: {error}"
        ) from error
    assert program is not None
    return _collect(program.model, module, part)


def run_passes(export: TowerExport, module: TowerModule, part: str, passes: Sequence[str]) -> None:
    """Run passes over a captured tower and leave nothing behind that they made superfluous.

    Raises:
        EngineError: a weight that matters is not among the graph's initializers.
    """
    for name in passes:
        PASSES.get(name)(export)
    common_passes.RemoveUnusedNodesPass()(export.model)
    _drop_unused(export, module, part)


def serialised(export: TowerExport, folder: Path, part: str) -> tuple[TowerGraph, bytes]:
    """The ONNX file's bytes; weights are declared external and their data is nowhere.

    Returns:
        the graph as it will be once the bytes are written to its path in `folder`, and the
        bytes.
    """
    graph = export.model.graph
    declare_external(graph.initializers[name] for name in export.shapes)
    _strip(export.model)
    data = ir.to_proto(export.model).SerializeToString(deterministic=True)
    digest = blake2b(data, digest_size=16).hexdigest()
    graph_of_tower = TowerGraph(
        path=folder / f"{part}-{digest}.onnx",
        inputs=tuple(str(value.name) for value in graph.inputs),
        output=str(graph.outputs[0].name),
        initializers={name: (shape, "float32") for name, shape in export.shapes.items()},
        digest=digest,
    )
    return graph_of_tower, data


def _example(module: TowerModule, part: str) -> tuple[torch.nn.Module, torch.Tensor, Any]:
    """The tower, an example batch, and its dynamic axes."""
    generator = torch.Generator().manual_seed(0)
    if part == "visual":
        height, width = module.image_size
        pixels = torch.randint(0, 256, (2, height, width, 3), generator=generator)
        return module.image, pixels.to(torch.uint8), {"pixels": {0: "batch"}}
    high = module.vocab_size
    length = module.context_length
    ids = torch.randint(1, high - 1, (3, length), generator=generator)
    # One end-of-text each, at different places.
    ids[torch.arange(3), torch.tensor([length - 1, length // 2, length // 3])] = module.eot_id
    axes: dict[int, str] = {0: "batch"}
    if module.dynamic_text:
        axes[1] = "length"
        ids = ids[:, : max(2, length // 2 + 1)]
    return module.text, ids, {"ids": axes}


def _collect(model: ir.Model, module: TowerModule, part: str) -> TowerExport:
    """Rename the weights among the initializers to `part/...`; leave constants alone."""
    states = module.state_names()
    recipes: dict[str, Recipe] = {}
    shapes: dict[str, tuple[int, ...]] = {}
    initializers = model.graph.initializers
    for name in list(initializers):
        if name not in states:
            continue
        packed = name.replace(".", "/", 1)
        value = initializers.pop(name)
        value.name = packed
        initializers[packed] = value
        recipes[packed] = tensor(name)
        shapes[packed] = states[name]
    pools_at_eot = part == "text" and module.pools_at_eot
    return TowerExport(model, recipes, shapes, pools_at_eot)


def _drop_unused(export: TowerExport, module: TowerModule, part: str) -> None:
    """Every state tensor is an initializer in use, or provably changes nothing and goes.

    Raises:
        EngineError: a weight that matters is not in the graph.
    """
    initializers = export.model.graph.initializers
    for name in list(export.recipes):
        if name not in initializers or not initializers[name].uses():
            del export.recipes[name], export.shapes[name]
            initializers.pop(name, None)
    used = {state for recipe in export.recipes.values() for state in leaves(recipe)}
    missing = sorted(n for n in module.state_names() if n.startswith(f"{part}.") and n not in used)
    if missing and _matter(module, part, missing):
        raise EngineError(
            f"the exported {part} graph lacks {len(missing)} weights that matter: "
            + ", ".join(missing[:5])
        )


def _matter(module: TowerModule, part: str, states: Sequence[str]) -> bool:
    """Whether the tower's output changes when these tensors do."""
    tower, example, _ = _example(module, part)
    tensors = module.model.state_dict()
    with torch.no_grad():
        before = tower(example)
        for name in states:
            tensors[name].add_(1.0)
        return not torch.equal(before, tower(example))


def _strip(model: ir.Model) -> None:
    """Drop the exporter's notes (stack traces, source lines): they name this machine."""
    model.metadata_props.clear()
    model.graph.metadata_props.clear()
    for node in model.graph:
        node.metadata_props.clear()
        node.doc_string = None


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """The exporter prints its progress and warns of its own deprecations."""
    with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
        warnings.simplefilter("ignore")
        yield
