"""open_clip's tables of names and templates, without the package around them.

Importing open_clip means torch, torchvision, timm and transformers: seconds, for a few strings.
"""

from __future__ import annotations

from functools import lru_cache
from importlib.util import find_spec, module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType


def open_clip_folder() -> Path:
    """Where open_clip is installed."""
    spec = find_spec("open_clip")
    assert spec is not None and spec.origin is not None
    return Path(spec.origin).parent


@lru_cache(maxsize=1)
def imagenet_templates() -> tuple[str, ...]:
    """OpenAI's 80 templates for ImageNet, each with one `{}`."""
    return tuple(template("{}") for template in _metadata().OPENAI_IMAGENET_TEMPLATES)


def imagenet_class_names() -> tuple[str, ...]:
    """OpenAI's words for ImageNet's 1,000 classes."""
    return tuple(_metadata().IMAGENET_CLASSNAMES)


@lru_cache(maxsize=1)
def _metadata() -> ModuleType:
    name = "zero_shot_metadata"  # imports nothing itself
    spec = spec_from_file_location(f"fastclip.{name}", open_clip_folder() / f"{name}.py")
    assert spec is not None and spec.loader is not None
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
