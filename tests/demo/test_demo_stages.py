"""What the demo does with folders that are there already."""

from __future__ import annotations

import pytest

from fastclip.demo.stages import claim, finish
from fastclip.errors import UsageError


def test_a_folder_is_kept_for_equal_settings_and_emptied_for_others(tmp_path):
    folder = tmp_path / "stage"
    assert not claim(folder, {"seed": 0})
    (folder / "made").touch()
    assert not claim(folder, {"seed": 0})  # begun, not finished: its files stay
    assert (folder / "made").exists()
    finish(folder, {"seed": 0})
    assert claim(folder, {"seed": 0})
    assert not claim(folder, {"seed": 1})
    assert not (folder / "made").exists()


def test_a_folder_of_somebody_else_is_left_alone(tmp_path):
    (tmp_path / "epoch_1.pt").touch()
    with pytest.raises(UsageError, match="no demo wrote"):
        claim(tmp_path, {"seed": 0})
    assert (tmp_path / "epoch_1.pt").exists()
