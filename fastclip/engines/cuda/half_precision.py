"""Open_clip's towers with products in half precision and everything that adds up in float32.

Matrix products, convolutions and attention read and write float16 (or bfloat16) and accumulate in
float32; softmax is float32 inside the fused attention. The residual stream, norms, pooling and
the last projection are float32. Rounding then stays where the fp32 sums that follow average it
out, and no long sum of a deep tower passes through 11 bits.

It is done to the module once, after it is built, and then run under `torch.autocast`: autocast
casts what enters a product, and finds the product's weights in half precision already.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from fastclip.towers.module import TowerModule

HALF = {"fp16": torch.float16, "bf16": torch.bfloat16}
"""What products are in, by precision."""

_NORMS = (nn.LayerNorm, nn.RMSNorm, nn.GroupNorm, nn.modules.batchnorm._BatchNorm)

_LAST_LAYERS = (
    "attnpool.c_proj",  # ModifiedResNet
    "head.proj",  # timm
    "head.mlp",
    "head.pool.proj",
    "trunk.attn_pool.proj",
    "trunk.attn_pool.mlp",
    "proj",  # Hugging Face's text towers
)
"""What comes after pooling, by family: one row per picture, so float32 costs nothing."""


def lower(module: TowerModule, dtype: torch.dtype) -> None:
    """Put the module's products into `dtype`, for runs under `torch.autocast` of that dtype.

    Parameters keep their identity (`state_dict(keep_vars=True)` taken before names them still);
    those of products change their dtype. Embeddings come out in float32.
    """
    model = module.model
    module.image = _Projected(module.image, _taken(model.visual, "proj"))  # type: ignore[assignment]
    module.text = _Projected(module.text, _taken(model.text, "text_projection"))  # type: ignore[assignment]
    for tower in (model.visual, model.text):
        for path in _last_layers(tower):
            _replace(tower, path, _InFloat32(tower.get_submodule(path)))
    _replace_attention(model)
    _keep_stream_in_float32(model)
    for parameter in _factors(model):
        parameter.data = parameter.data.to(dtype)


class _InFloat32(nn.Module):
    """A layer outside autocast."""

    def __init__(self, layer: nn.Module) -> None:
        super().__init__()
        self.layer = layer

    def forward(self, x: Tensor) -> Tensor:
        with torch.autocast(x.device.type, enabled=False):
            output: Tensor = self.layer(x.float())
            return output


class _Projected(nn.Module):
    """A tower that stops after pooling, then its projection, if any, in float32."""

    def __init__(self, tower: nn.Module, projection: nn.Module | nn.Parameter | None) -> None:
        super().__init__()
        self.tower = tower
        self.projection = projection

    def forward(self, inputs: Tensor) -> Tensor:
        pooled: Tensor = self.tower(inputs)
        with torch.autocast(pooled.device.type, enabled=False):
            pooled = pooled.float()
            if isinstance(self.projection, nn.Module):
                pooled = self.projection(pooled)
            elif self.projection is not None:
                pooled = pooled @ self.projection
            return pooled


class _SelfAttention(nn.Module):
    """`nn.MultiheadAttention` of a batch with itself, called as open_clip's blocks call it.

    torch's own moves the batch to the second place and copies queries, keys and values for it;
    here they are views of what the product wrote.
    """

    def __init__(self, attention: nn.MultiheadAttention) -> None:
        super().__init__()
        self.attention = attention

    def forward(
        self,
        query: Tensor,
        key: Tensor,
        value: Tensor,
        need_weights: bool = False,
        attn_mask: Tensor | None = None,
    ) -> tuple[Tensor, None]:
        attention = self.attention
        batch, length, _ = query.shape
        heads = attention.num_heads
        packed = F.linear(query, attention.in_proj_weight, attention.in_proj_bias)
        q, k, v = packed.view(batch, length, 3, heads, -1).permute(2, 0, 3, 1, 4)
        if attn_mask is not None and attn_mask.ndim == 3:  # one for every picture and head
            attn_mask = attn_mask.view(batch, heads, length, length)
        mixed = F.scaled_dot_product_attention(q, k, v, attn_mask=attn_mask)
        return attention.out_proj(mixed.transpose(1, 2).flatten(2)), None


class _AttentionPool(nn.Module):
    """ModifiedResNet's pooling, only for the query whose answer is read."""

    def __init__(self, pool: Any) -> None:
        super().__init__()
        self.pool = pool

    def forward(self, x: Tensor) -> Tensor:
        pool = self.pool
        x = x.flatten(2).transpose(1, 2)
        x = torch.cat([x.mean(dim=1, keepdim=True), x], dim=1) + pool.positional_embedding
        q, k, v = (
            layer(rows).unflatten(-1, (pool.num_heads, -1)).transpose(1, 2)
            for layer, rows in ((pool.q_proj, x[:, :1]), (pool.k_proj, x), (pool.v_proj, x))
        )
        mixed = F.scaled_dot_product_attention(q, k, v)
        embedding: Tensor = pool.c_proj(mixed.flatten(1))
        return embedding


def _taken(tower: Any, name: str) -> nn.Module | nn.Parameter | None:
    """A projection that open_clip multiplies with by itself where it has one; now it has none."""
    projection: nn.Module | nn.Parameter | None = getattr(tower, name, None)
    if name == "proj" and not isinstance(projection, nn.Parameter):
        return None
    if projection is not None:
        setattr(tower, name, None)
    return projection


def _last_layers(tower: nn.Module) -> Iterator[str]:
    """Paths of the layers after pooling."""
    modules = dict(tower.named_modules())
    for path in _LAST_LAYERS:
        if any(True for _ in modules.get(path, nn.Identity()).parameters()):
            yield path
    trunk = getattr(tower, "trunk", None)
    classifier = trunk.get_classifier() if trunk is not None else None
    yield from (
        path
        for path, layer in modules.items()
        if layer is classifier and isinstance(layer, nn.Linear)
    )


def _replace(root: nn.Module, path: str, layer: nn.Module) -> None:
    parent, _, name = path.rpartition(".")
    setattr(root.get_submodule(parent), name, layer)


def _replace_attention(model: nn.Module) -> None:
    from open_clip.modified_resnet import AttentionPool2d
    from open_clip.transformer import ResidualAttentionBlock

    for path, layer in list(model.named_modules()):
        if isinstance(layer, ResidualAttentionBlock):
            layer.attn = _SelfAttention(layer.attn)
        elif isinstance(layer, AttentionPool2d):
            _replace(model, path, _AttentionPool(layer))


def _keep_stream_in_float32(model: Any) -> None:
    """What enters a norm and what leaves a convolution is float32, and so are embeddings.

    open_clip's norms put out what they were given, and its transformers start from the dtype of
    a convolution (pictures) or of the first block's weights (texts).
    """
    for layer in model.modules():
        if isinstance(layer, _NORMS):
            layer.register_forward_pre_hook(_float32_inputs)
        elif isinstance(layer, nn.modules.conv._ConvNd):
            layer.register_forward_hook(_float32_output)
    transformer = getattr(model.text, "transformer", None)
    if hasattr(transformer, "get_cast_dtype"):
        transformer.get_cast_dtype = lambda: torch.float32  # type: ignore[union-attr]


def _float32_inputs(layer: nn.Module, inputs: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
    return (inputs[0].float(), *inputs[1:])


def _float32_output(layer: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> Tensor:
    return output.float()


def _factors(model: nn.Module) -> Iterator[nn.Parameter]:
    """Weights and biases of products; autocast casts what is not found here at every run."""
    left_alone = {
        parameter
        for layer in model.modules()
        if isinstance(layer, _InFloat32)
        for parameter in layer.parameters()
    }
    for layer in model.modules():
        for name, parameter in layer.named_parameters(recurse=False):
            is_layer = isinstance(layer, nn.Linear | nn.modules.conv._ConvNd)
            is_attention = name.startswith("in_proj") or name.endswith("_proj_weight")
            if (is_layer or is_attention) and parameter not in left_alone:
                yield parameter
