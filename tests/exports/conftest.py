"""A small sweep with every task, made once for all export tests."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest
from make_run import make_run
from make_sets import make_cifar100, make_cue_conflict, make_tid2013

import fastclip


@pytest.fixture(scope="session")
def swept(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The output folder of three tiny checkpoints; tests must not write into it."""
    root = tmp_path_factory.mktemp("exports")
    sets = (
        f"tid2013:toy-tid={make_tid2013(root / 'tid')}",
        f"cue-conflict:toy-cue={make_cue_conflict(root / 'cue', per_pair=3)}",
        f"cifar100:toy-cifar={make_cifar100(root / 'cifar', n=30)}",
    )
    out = root / "out"
    fastclip.sweep(
        make_run(root), out, data=sets, cache_dir=root / "cache", sigma="0.1,0.2", workers=1
    )
    return out


@pytest.fixture(scope="session")
def rows(swept: Path) -> pd.DataFrame:
    """The sweep's table."""
    return pd.read_parquet(swept / "results.parquet")
