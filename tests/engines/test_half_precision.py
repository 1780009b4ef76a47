"""What is in half precision and what is not, in every family of open_clip's towers."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from open_clip.modified_resnet import Bottleneck
from open_clip.transformer import CustomResidualAttentionBlock, ResidualAttentionBlock
from torch import Tensor, nn

from fastclip.engines.cuda.half_precision import HALF, lower
from fastclip.parity.base import TOLERANCE
from fastclip.parity.compare import relative_l2
from fastclip.parity.inputs import random_pictures, token_rows
from fastclip.towers.identify import architecture_of
from fastclip.towers.module import TowerModule
from fastclip.towers.random_state import lively_state

VISION = {"image_size": 32, "patch_size": 8, "width": 32, "layers": 2, "head_width": 16}
TEXT = {"context_length": 16, "vocab_size": 99, "width": 32, "heads": 2, "layers": 2}


def timm(name: str, size: int, pool: str, proj: str | None, embed_dim: int = 24) -> dict[str, Any]:
    vision = {"timm_model_name": name, "timm_model_pretrained": False, "image_size": size}
    return {
        "embed_dim": embed_dim,
        "custom_text": True,
        "vision_cfg": vision | {"timm_pool": pool, "timm_proj": proj},
        "text_cfg": TEXT,
    }


CONFIGS: dict[str, dict[str, Any]] = {
    "vit": {"embed_dim": 24, "quick_gelu": True, "vision_cfg": VISION, "text_cfg": TEXT},
    "resnet": {
        "embed_dim": 24,
        "vision_cfg": {"image_size": 64, "layers": [1, 1, 1, 1], "width": 16},
        "text_cfg": TEXT,
    },
    # No norm before the blocks, so a convolution starts the stream; scales of layers; a
    # projection of texts that is a layer.
    "siglip": {
        "embed_dim": 32,
        "custom_text": True,
        "vision_cfg": VISION
        | {
            "no_ln_pre": True,
            "pool_type": "avg",
            "final_ln_after_pool": True,
            "ls_init_value": 0.1,
        },
        "text_cfg": TEXT | {"no_causal_mask": True, "pool_type": "last", "proj_bias": True},
    },
    "coca": {
        "embed_dim": 24,
        "custom_text": True,
        "vision_cfg": VISION
        | {"attentional_pool": True, "attn_pooler_heads": 2, "attn_pooler_queries": 5}
        | {"output_tokens": True},
        "text_cfg": TEXT | {"embed_cls": True, "output_tokens": True},
        "multimodal_cfg": TEXT | {"attn_pooler_heads": 2},
    },
    "norms in blocks": {
        "embed_dim": 24,
        "custom_text": True,
        "vision_cfg": VISION | {"qk_norm": True, "scale_attn_inner": True, "scale_fc": True},
        "text_cfg": TEXT | {"qk_norm": True, "scale_heads": True, "scale_attn": True},
    },
    "timm convnext": timm("convnext_atto", 64, "", "mlp"),
    "timm vit": timm("vit_tiny_patch16_224", 224, "map", None),
    "timm siglip": timm("vit_tiny_patch16_224", 224, "map", "none", 192),
}


def lively(kind: str, folder: Path) -> TowerModule:
    config = folder / "config.json"
    config.write_text(json.dumps(CONFIGS[kind]))
    module = TowerModule(architecture_of(str(config)))
    module.load(lively_state(module.state_names(), 1))
    return module


def inputs(module: TowerModule) -> tuple[Tensor, Tensor]:
    length = module.context_length
    return (
        torch.from_numpy(random_pictures(2, *module.image_size)),
        torch.from_numpy(token_rows(module, 4, length)[0]),
    )


def run(module: TowerModule, dtype: torch.dtype | None) -> tuple[np.ndarray, np.ndarray]:
    pictures, ids = inputs(module)
    with torch.no_grad(), torch.autocast("cpu", dtype, enabled=dtype is not None):
        image, text = module.encode_image(pictures), module.encode_text(ids)
    assert image.dtype == text.dtype == torch.float32
    return image.numpy(), text.numpy()


def needs_float32(x: Tensor) -> bool:
    """Float32, and not merely half precision written wider."""
    return x.dtype == torch.float32 and bool((x != x.half().float()).any())


@pytest.mark.parametrize("kind", CONFIGS)
def test_every_family_agrees_with_float32(kind: str, tmp_path: Path) -> None:
    module = lively(kind, tmp_path)
    expected = run(module, None)
    before = module.model.state_dict(keep_vars=True)
    lower(module, torch.float16)
    for found, reference in zip(run(module, torch.float16), expected, strict=True):
        # A factor to spare: real towers are deeper.
        assert 1e-6 < relative_l2(found, reference) < TOLERANCE["fp16"] / 2
    # The bulk of the weights is half as large, and the parameters are those of before.
    image = [p for name, p in before.items() if name.startswith("visual.")]
    halved = sum(p.numel() for p in image if p.dtype == torch.float16)
    assert halved > 0.7 * sum(p.numel() for p in image)
    after = {id(parameter) for parameter in module.parameters()}
    unused = ("text_decoder.", "logit_")
    for name, parameter in before.items():
        if isinstance(parameter, nn.Parameter) and not name.startswith(unused):
            assert id(parameter) in after, name


@pytest.mark.parametrize("precision", HALF)
@pytest.mark.parametrize("kind", ["vit", "resnet", "siglip", "coca", "norms in blocks"])
def test_what_adds_up_is_float32_and_what_multiplies_is_not(
    kind: str, precision: str, tmp_path: Path
) -> None:
    module, dtype = lively(kind, tmp_path), HALF[precision]
    lower(module, dtype)
    seen = {"stream": 0, "norm": 0, "product": 0}

    def stream(layer: nn.Module, args: tuple[Tensor, ...], output: Tensor) -> None:
        seen["stream"] += 1
        assert needs_float32(args[0]) and needs_float32(output)

    def norm(layer: nn.Module, args: tuple[Tensor, ...], output: Tensor) -> None:
        seen["norm"] += 1
        assert needs_float32(output)

    def product(layer: nn.Module, args: tuple[Tensor, ...], output: Tensor) -> None:
        seen["product"] += 1
        assert output.dtype == dtype

    for path, layer in module.named_modules():
        if isinstance(layer, ResidualAttentionBlock | CustomResidualAttentionBlock | Bottleneck):
            layer.register_forward_hook(stream)
        elif isinstance(layer, nn.LayerNorm | nn.BatchNorm2d):
            layer.register_forward_hook(norm)
        elif isinstance(layer, nn.Linear) and "resblocks" in path:
            layer.register_forward_hook(product)
    run(module, dtype)
    assert min(seen.values()) > 0, seen


@pytest.mark.parametrize("kind", ["vit", "resnet", "siglip", "coca", "timm vit"])
def test_the_projection_is_float32(kind: str, tmp_path: Path) -> None:
    """With a projection that is one number but for a trifle below float16's: the trifle shows."""
    module = lively(kind, tmp_path)
    names = {
        "resnet": "visual.attnpool.c_proj.weight",
        "timm vit": "visual.trunk.head.weight",
    }
    states = module.model.state_dict(keep_vars=True)
    image = states[names.get(kind, "visual.proj")]
    text = states.get("text.text_projection", states.get("text.text_projection.weight"))
    assert text is not None
    lower(module, torch.float16)
    before = run(module, torch.float16)
    with torch.no_grad():
        for projection in (image, text):
            projection.mul_(1 + 2**-14)
    for found, last in zip(run(module, torch.float16), before, strict=True):
        assert (found != last).mean() > 0.9
