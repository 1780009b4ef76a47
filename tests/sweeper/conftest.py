"""A tiny run and tiny sets, made once for all sweep tests."""

from __future__ import annotations

from pathlib import Path

import pytest
from make_run import make_run
from make_sets import make_cifar100, make_cue_conflict, make_tid2013


@pytest.fixture(scope="session")
def run_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three checkpoints of a tiny open_clip run."""
    return make_run(tmp_path_factory.mktemp("runs"))


@pytest.fixture(scope="session")
def sets(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, ...]:
    """`--data` values of three tiny sets in the published layouts."""
    root = tmp_path_factory.mktemp("sets")
    return (
        f"tid2013:toy-tid2013={make_tid2013(root / 'tid')}",
        f"cue-conflict:toy-cue-conflict={make_cue_conflict(root / 'cue')}",
        f"cifar100:toy-cifar={make_cifar100(root / 'cifar')}",
    )


@pytest.fixture(scope="session")
def shared_cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One cache of graphs and views for tests that do not test the cache."""
    return tmp_path_factory.mktemp("cache")
