"""Recipes: how one array is made of a checkpoint's tensors; building, evaluating, JSON."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
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


def part(of: Recipe, index: int, count: int) -> Recipe:
    """One of `count` equal parts along axis 0."""
    return simplified(Recipe("part", of=(of,), numbers=(index, count)))


def patch_weight(weight: Recipe, mean: Sequence[float], std: Sequence[float]) -> Recipe:
    """A patch embedding's convolution `[O, 3, h, w]` as a matrix for bytes, `[h * w * 3, O]`.

    With `patch_bias` it holds that
    `conv((x / 255 - mean) / std) + bias = ((x - 128) / 128) @ patch_weight + patch_bias`,
    where x is a patch, rows first, channels last.
    """
    return Recipe("patch_weight", of=(weight,), numbers=(*mean, *std))


def patch_bias(
    weight: Recipe, bias: Recipe | None, mean: Sequence[float], std: Sequence[float]
) -> Recipe:
    """What a patch of bytes of 128 gives, `[O]`; see `patch_weight`."""
    of = (weight,) if bias is None else (weight, bias)
    return Recipe("patch_bias", of=of, numbers=(*mean, *std))


def simplified(recipe: Recipe) -> Recipe:
    """A part of what is joined of as many arrays is that array.

    They are equally long, or the part's shape would not be the graph's and `pack` would refuse.
    """
    if recipe.op == "part":
        (of,), (index, count) = recipe.of, recipe.numbers
        if of.op == "concat" and len(of.of) == count:
            return of.of[int(index)]
    return recipe


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
    if recipe.op == "part":
        return _part(parts[0], *map(int, recipe.numbers))
    if recipe.op == "patch_weight":
        return _patch_weight(parts[0], *_mean_and_std(recipe))
    if recipe.op == "patch_bias":
        return _patch_bias(parts, *_mean_and_std(recipe))
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


def _part(array: Any, index: int, count: int) -> Any:
    rows = array.shape[0] // count
    return array[index * rows : (index + 1) * rows]


def _mean_and_std(recipe: Recipe) -> np.ndarray:
    return np.array(recipe.numbers, np.float64).reshape(2, -1)


def _patch_weight(weight: Any, mean: np.ndarray, std: np.ndarray) -> Any:
    """Pixels go in as multiples of 1/128 and not as bytes: the weights then keep their size, and
    half precision its digits."""
    outputs, channels = weight.shape[:2]
    factors = (128 / 255 / std).reshape(-1, 1, 1)
    if isinstance(weight, np.ndarray):
        scaled = np.multiply(weight, factors, dtype=np.float64).astype(weight.dtype)
        rows = _transposed(scaled.reshape(outputs, -1)).reshape(channels, -1, outputs)
        return np.ascontiguousarray(rows.swapaxes(0, 1)).reshape(-1, outputs)
    import torch

    scaled = weight.double() * torch.from_numpy(factors).to(weight.device)
    return scaled.to(weight.dtype).permute(2, 3, 1, 0).reshape(-1, outputs).contiguous()


def _patch_bias(parts: list[Any], mean: np.ndarray, std: np.ndarray) -> Any:
    weight, *bias = parts
    offsets = (128 / 255 - mean) / std
    if isinstance(weight, np.ndarray):
        moved = weight.sum(axis=(2, 3), dtype=np.float64) @ offsets
        return sum(bias, moved).astype(weight.dtype)
    import torch

    moved = weight.double().sum((2, 3)) @ torch.from_numpy(offsets).to(weight.device)
    return sum(bias, moved).to(weight.dtype)


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
    if recipe.op == "part":
        rows, count = shapes[0][0], int(recipe.numbers[1])
        return None if rows % count else (rows // count, *shapes[0][1:])
    if recipe.op == "patch_weight":
        return (prod(shapes[0][1:]), shapes[0][0])
    if recipe.op == "patch_bias":
        return shapes[0][:1]
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
    if recipe.numbers:
        value["numbers"] = list(recipe.numbers)
    return value


def recipe_from_json(value: Any) -> Recipe:
    """The inverse of `recipe_to_json`."""
    if isinstance(value, str):
        return tensor(value)
    of = tuple(recipe_from_json(part) for part in value["of"])
    shape, numbers = tuple(value.get("shape", ())), tuple(value.get("numbers", ()))
    return Recipe(value["op"], of=of, shape=shape, numbers=numbers)


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
