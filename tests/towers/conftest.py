"""Towers of tiny architectures, exported once for the whole session."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tower_helpers import CONFIGS

from fastclip.towers import Towers, get_towers
from fastclip.towers.identify import architecture_of


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("towers")


@pytest.fixture(scope="session")
def config_path(folder: Path) -> Callable[[str], Path]:
    """Writes one of `CONFIGS` as a bare JSON config."""

    def write(name: str) -> Path:
        path = folder / f"{name}.json"
        path.write_text(json.dumps(CONFIGS[name]))
        return path

    return write


@pytest.fixture(scope="session")
def towers_of(folder: Path, config_path: Callable[[str], Path]) -> Callable[..., Towers]:
    """The exported towers of one of `CONFIGS`."""

    def export(name: str, **options: Any) -> Towers:
        architecture = architecture_of(str(config_path(name)))
        return get_towers(architecture, cache_dir=folder / "cache", **options)

    return export


@pytest.fixture(scope="session")
def reference_of(folder: Path) -> Callable[[str], Any]:
    """open_clip's own model for one of `CONFIGS`, by `open_clip.create_model`."""

    def create(name: str) -> Any:
        import open_clip

        place = folder / f"local-{name}"
        place.mkdir(exist_ok=True)
        (place / "open_clip_config.json").write_text(json.dumps({"model_cfg": CONFIGS[name]}))
        return open_clip.create_model(f"local-dir:{place}", load_weights=False).eval()

    return create
