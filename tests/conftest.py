"""Fixtures every room uses."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Every test has its own cache folder, so that none sees another's files or the user's."""
    cache = tmp_path / "cache"
    monkeypatch.setenv("FASTCLIP_CACHE", str(cache))
    return cache
