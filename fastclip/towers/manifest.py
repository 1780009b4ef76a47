"""Manifests: composing them, fitting them to a checkpoint's own naming, and their JSON."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from fastclip.checkpoints.base import TensorInfo
from fastclip.towers.base import Manifest, Recipe, Towers
from fastclip.towers.naming import recipes_for
from fastclip.towers.recipes import evaluate, recipe_from_json, recipe_to_json, simplified

__all__ = ["adapt", "compose", "evaluate", "manifest_from_json", "manifest_to_json"]

_HEADS = ("logit_scale", "logit_bias")


def adapt(towers: Towers, tensors: Mapping[str, TensorInfo], layout: str) -> Towers:
    """The same towers with manifests in a checkpoint's own naming.

    Handles the Hugging Face layout, open_clip's two namings of the text tower, and a
    `logit_scale` of another rank; a `logit_bias` that the checkpoint lacks is left out.

    Args:
        towers: from `get_towers`; not changed.
        tensors: names and shapes of the checkpoint's tensors.
        layout: "open_clip" or "huggingface".

    Raises:
        CheckpointError: another architecture than the towers': names the first tensors that
            are missing, of another shape, or not of this architecture.
    """
    own = recipes_for(towers.module_manifest.shapes, tensors, layout)
    adapter = {
        recipe.name: own[state]
        for state, recipe in towers.module_manifest.recipes.items()
        if state in own
    }
    absent = [state for state in _HEADS if state not in own]

    def fitted(manifest: Manifest) -> Manifest:
        kept = {name: r for name, r in manifest.recipes.items() if name not in absent}
        shapes = {name: manifest.shapes[name] for name in kept}
        return compose(Manifest(kept, shapes), adapter)

    return replace(
        towers,
        manifest=fitted(towers.manifest),
        module_manifest=fitted(towers.module_manifest),
    )


def compose(manifest: Manifest, adapter: Mapping[str, Recipe]) -> Manifest:
    """Replace every leaf that `adapter` names by its recipe; other leaves stay."""

    def replaced(recipe: Recipe) -> Recipe:
        if recipe.op == "tensor":
            return adapter.get(recipe.name, recipe)
        return simplified(replace(recipe, of=tuple(map(replaced, recipe.of))))

    recipes = {name: replaced(recipe) for name, recipe in manifest.recipes.items()}
    return Manifest(recipes, manifest.shapes)


def manifest_to_json(manifest: Manifest) -> dict[str, Any]:
    """As plain JSON: `{packed name: [recipe, shape]}`."""
    return {
        name: [recipe_to_json(recipe), list(manifest.shapes[name])]
        for name, recipe in manifest.recipes.items()
    }


def manifest_from_json(value: Mapping[str, Any]) -> Manifest:
    """The inverse of `manifest_to_json`."""
    return Manifest(
        {name: recipe_from_json(recipe) for name, (recipe, _) in value.items()},
        {name: tuple(shape) for name, (_, shape) in value.items()},
    )
