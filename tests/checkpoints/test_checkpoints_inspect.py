"""`fastclip inspect`."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from click.testing import CliRunner
from shared_data import SHARED, needs_shared

from fastclip.cli.inspect import command
from fastclip.errors import CheckpointError, UsageError


def test_shows_place_tensors_and_sources(save: Callable[..., Path], tmp_path: Path) -> None:
    path = save(tmp_path / "tiny" / "checkpoints" / "epoch_3.pt", epoch=3, samples_seen=4480)
    shown = CliRunner().invoke(command, [str(path)], catch_exceptions=False)
    assert shown.exit_code == 0
    lines = shown.output.splitlines()
    assert lines[0] == "tiny/epoch_3.pt"
    text = " ".join(shown.output.split())
    assert "epoch 3 (the file)" in text
    assert "samples seen 4,480 (the file)" in text
    assert "step NA" in text
    assert "optimizer in the file, never read" in text
    assert "tensors 8 with 2,042 numbers" in text
    assert "visual.conv1 1 768 float32" in text


def test_errors_are_the_projects_own(tmp_path: Path) -> None:
    (tmp_path / "cut.pt").write_bytes(b"PK\3\4")
    for argument, kind in ((tmp_path / "cut.pt", CheckpointError), (tmp_path, UsageError)):
        with pytest.raises(kind):
            CliRunner().invoke(command, [str(argument)], catch_exceptions=False)


@needs_shared
def test_real_checkpoint() -> None:
    shown = CliRunner().invoke(command, [str(SHARED / "ckpts" / "epoch_8.pt")])
    assert shown.exit_code == 0
    saved = torch.load(SHARED / "ckpts" / "epoch_8.pt", weights_only=True)["state_dict"]
    numbers = sum(tensor.numel() for tensor in saved.values())
    assert f"{len(saved)} with {numbers:,} numbers" in shown.output
