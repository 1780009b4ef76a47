"""From a module's state names to the names in a checkpoint."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from math import prod

from fastclip.checkpoints.base import TensorInfo
from fastclip.errors import CheckpointError
from fastclip.towers.base import Recipe
from fastclip.towers.huggingface import huggingface_recipe
from fastclip.towers.recipes import leaves, reshape, shape_of, tensor

_SHOWN = 5

# What checkpoints hold beside weights, or beside the two towers.
_EXTRA_ENDINGS = ("position_ids", "attn_mask", "num_batches_tracked")
_EXTRA_NAMES = ("logit_scale", "logit_bias", "input_resolution", "context_length", "vocab_size")
_EXTRA_PREFIXES = ("text_decoder.",)


def recipes_for(
    states: Mapping[str, tuple[int, ...]], tensors: Mapping[str, TensorInfo], layout: str
) -> dict[str, Recipe]:
    """How each state tensor of the module is made of this checkpoint's tensors.

    Args:
        states: `{state name: shape}` of the module.
        tensors: names and shapes of the checkpoint's tensors.
        layout: "open_clip" or "huggingface".

    Returns:
        `{state name: recipe}`; `logit_bias` and `logit_scale` are absent where the checkpoint
        has none, every other state is there.

    Raises:
        CheckpointError: tensors are missing, have another shape, or are not of the
            architecture.
    """
    found: dict[str, Recipe] = {}
    complaints: list[str] = []
    for state, shape in states.items():
        recipe = huggingface_recipe(state) if layout == "huggingface" else _own(state, tensors)
        missing = [name for name in leaves(recipe) if name not in tensors]
        if missing and state in _EXTRA_NAMES:
            continue
        if missing:
            complaints.append(f"'{missing[0]}' is missing")
            continue
        got = shape_of(recipe, tensors)
        if state in _EXTRA_NAMES and got != shape and got is not None and prod(got) == prod(shape):
            recipe, got = reshape(recipe, shape), shape
        if got != shape:
            seen = tensors[leaves(recipe)[0]].shape if got is None else got
            complaints.append(f"'{leaves(recipe)[0]}' is {_by(seen)}, not {_by(shape)}")
        found[state] = recipe
    complaints += [
        f"'{name}' is not of this architecture" for name in _strangers(states, found, tensors)
    ]
    if complaints:
        shown = "; ".join(complaints[:_SHOWN])
        more = f"; and {len(complaints) - _SHOWN} more" if len(complaints) > _SHOWN else ""
        raise CheckpointError(
            f"the checkpoint is of another architecture: {shown}{more}",
            mend="give the architecture it was trained with: --model NAME, or a path to its "
            "JSON config; 'fastclip ls models' lists the names",
        )
    return found


def text_prefix_cut(state: str) -> str:
    """The name in a plain CLIP, which keeps its text tower at the top level."""
    return state.removeprefix("text.")


def _own(state: str, tensors: Mapping[str, TensorInfo]) -> Recipe:
    """open_clip's name: under `text.`, or at the top level where the checkpoint has it there."""
    plain = text_prefix_cut(state)
    return tensor(plain if state not in tensors and plain in tensors else state)


def _strangers(
    states: Iterable[str], found: Mapping[str, Recipe], tensors: Mapping[str, TensorInfo]
) -> list[str]:
    """Floating tensors that the architecture does not know: a deeper model's further blocks."""
    used = {name for recipe in found.values() for name in leaves(recipe)}
    with_text = any(state.startswith("text.") for state in states)
    return [
        name
        for name, info in tensors.items()
        if name not in used
        and name not in _EXTRA_NAMES
        and not name.endswith(_EXTRA_ENDINGS)
        and not name.startswith(_EXTRA_PREFIXES)
        and "float" in info.dtype
        and (with_text or name.startswith(("visual.", "vision_model.")))
    ]


def _by(shape: tuple[int, ...]) -> str:
    return "x".join(map(str, shape)) or "a scalar"
