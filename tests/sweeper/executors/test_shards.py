"""Shares of a sweep that meet in nothing but the output folder."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from kill_and_resume import records, table
from make_run import make_run

import fastclip
from fastclip.checkpoints.base import Checkpoint
from fastclip.checkpoints.selection import parse_shard
from fastclip.errors import UsageError
from fastclip.sweeper import run
from fastclip.sweeper.config import SweepConfig
from fastclip.sweeper.describe import describe_plan
from fastclip.sweeper.plan import Group, Plan, share_of


def plan_of(*counts: int) -> Plan:
    """Groups of so many checkpoints."""
    groups = []
    for name, count in enumerate(counts):
        architecture: Any = SimpleNamespace(name=str(name), digest=str(name))
        files = [Checkpoint(Path(f"{name}-{n}.pt"), "run", "torch", "1") for n in range(count)]
        groups.append(Group(architecture, tuple(files)))
    return Plan(tuple(groups), (), ())


@pytest.mark.parametrize("counts", [(10,), (3, 4, 5), (1, 1), (200, 1)])
@pytest.mark.parametrize("shards", [1, 2, 3, 7])
def test_shares_are_equal_whole_and_distinct(counts: tuple[int, ...], shards: int) -> None:
    plan = plan_of(*counts)
    shares = [share_of(plan, n, shards) for n in range(1, shards + 1)]
    seen = [c for share in shares for group in share.groups for c in group.checkpoints]
    assert seen == [c for group in plan.groups for c in group.checkpoints]
    sizes = [share.checkpoints for share in shares]
    assert max(sizes) - min(sizes) <= 1
    assert sum(len(share.groups) for share in shares) <= len(counts) + shards - 1


@pytest.mark.parametrize("text", ["0/4", "5/4", "1", "a/b", "1/0", "-1/2", "1/2/3"])
def test_what_is_no_share_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="is no share"):
        parse_shard(text)


def test_two_shares_and_one_of_them_killed(
    sets: tuple[str, ...], shared_cache: Path, tmp_path: Path
) -> None:
    """Both at a time in one folder; the killed one is started again, as a scheduler would."""
    folder = make_run(tmp_path / "runs", 6)
    out, alone = tmp_path / "out", tmp_path / "alone"

    def share(number: int) -> subprocess.Popen[bytes]:
        data = [word for one in sets for word in ("--data", one)]
        line = [sys.executable, "-m", "fastclip", "sweep", str(folder), "-o", str(out), *data]
        fixed = ["--cache-dir", str(shared_cache), "--engine", "torch", "--workers", "1", "-q"]
        return subprocess.Popen([*line, *fixed, "--shard", f"{number}/2"])

    first, second = share(1), share(2)
    while records(out) < 2 and second.poll() is None:
        time.sleep(0.01)
    second.kill()
    second.wait()
    assert first.wait() == 0
    assert share(2).wait() == 0
    fastclip.sweep(folder, alone, data=sets, cache_dir=shared_cache, engine="torch", workers=1)
    assert table(out) == table(alone)


def test_a_share_of_fewer_checkpoints_than_shares_may_be_empty(
    run_folder: Path, sets: tuple[str, ...], shared_cache: Path, tmp_path: Path
) -> None:
    options: dict[str, Any] = {"data": sets, "cache_dir": shared_cache}
    for number in range(1, 6):
        fastclip.sweep(run_folder, tmp_path, shard=f"{number}/5", **options)
    rows = fastclip.sweep(run_folder, tmp_path, **options)
    assert rows["checkpoint"].nunique() == 3


def test_a_share_leaves_the_table_to_who_is_writing_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And that one writes it once more: the share's rows may have come too late for the first."""
    (tmp_path / "config.json").touch()
    left: list[bool] = []
    written: list[int] = []

    def write(out: Path) -> None:
        written.append(len(left))
        if not left:
            left.append(run._write_current_table(out, wait=False))

    monkeypatch.setattr(run, "write_table", write)
    monkeypatch.setattr(run, "table_is_current", lambda out: False)
    assert run._write_current_table(tmp_path, wait=True)
    assert left == [False]
    assert written == [0, 1]
    assert run._write_current_table(tmp_path, wait=False)
    assert written == [0, 1, 1]


@pytest.mark.parametrize("shard", [(0, 2), (7, 2)])
def test_a_share_that_there_is_not_is_refused(shard: tuple[int, int]) -> None:
    with pytest.raises(UsageError, match=f"there is no share {shard[0]} of 2"):
        SweepConfig(("x",), Path("out"), shard=shard)


def test_an_empty_share_of_an_empty_folder_has_no_rows(
    run_folder: Path, sets: tuple[str, ...], shared_cache: Path, tmp_path: Path
) -> None:
    rows = fastclip.sweep(run_folder, tmp_path, shard="1/5", data=sets, cache_dir=shared_cache)
    assert len(rows) == 0
    lines = list(
        describe_plan(
            SweepConfig(
                (str(run_folder),), tmp_path, shard=(1, 5), data=sets, cache_dir=shared_cache
            )
        )
    )
    assert any("more shares than checkpoints" in line for line in lines)


def test_a_share_of_unreadable_files_alone_fails_them(
    sets: tuple[str, ...], shared_cache: Path, tmp_path: Path
) -> None:
    """No engine is tried, as there is nothing to try it with, and nothing is settled."""
    folder = make_run(tmp_path / "runs", 1)
    torch.save({"state_dict": {"no_tower.weight": torch.ones(4)}}, folder / "epoch_2.pt")
    out = tmp_path / "out"
    rows = fastclip.sweep(folder, out, shard="1/2", data=sets, cache_dir=shared_cache)
    assert list(rows.attrs["failures"]) == ["tiny/epoch_2.pt"]
    assert len(list((out / "failures").iterdir())) == 1
    assert not (out / "config.json").exists()
