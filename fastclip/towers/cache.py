"""`get_towers`: export once per architecture, keep the graph, never the weights."""

from __future__ import annotations

import json
import secrets
import shutil
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fastclip.errors import EngineError
from fastclip.files import canonical_json, digest_of
from fastclip.towers.base import Architecture, Manifest, Recipe, TowerGraph, Towers
from fastclip.towers.configs import is_custom_text
from fastclip.towers.manifest import compose, manifest_from_json, manifest_to_json
from fastclip.towers.naming import text_prefix_cut
from fastclip.towers.passes import DEFAULT_PASSES, PASSES
from fastclip.towers.recipes import tensor

if TYPE_CHECKING:
    from fastclip.towers.module import TowerModule

EXPORT_REVISION = 1
"""Raised whenever this room would make another graph of the same architecture."""

_DESCRIPTION = "towers.json"


def get_towers(
    architecture: Architecture,
    *,
    cache_dir: Path,
    text: bool = True,
    passes: Sequence[str] = DEFAULT_PASSES,
) -> Towers:
    """The graphs and manifests of an architecture, exported now or read from the cache.

    Reading from the cache imports neither torch nor open_clip. The cache holds the graph
    (about 1 MB), keyed by the architecture's digest, the versions of what makes the graph, the
    export revision and the passes.

    Args:
        architecture: what `identify` returned.
        cache_dir: graphs go into its folder `graphs/`.
        text: False leaves the text tower out.
        passes: names of `fastclip.towers.passes.PASSES`, in order.

    Raises:
        UsageError: an unknown pass.
        EngineError: the architecture cannot be built or exported.
    """
    for name in passes:
        if name not in PASSES:
            PASSES.get(name)  # raises, listing the passes there are
    folder = cache_dir / "graphs" / _key(architecture, text, passes)
    if not (folder / _DESCRIPTION).is_file():
        _export_into(folder, architecture, text, passes)
    return _load(folder, architecture)


def _key(architecture: Architecture, text: bool, passes: Sequence[str]) -> str:
    versions = {
        name: version(name)
        for name in ("torch", "onnx", "onnx-ir", "onnxscript", "open_clip_torch", "timm")
    }
    return digest_of(
        {
            "architecture": architecture.digest,
            "versions": versions,
            "revision": EXPORT_REVISION,
            "passes": list(passes),
            "text": text,
        }
    )


def _export_into(
    folder: Path, architecture: Architecture, text: bool, passes: Sequence[str]
) -> None:
    """Export into a temporary folder, then rename: readers see all of it or none."""
    from fastclip.towers.export import export_tower, save_graph

    module = _build(architecture, text)
    folder.parent.mkdir(parents=True, exist_ok=True)
    temporary = folder.with_name(f".tmp-{secrets.token_hex(6)}")
    temporary.mkdir()
    try:
        recipes: dict[str, Recipe] = {}
        shapes: dict[str, tuple[int, ...]] = {}
        graphs: dict[str, Any] = {}
        for part in ("visual", "text") if text else ("visual",):
            export = export_tower(module, part, passes)
            graphs[part] = _graph_to_json(save_graph(export, temporary / f"{part}.onnx"))
            recipes |= export.recipes
            shapes |= export.shapes
        states = module.state_names()
        for name in ("logit_scale", "logit_bias"):
            if name in states:
                recipes[name], shapes[name] = tensor(name), states[name]
        adapter = open_clip_names(architecture.config, states)
        description = {
            "architecture": architecture.name,
            "config": architecture.config,
            "graphs": graphs,
            "manifest": manifest_to_json(compose(Manifest(recipes, shapes), adapter)),
            "module_manifest": manifest_to_json(
                compose(Manifest({name: tensor(name) for name in states}, states), adapter)
            ),
            "embed_dim": module.embed_dim,
            "context_length": module.context_length,
            "dynamic_text": module.dynamic_text,
        }
        (temporary / _DESCRIPTION).write_text(canonical_json(description))
        _publish(temporary, folder)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _build(architecture: Architecture, text: bool) -> TowerModule:
    """With the text tower also where only pictures are encoded: what a checkpoint is, is all
    its weights. Without it only where it cannot be built here."""
    from fastclip.towers.module import TowerModule

    try:
        return TowerModule(architecture)
    except EngineError:
        if text:
            raise
        return TowerModule(architecture, text=False)


def _publish(temporary: Path, folder: Path) -> None:
    try:
        temporary.rename(folder)
    except OSError:
        # Another process was first; its graph is as good.
        if not (folder / _DESCRIPTION).is_file():
            raise


def _load(folder: Path, architecture: Architecture) -> Towers:
    value = json.loads((folder / _DESCRIPTION).read_text())
    graphs = value["graphs"]
    return Towers(
        architecture=architecture,
        visual=_graph_from_json(folder / "visual.onnx", graphs["visual"]),
        text=_graph_from_json(folder / "text.onnx", graphs["text"]) if "text" in graphs else None,
        manifest=manifest_from_json(value["manifest"]),
        module_manifest=manifest_from_json(value["module_manifest"]),
        embed_dim=value["embed_dim"],
        context_length=value["context_length"],
        dynamic_text=value["dynamic_text"],
    )


def open_clip_names(
    config: Mapping[str, Any], states: Mapping[str, tuple[int, ...]]
) -> dict[str, Recipe]:
    """`{state name: recipe}` for the naming in which open_clip saves this architecture.

    A plain CLIP keeps its text tower at the top level, everything else under `text.`.
    """
    if is_custom_text(config):
        return {}
    return {name: tensor(text_prefix_cut(name)) for name in states}


def _graph_to_json(graph: TowerGraph) -> dict[str, Any]:
    return {
        "inputs": list(graph.inputs),
        "output": graph.output,
        "initializers": {
            name: [list(shape), dtype] for name, (shape, dtype) in graph.initializers.items()
        },
        "digest": graph.digest,
    }


def _graph_from_json(path: Path, value: Mapping[str, Any]) -> TowerGraph:
    return TowerGraph(
        path=path,
        inputs=tuple(value["inputs"]),
        output=value["output"],
        initializers={
            name: (tuple(shape), dtype) for name, (shape, dtype) in value["initializers"].items()
        },
        digest=value["digest"],
    )
