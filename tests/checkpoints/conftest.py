"""A small training checkpoint in open_clip's format."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch


@pytest.fixture
def state() -> dict[str, torch.Tensor]:
    """A state dict with the names and kinds of tensors that an open_clip model has."""
    generator = torch.Generator().manual_seed(7)

    def draw(*shape: int) -> torch.Tensor:
        return torch.randn(*shape, generator=generator)

    return {
        "positional_embedding": draw(7, 8),
        "text_projection": draw(8, 4),
        "logit_scale": torch.tensor(2.659),
        "visual.class_embedding": draw(16),
        "visual.conv1.weight": draw(16, 3, 4, 4),
        "visual.transformer.resblocks.0.attn.in_proj_weight": draw(48, 16),
        "visual.bn.num_batches_tracked": torch.tensor(12, dtype=torch.int64),
        "token_embedding.weight": draw(50, 8),
    }


@pytest.fixture
def save(state: dict[str, torch.Tensor]) -> Callable[..., Path]:
    """`save(path, epoch=3, key=value ...)` writes what open_clip's training writes."""

    def write(path: Path, epoch: int = 3, tensors: Any = None, **more: Any) -> Path:
        path.parent.mkdir(parents=True, exist_ok=True)
        tensors = state if tensors is None else tensors
        moments = {
            i: {"step": torch.tensor(9.0), "exp_avg": v.float(), "exp_avg_sq": v.float() ** 2}
            for i, v in enumerate(tensors.values())
        }
        optimizer = {"state": moments, "param_groups": [{"lr": 1e-3}]}
        saved = {"epoch": epoch, "name": "tiny", "state_dict": tensors, "optimizer": optimizer}
        torch.save({**saved, **more}, path)
        return path

    return write
