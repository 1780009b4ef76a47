"""`get_towers`: export once per architecture, keep the graph, never the weights."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fastclip.errors import EngineError
from fastclip.files import canonical_json, digest_of, locked, write_atomic
from fastclip.towers.base import Architecture, Manifest, Recipe, TowerGraph, Towers
from fastclip.towers.configs import is_custom_text, is_dynamic_text
from fastclip.towers.manifest import compose, manifest_from_json, manifest_to_json
from fastclip.towers.naming import text_prefix_cut
from fastclip.towers.passes import DEFAULT_PASSES, PASSES
from fastclip.towers.recipes import tensor

if TYPE_CHECKING:
    from fastclip.towers.module import TowerModule

EXPORT_REVISION = 2
"""Raised whenever this room would make another graph of the same architecture."""

_HEADS = ("logit_scale", "logit_bias")


def get_towers(
    architecture: Architecture,
    *,
    cache_dir: Path,
    text: bool = True,
    passes: Sequence[str] = DEFAULT_PASSES,
) -> Towers:
    """The graphs and manifests of an architecture, exported now or read from the cache.

    Reading from the cache imports neither torch nor open_clip. The cache holds the graphs
    (about 1 MB), keyed by the architecture's digest, the versions of what makes the graph, the
    export revision and the passes. Each tower is exported when it is first asked for.

    Args:
        architecture: what `identify` returned.
        cache_dir: graphs go into its folder `graphs/`.
        text: False leaves the text tower's graph out.
        passes: names of `fastclip.towers.passes.PASSES`, in order.

    Raises:
        UsageError: an unknown pass.
        EngineError: the architecture cannot be built or exported.
    """
    for name in passes:
        if name not in PASSES:
            PASSES.get(name)  # raises, listing the passes there are
    shelf = _Shelf(architecture, cache_dir / "graphs" / _key(architecture, passes), passes, text)
    visual, manifest = shelf.tower("visual")
    text_graph = None
    if text:
        text_graph, own = shelf.tower("text")
        manifest = _joined(manifest, own)
    module_manifest = shelf.module_manifest()
    heads = {k: r for k, r in module_manifest.recipes.items() if k in _HEADS}
    head_shapes = {k: module_manifest.shapes[k] for k in heads}
    config = architecture.config
    return Towers(
        architecture=architecture,
        visual=visual,
        text=text_graph,
        manifest=_joined(manifest, Manifest(heads, head_shapes)),
        module_manifest=module_manifest,
        embed_dim=int(config["embed_dim"]),
        context_length=int(config["text_cfg"].get("context_length", 77)),
        dynamic_text=is_dynamic_text(config),
    )


class _Shelf:
    """The cache folder of one architecture; what is not there is made."""

    def __init__(
        self, architecture: Architecture, folder: Path, passes: Sequence[str], text: bool
    ) -> None:
        self.architecture = architecture
        self.folder = folder
        self.passes = passes
        self.text = text

    @cached_property
    def module(self) -> TowerModule:
        """With the text tower also where only pictures are encoded, because what a checkpoint
        is, is all its weights. Without it only where it cannot be built here."""
        from fastclip.towers.module import TowerModule

        try:
            return TowerModule(self.architecture)
        except EngineError:
            if self.text:
                raise
            return TowerModule(self.architecture, text=False)

    def tower(self, part: str) -> tuple[TowerGraph, Manifest]:
        """The graph of "visual" or "text" with its manifest in open_clip's naming."""
        description = self.folder / f"{part}.json"
        if not description.is_file():
            # Of several processes on a machine one exports, and the others find it done.
            with locked(self.folder.parent.parent / "locks" / f"graph-{self.folder.name}"):
                if not description.is_file():
                    self._export(part)
        value = json.loads(description.read_text())
        graph = _graph_from_json(self.folder, value["graph"])
        return graph, manifest_from_json(value["manifest"])

    def module_manifest(self) -> Manifest:
        """The manifest of open_clip's own module, in open_clip's naming."""
        path = self.folder / f"module{'' if self.text else '-of-pictures'}.json"
        whole = self.folder / "module.json"
        for known in (whole, path):
            if known.is_file():
                return manifest_from_json(json.loads(known.read_text()))
        states = self.module.state_names()
        manifest = Manifest({name: tensor(name) for name in states}, states)
        manifest = compose(manifest, _open_clip_names(self.architecture.config, states))
        written = whole if self.module.with_text else path
        write_atomic(written, canonical_json(manifest_to_json(manifest)).encode())
        return manifest

    def _export(self, part: str) -> None:
        """The graph first, under its digest, then the description that names it: whoever sees
        a description sees its graph, whatever other processes write."""
        from fastclip.towers.export import export_tower, serialised

        export = export_tower(self.module, part, self.passes)
        graph, data = serialised(export, self.folder, part)
        write_atomic(graph.path, data)
        names = _open_clip_names(self.architecture.config, self.module.state_names())
        manifest = compose(Manifest(export.recipes, export.shapes), names)
        value = {"graph": _graph_to_json(graph), "manifest": manifest_to_json(manifest)}
        write_atomic(self.folder / f"{part}.json", canonical_json(value).encode())


def _key(architecture: Architecture, passes: Sequence[str]) -> str:
    makers = ("torch", "onnx", "onnx-ir", "onnxscript", "open_clip_torch", "timm")
    return digest_of(
        {
            "architecture": architecture.digest,
            "versions": {name: version(name) for name in makers},
            "revision": EXPORT_REVISION,
            "passes": list(passes),
        }
    )


def _joined(first: Manifest, second: Manifest) -> Manifest:
    recipes = {**first.recipes, **second.recipes}
    return replace(first, recipes=recipes, shapes={**first.shapes, **second.shapes})


def _open_clip_names(
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
        "file": graph.path.name,
        "inputs": list(graph.inputs),
        "output": graph.output,
        "initializers": {
            name: [list(shape), dtype] for name, (shape, dtype) in graph.initializers.items()
        },
        "digest": graph.digest,
    }


def _graph_from_json(folder: Path, value: Mapping[str, Any]) -> TowerGraph:
    return TowerGraph(
        path=folder / value["file"],
        inputs=tuple(value["inputs"]),
        output=value["output"],
        initializers={
            name: (tuple(shape), dtype) for name, (shape, dtype) in value["initializers"].items()
        },
        digest=value["digest"],
    )
