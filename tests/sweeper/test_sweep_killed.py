"""Killed at any moment, nothing finished is lost and nothing half-done counts."""

from __future__ import annotations

import random
import subprocess
from pathlib import Path

import kill_and_resume as experiment
import pytest
from make_run import make_run


@pytest.mark.slow
def test_killed_and_resumed_equals_uninterrupted(
    sets: tuple[str, ...], shared_cache: Path, tmp_path: Path
) -> None:
    run = make_run(tmp_path / "runs", 4)
    killed, alone = tmp_path / "killed", tmp_path / "alone"
    line = experiment.command(run, sets, shared_cache, killed)
    counts = experiment.kill_and_resume(line, killed, kills=3, randomness=random.Random(0))
    assert counts == sorted(counts)
    subprocess.run(experiment.command(run, sets, shared_cache, alone), check=True)
    assert experiment.table(killed) == experiment.table(alone)
    assert experiment.records(killed) == experiment.records(alone)
