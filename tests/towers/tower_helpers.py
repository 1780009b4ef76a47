"""Tiny architectures of every kind, and running their graphs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from fastclip.checkpoints.base import TensorInfo
from fastclip.towers import Manifest, TowerGraph, Towers, pack

_VIT = {"image_size": 32, "patch_size": 8, "width": 32, "layers": 1, "head_width": 16}
_TEXT = {"context_length": 16, "vocab_size": 99, "width": 32, "heads": 2, "layers": 1}

CONFIGS: dict[str, dict[str, Any]] = {
    "vit": {"embed_dim": 24, "vision_cfg": _VIT, "text_cfg": _TEXT},
    # What `HUGGINGFACE` below is in open_clip's words.
    "quickgelu": {
        "embed_dim": 24,
        "quick_gelu": True,
        "vision_cfg": {**_VIT, "width": 48, "mlp_ratio": 2.0, "norm_kwargs": {"eps": 1e-3}},
        "text_cfg": {**_TEXT, "heads": 4, "mlp_ratio": 2.5, "pool_type": "eos", "eos_id": 98},
    },
    "resnet": {
        "embed_dim": 24,
        "vision_cfg": {"image_size": 64, "layers": [1, 1, 1, 1], "width": 8},
        "text_cfg": _TEXT,
    },
    "coca": {
        "embed_dim": 24,
        "custom_text": True,
        "vision_cfg": {
            **_VIT,
            "attentional_pool": True,
            "attn_pooler_heads": 2,
            "attn_pooler_queries": 5,
            "output_tokens": True,
        },
        "text_cfg": {**_TEXT, "embed_cls": True, "output_tokens": True},
        "multimodal_cfg": {**_TEXT, "attn_pooler_heads": 2},
    },
    "siglip": {
        "embed_dim": 32,
        "custom_text": True,
        "init_logit_bias": -10,
        "vision_cfg": {**_VIT, "no_ln_pre": True, "pool_type": "avg", "final_ln_after_pool": True},
        "text_cfg": {
            **_TEXT,
            "no_causal_mask": True,
            "pool_type": "last",
            "proj_bias": True,
            "norm_kwargs": {"eps": 1e-6},
        },
    },
}


HUGGINGFACE: dict[str, Any] = {
    "projection_dim": 24,
    "text_config": {
        "hidden_size": 32,
        "intermediate_size": 80,
        "num_hidden_layers": 1,
        "num_attention_heads": 4,
        "vocab_size": 99,
        "max_position_embeddings": 16,
        "bos_token_id": 97,
        "eos_token_id": 98,
        "pad_token_id": 0,
    },
    "vision_config": {
        "hidden_size": 48,
        "intermediate_size": 96,
        "num_hidden_layers": 1,
        "num_attention_heads": 3,
        "image_size": 32,
        "patch_size": 8,
        "layer_norm_eps": 1e-3,
    },
}


def shapes_of(model: Any) -> dict[str, tuple[int, ...]]:
    """`{name: shape}` of a module's floating state."""
    state = model.state_dict()
    return {key: tuple(t.shape) for key, t in state.items() if t.is_floating_point()}


def info_of(state: Mapping[str, np.ndarray]) -> dict[str, TensorInfo]:
    """What a checkpoint reader would say of these arrays."""
    return {name: TensorInfo(array.shape, str(array.dtype)) for name, array in state.items()}


def run_graph(
    graph: TowerGraph, manifest: Manifest, state: Mapping[str, np.ndarray], **feeds: np.ndarray
) -> np.ndarray:
    """One tower under onnxruntime with a checkpoint's tensors."""
    packed = pack(manifest, state)
    return run_packed(graph, packed, **feeds)


def run_packed(
    graph: TowerGraph, packed: Mapping[str, np.ndarray], **feeds: np.ndarray
) -> np.ndarray:
    """One tower under onnxruntime with packed arrays."""
    import onnxruntime as ort

    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    own = {name: packed[name] for name in graph.initializers}
    options.add_external_initializers(
        list(own), [ort.OrtValue.ortvalue_from_numpy(array) for array in own.values()]
    )
    session = ort.InferenceSession(str(graph.path), options, providers=["CPUExecutionProvider"])
    return np.asarray(session.run([graph.output], feeds)[0])


def example_pixels(towers: Towers, n: int = 3) -> np.ndarray:
    """Random pictures, uint8 `[n, H, W, 3]`."""
    pixels = towers.architecture.preprocessing.pixels
    shape = (n, pixels.height, pixels.width, 3)
    return np.random.default_rng(3).integers(0, 256, shape, dtype=np.uint8)


def example_ids(towers: Towers) -> tuple[np.ndarray, np.ndarray]:
    """Random token ids `[3, L]` with the end of text at 4, 6 and 2, zeros behind."""
    ids = np.random.default_rng(4).integers(1, 98, (3, towers.context_length))
    eot = np.array([4, 6, 2])
    for row, end in enumerate(eot):
        ids[row, end] = 98
        ids[row, end + 1 :] = 0
    return ids, eot


def far_apart(wanted: np.ndarray, got: np.ndarray) -> float:
    """Largest |1 - cos| over rows, in float64."""
    a, b = wanted.astype(np.float64), got.astype(np.float64)
    cos = (a * b).sum(1) / np.linalg.norm(a, axis=1) / np.linalg.norm(b, axis=1)
    return float(np.abs(1 - cos).max())
