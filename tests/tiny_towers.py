"""Small architectures of each kind, exported once per test session."""

from __future__ import annotations

import atexit
import json
import shutil
import tempfile
from functools import lru_cache
from pathlib import Path
from typing import Any

from fastclip.towers.base import Towers
from fastclip.towers.cache import get_towers
from fastclip.towers.identify import architecture_of

_TEXT = {"context_length": 20, "vocab_size": 90, "width": 32, "heads": 2, "layers": 1}

CONFIGS: dict[str, dict[str, Any]] = {
    "vit": {
        "embed_dim": 24,
        "vision_cfg": {
            "image_size": 32,
            "layers": 2,
            "width": 32,
            "patch_size": 8,
            "head_width": 16,
        },
        "text_cfg": _TEXT,
    },
    # BatchNorm statistics and attention pooling.
    "resnet": {
        "embed_dim": 24,
        "vision_cfg": {"image_size": 64, "layers": [1, 1, 1, 1], "width": 16, "patch_size": None},
        "text_cfg": _TEXT,
    },
    # A text tower that reads the whole context: no causal mask, pooled at the last position.
    "whole-context": {
        "embed_dim": 24,
        "vision_cfg": {
            "image_size": 32,
            "layers": 2,
            "width": 32,
            "patch_size": 8,
            "head_width": 16,
        },
        "text_cfg": _TEXT | {"no_causal_mask": True, "pool_type": "last"},
        "custom_text": True,
    },
}


@lru_cache
def tiny_towers(kind: str, text: bool = True) -> Towers:
    """Towers of one of `CONFIGS`, in a cache folder of this test session."""
    config = _cache() / f"{kind}.json"
    config.write_text(json.dumps(CONFIGS[kind]))
    return get_towers(architecture_of(str(config)), cache_dir=_cache(), text=text)


@lru_cache
def _cache() -> Path:
    folder = tempfile.mkdtemp(prefix="fastclip-tests-")
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return Path(folder)
