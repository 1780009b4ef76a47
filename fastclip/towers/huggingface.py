"""Hugging Face `CLIPModel`: its config as open_clip's, its tensors as open_clip's."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from fastclip.errors import CheckpointError
from fastclip.towers.base import Recipe
from fastclip.towers.recipes import concat, tensor, transpose

# State name of CustomTextCLIP -> name in CLIPModel, outside the blocks.
_RENAMED = {
    "logit_scale": "logit_scale",
    "visual.class_embedding": "vision_model.embeddings.class_embedding",
    "visual.positional_embedding": "vision_model.embeddings.position_embedding.weight",
    "visual.conv1.weight": "vision_model.embeddings.patch_embedding.weight",
    "text.token_embedding.weight": "text_model.embeddings.token_embedding.weight",
    "text.positional_embedding": "text_model.embeddings.position_embedding.weight",
}
_TRANSPOSED = {
    "visual.proj": "visual_projection.weight",
    "text.text_projection": "text_projection.weight",
}
_NORMS = {
    "visual.ln_pre": "vision_model.pre_layrnorm",
    "visual.ln_post": "vision_model.post_layernorm",
    "text.ln_final": "text_model.final_layer_norm",
}
_IN_BLOCK = {
    "ln_1": "layer_norm1",
    "ln_2": "layer_norm2",
    "attn.out_proj": "self_attn.out_proj",
    "mlp.c_fc": "mlp.fc1",
    "mlp.c_proj": "mlp.fc2",
}

# Defaults of transformers' CLIPTextConfig and CLIPVisionConfig: old config files leave them out.
_TEXT_DEFAULTS = {
    "vocab_size": 49408,
    "hidden_size": 512,
    "intermediate_size": 2048,
    "num_hidden_layers": 12,
    "num_attention_heads": 8,
    "max_position_embeddings": 77,
    "eos_token_id": 49407,
}
_VISION_DEFAULTS = {
    "hidden_size": 768,
    "intermediate_size": 3072,
    "num_hidden_layers": 12,
    "num_attention_heads": 12,
    "image_size": 224,
    "patch_size": 32,
}


def huggingface_recipe(state: str) -> Recipe:
    """How a state tensor of open_clip's CustomTextCLIP is made of `CLIPModel`'s tensors.

    A state that `CLIPModel` does not have gives a tensor of that very name, which then is
    missing from the checkpoint.
    """
    if state in _RENAMED:
        return tensor(_RENAMED[state])
    if state in _TRANSPOSED:
        return transpose(tensor(_TRANSPOSED[state]))
    for norm, renamed in _NORMS.items():
        if state.startswith(f"{norm}."):
            return tensor(renamed + state.removeprefix(norm))
    for tower, renamed in (("visual", "vision_model"), ("text", "text_model")):
        prefix = f"{tower}.transformer.resblocks."
        if state.startswith(prefix):
            index, rest = state.removeprefix(prefix).split(".", 1)
            return _in_block(f"{renamed}.encoder.layers.{index}", rest)
    return tensor(state)


def _in_block(block: str, rest: str) -> Recipe:
    for kind in ("weight", "bias"):
        if rest == f"attn.in_proj_{kind}":
            parts = (tensor(f"{block}.self_attn.{p}_proj.{kind}") for p in ("q", "k", "v"))
            return concat(*parts)
    part, _, kind = rest.rpartition(".")
    return tensor(f"{block}.{_IN_BLOCK.get(part, part)}.{kind}")


def open_clip_config(config: Mapping[str, Any], where: str) -> dict[str, Any]:
    """open_clip's model config for a `CLIPModel`'s config.json.

    Args:
        config: the parsed file.
        where: its path, for errors.

    Raises:
        CheckpointError: not a CLIPModel, or an activation that open_clip's towers lack.
    """
    if config.get("model_type") != "clip":
        raise CheckpointError(
            f"model_type is '{config.get('model_type')}'; only 'clip' can be read",
            where=where,
            mend="convert the checkpoint to open_clip's naming and give --model NAME",
        )
    text = {**_TEXT_DEFAULTS, **(config.get("text_config") or {})}
    vision = {**_VISION_DEFAULTS, **(config.get("vision_config") or {})}
    acts = {part.get("hidden_act", "quick_gelu") for part in (text, vision)}
    if acts not in ({"quick_gelu"}, {"gelu"}):
        raise CheckpointError(
            f"hidden_act is {' and '.join(sorted(acts))}; both towers must have 'quick_gelu' or "
            "both 'gelu'",
            where=where,
        )
    vision_cfg = {
        "image_size": vision["image_size"],
        "patch_size": vision["patch_size"],
        "width": vision["hidden_size"],
        "layers": vision["num_hidden_layers"],
        "head_width": vision["hidden_size"] // vision["num_attention_heads"],
        **_mlp_and_norm(vision),
    }
    text_cfg = {
        "context_length": text["max_position_embeddings"],
        "vocab_size": text["vocab_size"],
        "width": text["hidden_size"],
        "heads": text["num_attention_heads"],
        "layers": text["num_hidden_layers"],
        **_mlp_and_norm(text),
    }
    # transformers takes 2 for an old mistake and pools at the highest id, as OpenAI did.
    if text["eos_token_id"] != 2:
        text_cfg |= {"pool_type": "eos", "eos_id": text["eos_token_id"]}
    return {
        "embed_dim": config.get("projection_dim", 512),
        "quick_gelu": acts == {"quick_gelu"},
        "vision_cfg": vision_cfg,
        "text_cfg": text_cfg,
    }


def short_name(config: Mapping[str, Any]) -> str:
    """A name for the `arch` column: `CLIPModel-w768-l12-p32`."""
    vision = config["vision_cfg"]
    return f"CLIPModel-w{vision['width']}-l{vision['layers']}-p{vision['patch_size']}"


def _mlp_and_norm(part: Mapping[str, Any]) -> dict[str, Any]:
    width, hidden = part["hidden_size"], part["intermediate_size"]
    ratio = hidden / width
    # open_clip cuts width * ratio to an integer.
    settings: dict[str, Any] = {
        "mlp_ratio": ratio if int(width * ratio) == hidden else (hidden + 0.5) / width
    }
    if part.get("layer_norm_eps", 1e-5) != 1e-5:
        settings["norm_kwargs"] = {"eps": part["layer_norm_eps"]}
    return settings


RESAMPLING = {2: "bilinear", 3: "bicubic"}


def _edges(size: int | Mapping[str, int] | None) -> tuple[int, ...]:
    """The distinct edge lengths of a size as Hugging Face writes it."""
    if isinstance(size, Mapping):
        return tuple(sorted({int(value) for value in size.values()}))
    return () if size is None else (int(size),)


def preprocess_cfg(config: Mapping[str, Any]) -> dict[str, Any]:
    """open_clip's preprocess config for a `preprocessor_config.json`.

    Raises:
        CheckpointError: it asks for what open_clip's preprocessing cannot do.
    """
    size, crop = config.get("size", 224), config.get("crop_size")
    squash = isinstance(size, Mapping) and "height" in size and not config.get("do_center_crop")
    resample = config.get("resample", 3)
    for key, wrong in {
        "resample": resample not in RESAMPLING,
        "do_resize": config.get("do_resize") is False,
        "do_rescale": config.get("do_rescale") is False,
        "do_normalize": config.get("do_normalize") is False,
        "crop_size": not squash and _edges(crop) not in ((), _edges(size)),
    }.items():
        if wrong:
            raise CheckpointError(
                f"preprocessor_config.json asks for {key} = {config.get(key)} (size {size}), which "
                "open_clip's preprocessing cannot do",
                mend="say how pictures are prepared in a JSON config: --model FILE.json",
            )
    return {
        "interpolation": RESAMPLING[resample],
        "resize_mode": "squash" if squash else "shortest",
        "mean": config.get("image_mean"),
        "std": config.get("image_std"),
    }
