"""A run for several workers, and what one process makes of it."""

from __future__ import annotations

from pathlib import Path

import pytest
from kill_and_resume import table
from make_run import make_run

import fastclip

CHECKPOINTS = 8


@pytest.fixture(scope="session")
def longer_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Eight checkpoints of a tiny open_clip run."""
    return make_run(tmp_path_factory.mktemp("runs"), CHECKPOINTS)


@pytest.fixture(scope="session")
def alone(
    longer_run: Path,
    sets: tuple[str, ...],
    shared_cache: Path,
    tmp_path_factory: pytest.TempPathFactory,
) -> str:
    """The table of one local process with one thread."""
    out = tmp_path_factory.mktemp("alone")
    fastclip.sweep(longer_run, out, data=sets, cache_dir=shared_cache, engine="torch", workers=1)
    return table(out)
