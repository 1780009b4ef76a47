"""What the demo says, and what it does with folders that are there already."""

from __future__ import annotations

import pandas as pd
import pytest

from fastclip.demo.findings import findings
from fastclip.demo.stages import claim, finish
from fastclip.errors import UsageError
from fastclip.results.table import COLUMNS


def table(srcc, bias=(0.5, 0.4, 0.3), flags=("at_chance", "", ""), clean=(0.1, 0.5, 0.9)):
    rows = []
    for row, step in enumerate((0, 10, 20)):
        iqa = {"task": "iqa", "subset": "pooled", "distance": "cosine", "metric": "srcc"}
        shape = {"task": "shape-bias", "metric": "shape_bias", "flag": flags[row]}
        accuracy = {"task": "robustness", "metric": "acc1"}
        noise = {"distortion": "gaussian_noise", "level": 0.1}
        rows += [
            {"step": step, **iqa, "value": srcc[row]},
            {"step": step, **shape, "value": bias[row]},
            {"step": step, **shape, "metric": "cue_accuracy", "value": 0.25 + row / 4},
            {"step": step, **accuracy, "distortion": "none", "value": clean[row]},
            {"step": step, **accuracy, **noise, "value": clean[row] / 2},
            {"step": step, "task": "robustness", "metric": "drop_rel", **noise, "value": 0.5},
        ]
    frame = pd.DataFrame(rows).reindex(columns=list(COLUMNS))
    return frame.astype({name: kind for name, kind in COLUMNS.items() if kind != "float64"})


def test_a_peak_is_said_with_its_place():
    said = findings(table((0.2, 0.6, 0.5)), 16)
    assert said[0].endswith(
        "highest before the end (0.600 at step 10); 0.100 lower at the end (0.500 at step 20)."
    )


def test_no_peak_is_said_as_such():
    assert findings(table((0.2, 0.5, 0.6)), 16)[0].endswith(
        "highest at the last checkpoint (0.600 at step 20); no peak before it."
    )


def test_the_untrained_model_may_be_the_highest():
    said = findings(table((0.7, 0.5, 0.6)), 16)[0]
    assert "highest at the first checkpoint" in said and "0.100 lower at the end" in said


def test_shape_bias_comes_with_cue_accuracy_and_without_chance():
    said = findings(table((0.1, 0.2, 0.3)), 16)[1]
    assert "lowest 0.300 at step 20, cue accuracy 0.750" in said
    assert "highest 0.400 at step 10, cue accuracy 0.500" in said
    assert "at chance: 1 checkpoints" in said
    none = findings(table((0.1, 0.2, 0.3), flags=("at_chance",) * 3), 16)[1]
    assert "it says nothing" in none


def test_accuracy_is_compared_with_chance():
    assert "14.4 times chance (1/16)" in findings(table((0.1, 0.2, 0.3)), 16)[2]


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
