"""Recipes: evaluating them, composing them, and their JSON."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from fastclip.errors import CheckpointError
from fastclip.towers.base import Manifest, Recipe


def tensor(name: str) -> Recipe:
    """The checkpoint's tensor of that name."""
    return Recipe("tensor", name=name)


def transpose(of: Recipe) -> Recipe:
    """The transpose of a matrix."""
    return Recipe("transpose", of=(of,))


def concat(*of: Recipe) -> Recipe:
    """Arrays joined along axis 0."""
    return Recipe("concat", of=of)


def reshape(of: Recipe, shape: tuple[int, ...]) -> Recipe:
    """The same values in another shape."""
    return Recipe("reshape", of=(of,), shape=shape)


def evaluate(recipe: Recipe, tensors: Mapping[str, np.ndarray]) -> np.ndarray:
    """Carry out one recipe: C-contiguous out; a plain tensor is returned itself.

    Raises:
        CheckpointError: a tensor is missing.
    """
    if recipe.op == "tensor":
        if recipe.name not in tensors:
            raise CheckpointError(
                f"tensor '{recipe.name}' is not in the checkpoint",
                mend="give the architecture it was trained with: --model NAME",
            )
        return tensors[recipe.name]
    parts = [evaluate(part, tensors) for part in recipe.of]
    if recipe.op == "transpose":
        return np.ascontiguousarray(parts[0].T)
    if recipe.op == "concat":
        return np.concatenate(parts, axis=0)
    if recipe.op == "reshape":
        return parts[0].reshape(recipe.shape)
    raise ValueError(f"unknown recipe operation '{recipe.op}'")


def check_finite(name: str, array: np.ndarray) -> None:
    """Refuse NaN and infinity.

    Raises:
        CheckpointError: names the tensor and how many values are not finite.
    """
    if not np.issubdtype(array.dtype, np.floating):
        return
    flat = array.reshape(-1)
    # One pass through BLAS: any NaN or infinity survives a sum of squares. So does an overflow,
    # therefore the slow count has the last word.
    if np.isfinite(np.dot(flat, flat)):
        return
    bad = int(flat.size - np.count_nonzero(np.isfinite(flat)))
    if bad:
        raise CheckpointError(
            f"tensor '{name}' holds {bad} values that are NaN or infinite (of {flat.size})",
            mend="the training has diverged here; leave this checkpoint out",
        )


def compose(manifest: Manifest, adapter: Mapping[str, Recipe]) -> Manifest:
    """Replace every leaf that `adapter` names by its recipe; other leaves stay."""

    def replaced(recipe: Recipe) -> Recipe:
        if recipe.op == "tensor":
            return adapter.get(recipe.name, recipe)
        return Recipe(recipe.op, of=tuple(map(replaced, recipe.of)), shape=recipe.shape)

    recipes = {name: replaced(recipe) for name, recipe in manifest.recipes.items()}
    return Manifest(recipes, manifest.shapes)


def manifest_to_json(manifest: Manifest) -> dict[str, Any]:
    """As plain JSON: `{packed name: [recipe, shape]}`."""
    return {
        name: [_recipe_to_json(recipe), list(manifest.shapes[name])]
        for name, recipe in manifest.recipes.items()
    }


def manifest_from_json(value: Mapping[str, Any]) -> Manifest:
    """The inverse of `manifest_to_json`."""
    return Manifest(
        {name: _recipe_from_json(recipe) for name, (recipe, _) in value.items()},
        {name: tuple(shape) for name, (_, shape) in value.items()},
    )


def _recipe_to_json(recipe: Recipe) -> Any:
    if recipe.op == "tensor":
        return recipe.name
    value: dict[str, Any] = {"op": recipe.op, "of": [_recipe_to_json(part) for part in recipe.of]}
    if recipe.op == "reshape":
        value["shape"] = list(recipe.shape)
    return value


def _recipe_from_json(value: Any) -> Recipe:
    if isinstance(value, str):
        return tensor(value)
    of = tuple(_recipe_from_json(part) for part in value["of"])
    return Recipe(value["op"], of=of, shape=tuple(value.get("shape", ())))
