"""Recipes: how one array is made of a checkpoint's tensors; building, evaluating, JSON."""

from __future__ import annotations

from collections.abc import Mapping
from math import prod
from typing import Any

import numpy as np

from fastclip.checkpoints.base import TensorInfo
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


def evaluate(recipe: Recipe, tensors: Mapping[str, Any]) -> Any:
    """Carry out one recipe: C-contiguous out; a plain tensor is returned itself.

    Works on numpy arrays, and on torch tensors where they lie.

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
        return _transposed(parts[0])
    if recipe.op == "concat":
        return _joined(parts)
    if recipe.op == "reshape":
        return parts[0].reshape(recipe.shape)
    raise ValueError(f"unknown recipe operation '{recipe.op}'")


def _joined(parts: list[Any]) -> Any:
    if isinstance(parts[0], np.ndarray):
        return np.concatenate(parts, axis=0)
    import torch

    return torch.cat(parts)


def _transposed(matrix: Any, strip: int = 128) -> Any:
    """A contiguous transpose; numpy's strip by strip, three times as fast as in one go."""
    if not isinstance(matrix, np.ndarray):
        return matrix.t().contiguous()
    rows, columns = matrix.shape
    result = np.empty((columns, rows), matrix.dtype)
    for row in range(0, rows, strip):
        result[:, row : row + strip] = matrix[row : row + strip].T
    return result


def leaves(recipe: Recipe) -> tuple[str, ...]:
    """Names of the tensors a recipe reads, in order."""
    if recipe.op == "tensor":
        return (recipe.name,)
    return tuple(name for part in recipe.of for name in leaves(part))


def shape_of(recipe: Recipe, tensors: Mapping[str, TensorInfo]) -> tuple[int, ...] | None:
    """Shape that `evaluate` would give, from shapes alone; None where the parts do not join."""
    if recipe.op == "tensor":
        return tensors[recipe.name].shape
    parts = [shape_of(part, tensors) for part in recipe.of]
    if any(part is None for part in parts):
        return None
    shapes = [part for part in parts if part is not None]
    if recipe.op == "transpose":
        return tuple(reversed(shapes[0]))
    if recipe.op == "reshape":
        return recipe.shape if prod(recipe.shape) == prod(shapes[0]) else None
    if len({shape[1:] for shape in shapes}) != 1 or not shapes[0]:
        return None
    return (sum(shape[0] for shape in shapes), *shapes[0][1:])


def check_finite(tensors: Mapping[str, Any]) -> None:
    """Refuse NaN and infinity in floating numpy arrays or torch tensors.

    Raises:
        CheckpointError: names the first such tensor and how many of its values are not finite.
    """
    on_device = {}
    for name, value in tensors.items():
        if isinstance(value, np.ndarray | np.generic):
            _check_array(name, value)
        else:
            on_device[name] = value
    _check_on_device(on_device)


def _check_on_device(tensors: Mapping[str, Any]) -> None:
    """One question to the device for all of them: each answer waits for it to be idle."""
    if not tensors:
        return
    import torch

    names = sorted(name for name, tensor in tensors.items() if tensor.is_floating_point())
    bad = torch.stack([(~tensors[name].isfinite()).sum() for name in names]).tolist()
    for name, count in zip(names, bad, strict=True):
        if count:
            raise _not_finite(name, count, tensors[name].numel())


def _check_array(name: str, array: np.ndarray | np.generic) -> None:
    if not np.issubdtype(array.dtype, np.floating):
        return
    flat = array.reshape(-1)
    # One pass through BLAS: any NaN or infinity survives a sum of squares. So does an overflow,
    # therefore the slow count has the last word.
    with np.errstate(over="ignore", invalid="ignore"):
        if np.isfinite(np.dot(flat, flat)):
            return
    bad = int(flat.size - np.count_nonzero(np.isfinite(flat)))
    if bad:
        raise _not_finite(name, bad, flat.size)


def _not_finite(name: str, bad: int, size: int) -> CheckpointError:
    return CheckpointError(
        f"tensor '{name}' holds {bad} values that are NaN or infinite (of {size})",
        mend="the training has diverged here; leave this checkpoint out",
    )


def recipe_to_json(recipe: Recipe) -> Any:
    """As plain JSON: a string for a tensor, else an object."""
    if recipe.op == "tensor":
        return recipe.name
    value: dict[str, Any] = {"op": recipe.op, "of": [recipe_to_json(part) for part in recipe.of]}
    if recipe.op == "reshape":
        value["shape"] = list(recipe.shape)
    return value


def recipe_from_json(value: Any) -> Recipe:
    """The inverse of `recipe_to_json`."""
    if isinstance(value, str):
        return tensor(value)
    of = tuple(recipe_from_json(part) for part in value["of"])
    return Recipe(value["op"], of=of, shape=tuple(value.get("shape", ())))


def pack(manifest: Manifest, tensors: Mapping[str, Any]) -> dict[str, Any]:
    """Make every packed array from a checkpoint's tensors: pure, C-contiguous float32 out.

    A recipe that is a plain tensor returns the array itself, not a copy. From torch tensors
    (`Engine.upload`) it makes torch tensors, where they lie.

    Raises:
        CheckpointError: a tensor is missing, has another shape than the graph's, or holds NaN
            or infinity (the message names it).
    """
    check_finite({name: tensors[name] for name in manifest.needed if name in tensors})
    packed = {name: evaluate(recipe, tensors) for name, recipe in manifest.recipes.items()}
    for name, shape in manifest.shapes.items():
        found = tuple(packed[name].shape)
        if found != shape:
            raise CheckpointError(
                f"'{name}' has shape {found} but the architecture wants {shape}",
                mend="give the architecture the checkpoint was trained with: --model NAME",
            )
    return packed
