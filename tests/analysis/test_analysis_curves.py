"""Curves whose truth is known, through the analysis."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from made_sweep import PRIMARY, MadeSweep

from fastclip.analysis.curves import curves_of
from fastclip.analysis.endpoints import exploratory, matching, primary
from fastclip.analysis.replicates import Resampling
from fastclip.analysis.source import read_source
from fastclip.errors import UsageError

HOW = Resampling(resamples=400, threads=1)
PEAKED = (0.1, 0.5, 1.0, 1.6, 1.6, 1.0, 0.4)
RISING = (0.2, 0.4, 0.6, 0.8, 1.0, 1.2, 1.4)
FLAT = (1.0,) * 7


def measured(out: Path, task: str):
    source = read_source(out)
    (endpoint,) = [e for e in primary(source.config) if e.task == task]
    return list(curves_of(source, endpoint, HOW))


@pytest.mark.parametrize(
    ("signal", "kind"), [(PEAKED, "peak"), (RISING, "rise"), (RISING[::-1], "fall")]
)
def test_the_kind_of_an_alignment_curve(tmp_path, signal, kind):
    sweep = MadeSweep(tmp_path)
    sweep.image_quality(sweep.checkpoints(len(signal)), signal)
    (found,) = measured(tmp_path, "iqa")
    assert found.curve.verdict.kind == kind
    assert found.curve.n_units == 20


def test_a_flat_curve_is_undecided_and_every_checkpoint_may_be_the_highest(tmp_path):
    sweep = MadeSweep(tmp_path)
    sweep.image_quality(sweep.checkpoints(7), FLAT)
    (found,) = measured(tmp_path, "iqa")
    assert found.curve.verdict.kind == "undecided"
    assert len(found.curve.verdict.best) >= 6
    assert "not distinguishable" in found.curve.sentence


def test_the_sentence_of_a_peak_has_number_interval_place_and_scope(tmp_path):
    sweep = MadeSweep(tmp_path)
    sweep.image_quality(sweep.checkpoints(len(PEAKED)), PEAKED)
    (found,) = measured(tmp_path, "iqa")
    curve = found.curve
    top = curve.verdict.highest
    assert top in (3, 4)
    assert set(curve.verdict.best) <= {2, 3, 4, 5}
    assert f"peaks at {curve.value[top]:.3f} [" in curve.sentence
    assert f"step {10 * (top + 1)} (" in curve.sentence
    assert "samples seen" in curve.sentence
    assert "this run, over 20 reference pictures" in curve.sentence
    assert "CLIP models" not in curve.sentence


def test_points_at_chance_are_left_out_and_said_so(tmp_path):
    sweep = MadeSweep(tmp_path)
    ids = sweep.checkpoints(7)
    sweep.shape_bias(ids, (0.1, 0.15, 0.5, 0.6, 0.7, 0.8, 0.8), (0.5, 0.5, 0.2, 0.3, 0.5, 0.7, 0.8))
    (found,) = measured(tmp_path, "shape-bias")
    assert found.curve.usable == (False, False, True, True, True, True, True)
    assert found.curve.band_low[0] is None
    assert found.curve.band_low[2] < found.curve.value[2] < found.curve.band_high[2]
    assert found.curve.verdict.kind == "rise"
    assert found.curve.verdict.change.earlier == 2
    assert "2 of 7 checkpoints left out: cue accuracy at chance" in found.curve.sentence


def test_a_drop_is_paired_with_the_clean_decisions(tmp_path):
    sweep = MadeSweep(tmp_path)
    sweep.robustness(sweep.checkpoints(4), (0.05, 0.5, 0.6, 0.8), (0.05, 0.2, 0.3, 0.7))
    (found,) = measured(tmp_path, "robustness")
    assert found.curve.usable == (False, True, True, True)
    np.testing.assert_allclose(found.paired.estimates, found.curve.value[1:])
    assert found.curve.verdict.kind == "fall"


def test_one_checkpoint_has_a_sentence_and_no_verdict(tmp_path):
    sweep = MadeSweep(tmp_path)
    sweep.image_quality(sweep.checkpoints(1), (1.0,))
    (found,) = measured(tmp_path, "iqa")
    assert found.curve.verdict.kind == "too_few"
    assert "too few checkpoints" in found.curve.sentence


def test_nothing_usable_says_so(tmp_path):
    sweep = MadeSweep(tmp_path)
    sweep.shape_bias(sweep.checkpoints(3), (0.1,) * 3, (0.5,) * 3)
    (found,) = measured(tmp_path, "shape-bias")
    assert found.paired is None
    assert "no usable checkpoint" in found.curve.sentence


def test_the_declared_endpoint_is_primary_and_the_others_are_not(tmp_path):
    declared = {**PRIMARY, "iqa": {"metric": "srcc", "factors": {"distance": "psnr"}}}
    sweep = MadeSweep(tmp_path, primary=declared)
    sweep.image_quality(sweep.checkpoints(2), (1.0, 1.0))
    source = read_source(tmp_path)
    (first, *_) = primary(source.config)
    assert first.primary
    assert len(matching(source.rows, first)) == 2
    others = exploratory(source.rows, source.config)
    assert [e.key for e in others] == ["iqa/srcc/cosine"]
    assert not others[0].primary


def test_two_protocols_are_refused_until_one_is_chosen(tmp_path):
    sweep = MadeSweep(tmp_path)
    ids = sweep.checkpoints(3)
    sweep.image_quality(ids, (1.0,) * 3)
    sweep.image_quality(ids, (1.0,) * 3, iqa_view="squash")
    with pytest.raises(UsageError, match=r"2 protocols.*iqa_view") as refused:
        read_source(tmp_path)
    assert "--protocol" in str(refused.value)
    names = {
        path.stem.split("-")[1].split(".")[0] for path in tmp_path.glob("records/*/iqa-*.json")
    }
    chosen = min(names)
    assert list(read_source(tmp_path, protocols=[chosen[:6]]).protocols) == [chosen]


def test_two_precisions_are_refused_until_one_is_chosen(tmp_path):
    sweep = MadeSweep(tmp_path)
    ids = sweep.checkpoints(2)
    sweep.image_quality(ids, (1.0, 1.0))
    sweep.precision = "bf16"
    sweep.image_quality(ids, (1.0, 1.0))
    with pytest.raises(UsageError, match=r"bf16 \(2 checkpoints\).*fp32 \(2 checkpoints\)"):
        read_source(tmp_path)
    assert set(read_source(tmp_path, precision="fp32").rows["precision"]) == {"fp32"}
    with pytest.raises(UsageError, match="no record is of"):
        read_source(tmp_path, precision="int8")


def test_folders_without_measurements_are_refused(tmp_path):
    with pytest.raises(UsageError, match="holds no sweep"):
        read_source(tmp_path)
    MadeSweep(tmp_path)
    with pytest.raises(UsageError, match="no finished measurement"):
        read_source(tmp_path)
