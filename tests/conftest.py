"""Fixtures every room uses."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from fastclip.engines import CANDIDATES

sys.path.insert(0, str(Path(__file__).parent))


@pytest.fixture(autouse=True, scope="session")
def no_contest() -> Iterator[None]:
    """Sweeps of tests take the first engine: trying each would cost them seconds."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(CANDIDATES, "cpu", CANDIDATES["cpu"][:1])
        yield


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Every test has its own cache folder, so that none sees another's files or the user's."""
    cache = tmp_path / "cache"
    monkeypatch.setenv("FASTCLIP_CACHE", str(cache))
    return cache
