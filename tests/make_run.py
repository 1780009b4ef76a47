"""A tiny open_clip training run on disk: real modules, random weights, open_clip's own files."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import torch

TINY_CONFIG: dict[str, Any] = {
    "embed_dim": 16,
    "vision_cfg": {"image_size": 32, "layers": 2, "width": 32, "patch_size": 8, "head_width": 16},
    "text_cfg": {
        "context_length": 77,
        "vocab_size": 49408,
        "width": 16,
        "heads": 2,
        "layers": 1,
    },
}


def tiny_state(seed: int, config: dict[str, Any] = TINY_CONFIG) -> dict[str, torch.Tensor]:
    """open_clip's own state dict of the tiny model, every tensor moved by seeded noise."""
    from open_clip.model import CLIP

    torch.manual_seed(seed)
    state = CLIP(**json.loads(json.dumps(config))).state_dict()
    generator = torch.Generator().manual_seed(seed)
    return {
        name: tensor + 0.1 * torch.randn(tensor.shape, generator=generator)
        for name, tensor in state.items()
    }


def make_run(path: Path, epochs: int = 3, name: str = "tiny") -> Path:
    """`path/<name>/checkpoints/epoch_1.pt ...` as open_clip writes them; returns that folder.

    The run's `open_clip_config.json` lies beside the checkpoints, so nothing has to be guessed.
    """
    folder = path / name / "checkpoints"
    folder.mkdir(parents=True)
    config = {
        "model_cfg": TINY_CONFIG,
        "preprocess_cfg": {
            "size": 32,
            "mean": [0.48145466, 0.4578275, 0.40821073],
            "std": [0.26862954, 0.26130258, 0.27577711],
            "interpolation": "bicubic",
            "resize_mode": "shortest",
        },
    }
    (folder / "open_clip_config.json").write_text(json.dumps(config))
    for epoch in range(1, epochs + 1):
        save_checkpoint(folder / f"epoch_{epoch}.pt", epoch, tiny_state(epoch))
    return folder


def save_checkpoint(path: Path, epoch: int, state: dict[str, torch.Tensor]) -> None:
    """Write a checkpoint as open_clip's training does, optimizer and all."""
    torch.save(
        {
            "epoch": epoch,
            "name": "tiny",
            "state_dict": {f"module.{key}": value for key, value in state.items()},
            "optimizer": {"state": {0: {"exp_avg": torch.zeros(1000)}}, "step": np.float64(0.5)},
            "global_step": 10 * epoch,
            "samples_seen": 640 * epoch,
        },
        path,
    )
