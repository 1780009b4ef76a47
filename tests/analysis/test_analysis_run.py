"""The whole analysis: what is said, left out, linked and written."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from click.testing import CliRunner
from made_sweep import MadeSweep

from fastclip.analysis.run import analyze, write_analysis
from fastclip.analysis.source import read_source
from fastclip.cli.analyze import command
from fastclip.errors import RefusalError, UsageError
from fastclip.files import write_json
from fastclip.report.lines import lines_of

RISING = (0.2, 0.4, 0.6, 0.8, 1.0)


def analysed(out, **options):
    return analyze(read_source(out), resamples=200, threads=1, **options)


def place(out, cid, **fields):
    """Change what is known of a checkpoint."""
    path = out / "checkpoints" / f"{cid}.json"
    write_json(path, {**json.loads(path.read_bytes()), **fields})


def full(sweep, ids, **of_quality):
    count = len(ids)
    sweep.image_quality(ids, np.linspace(0.3, 1.5, count), **of_quality)
    sweep.shape_bias(ids, np.linspace(0.4, 0.8, count), np.linspace(0.3, 0.6, count))
    sweep.robustness(ids, np.linspace(0.3, 0.9, count), np.linspace(0.2, 0.6, count))


def test_every_task_has_its_sentence_lines_and_checks(tmp_path):
    sweep = MadeSweep(tmp_path)
    full(sweep, sweep.checkpoints(6))
    found = analysed(tmp_path)
    assert [c.endpoint.key for c in found.curves if c.endpoint.primary] == [
        "iqa", "shape-bias", "robustness",
    ]  # fmt: skip
    assert len(found.sentences) == 3
    assert found.checks["data"] == "complete" and found.checks["failures"] == "none"
    assert "3.0e-07" in found.checks["canary"]
    labels = {(line.endpoint, line.label): line.value for line in found.context}
    assert labels["shape-bias", "guessing"] == 0.5
    assert labels["shape-bias", "humans"] == pytest.approx(0.9587)
    assert labels["shape-bias/cue_accuracy", "guessing"] == 2 / 8
    assert labels["robustness/acc1/clean", "guessing"] == 1 / 10
    assert 0 < labels["iqa", "PSNR"] < 1
    tested = sum(link.p is not None for link in found.links)
    others = [c for c in found.curves if not c.endpoint.primary]
    assert found.comparisons == len(others) + len(found.types) + tested


def test_a_screening_folder_is_judged_as_any_other_and_called_one(tmp_path):
    found, rows = {}, {}
    for precision in ("fp32", "bf16"):
        sweep = MadeSweep(tmp_path / precision, precision=precision)
        ids = sweep.checkpoints(5)
        cue = (0.1, 0.15, 0.5, 0.6, 0.7)
        sweep.shape_bias(ids, cue, np.linspace(0.3, 0.6, 5))
        sweep.robustness(ids, (0.05, 0.5, 0.6, 0.8, 0.9), (0.05, 0.2, 0.3, 0.7, 0.8))
        rows[precision] = read_source(sweep.out).rows
        found[precision] = analysed(sweep.out)
    assert rows["bf16"]["flag"].str.contains("at_chance;screening").any()
    fp32, bf16 = ([replace(c, protocol_id="") for c in found[p].curves] for p in found)
    assert bf16 == fp32
    assert found["bf16"].context == found["fp32"].context
    assert found["fp32"].checks["measured as"] == "onnxruntime fp32"
    told = found["bf16"].checks["measured as"]
    assert told.startswith("! onnxruntime bf16; bf16 is for screening: ")
    assert told.endswith("`fastclip verify --precision bf16 CKPTS` says by how much")
    for lines in zip(lines_of(rows["fp32"]), lines_of(rows["bf16"]), strict=True):
        assert lines[0].usable == lines[1].usable
        assert lines[0].why == lines[1].why


def test_the_json_holds_no_infinity_and_says_what_was_done(tmp_path):
    sweep = MadeSweep(tmp_path)
    full(sweep, sweep.checkpoints(4))
    path = write_analysis(tmp_path, analysed(tmp_path, seed=3))
    body = json.loads(path.read_text(), parse_constant=lambda name: pytest.fail(name))
    assert body["settings"]["seed"] == 3 and body["settings"]["resamples"] == 200
    assert body["settings"]["primary"]["iqa"]["metric"] == "srcc"


def test_equal_folders_give_equal_analyses(tmp_path):
    for name in ("a", "b"):
        sweep = MadeSweep(tmp_path / name)
        full(sweep, sweep.checkpoints(4))
    assert analysed(tmp_path / "a") == analysed(tmp_path / "b")


def test_distortions_without_a_seed(tmp_path):
    sweep = MadeSweep(tmp_path)
    ids = sweep.checkpoints(3)
    right = np.random.default_rng(0).random(1000)
    label = np.zeros(1000, np.int64)
    for cid, clean in zip(ids, (0.5, 0.6, 0.7), strict=True):
        before = sweep._accuracy(cid, right < clean, label, None, None)
        for more in ({}, {"shift": 0.1}):
            sweep._accuracy(
                cid, right < clean / 2, label, {"kind": "saturate", "level": 2.0, **more}, before
            )
    keys = [c.endpoint.key for c in analysed(tmp_path).curves]
    assert "robustness/drop/saturate@2/saturate@2" in keys
    assert "robustness/drop/saturate@2/saturate@2,shift=0.1" in keys
    assert len(keys) == len(set(keys))


def test_checkpoints_without_a_place_are_left_out_of_a_run_that_has_some(tmp_path):
    sweep = MadeSweep(tmp_path)
    ids = sweep.checkpoints(5)
    sweep.image_quality(ids, RISING)
    place(tmp_path, ids[-1], step=None, epoch=None, samples_seen=None, name="run/final.pt")
    curve = analysed(tmp_path).curves[0]
    assert curve.checkpoints[-1] == "run/final.pt"
    assert curve.why == ("", "", "", "", "no_place")
    assert curve.verdict.change.later == 3
    assert "1 of 5 checkpoints left out: no place in training" in curve.sentence


def test_the_order_is_one_axis_for_the_whole_run(tmp_path):
    sweep = MadeSweep(tmp_path)
    ids = sweep.checkpoints(4)
    sweep.image_quality(ids, RISING[:4])
    place(tmp_path, ids[-1], step=None)  # an epoch and samples seen, where others have steps too
    curve = analysed(tmp_path).curves[0]
    assert list(curve.samples_seen) == sorted(curve.samples_seen)
    assert all(curve.usable)


def test_a_run_without_any_place_keeps_the_order_of_names_and_says_so(tmp_path):
    sweep = MadeSweep(tmp_path)
    sweep.image_quality(sweep.checkpoints(3, steps=False), RISING[:3])
    found = analysed(tmp_path)
    assert all(found.curves[0].usable)
    assert any("order is that of names" in note for note in found.notes)
    assert all(link.p is None for link in found.links)


def test_decisions_that_are_all_alike_have_no_standard_error(tmp_path):
    sweep = MadeSweep(tmp_path)
    sweep.robustness(sweep.checkpoints(4), (0.5, 0.6, 0.7, 1.1), (0.2, 0.3, 0.4, 0.5))
    (clean,) = [c for c in analysed(tmp_path).curves if c.endpoint.key == "robustness/acc1/clean"]
    assert clean.value[-1] == 1.0 and clean.why[-1] == "no_spread"
    assert clean.band_low[-1] is None


def test_raw_and_averaged_weights_are_told_apart_and_no_runs_of_their_own(tmp_path):
    sweep = MadeSweep(tmp_path)
    for number, run in enumerate(("one", "two", "three")):
        for averaged in (False, True):
            offset = 100 * number + 50 * averaged
            ids = sweep.checkpoints(12, run, offset=offset)
            sweep.image_quality(ids, np.linspace(0.3, 1.5, 12), seed=offset)
            sweep.robustness(ids, np.linspace(0.3, 0.9, 12), np.linspace(0.2, 0.6, 12))
            for cid in ids if averaged else ():
                place(tmp_path, cid, weights="ema")
    found = analysed(tmp_path)
    scopes = {c.scope for c in found.curves if c.endpoint.key == "iqa"}
    assert len(scopes) == 6
    assert any("run one (averaged weights)" in scope for scope in scopes)
    over = [link for link in found.links if "runs of" in link.run]
    assert {link.run for link in over} == {
        "3 runs of ViT-B-32", "3 runs of ViT-B-32, averaged weights",
    }  # fmt: skip
    assert all(link.p is None and "fewer than 5 runs" in link.reason for link in over)
    means = [m for m in found.means if m.endpoint == "iqa" and m.axis == "samples_seen"]
    assert sorted(m.runs for m in means) == [
        ("one", "three", "two"),
        ("one (averaged weights)", "three (averaged weights)", "two (averaged weights)"),
    ]  # fmt: skip
    assert all(m.low[0] is not None for m in means)
    words = "mean of 3 runs of ViT-B-32: one, three, two; t-intervals"
    assert any(words in sentence for sentence in found.sentences)


def test_two_checkpoints_at_one_place_do_not_stop_links(tmp_path):
    sweep = MadeSweep(tmp_path)
    ids = sweep.checkpoints(6)
    full(sweep, ids)
    first = json.loads((tmp_path / "checkpoints" / f"{ids[0]}.json").read_bytes())
    place(tmp_path, ids[1], samples_seen=first["samples_seen"], name="run/latest.pt")
    assert all(link.increments is not None for link in analysed(tmp_path).links)


def test_few_units_are_not_called_few_checkpoints(tmp_path):
    sweep = MadeSweep(tmp_path)
    sweep.image_quality(sweep.checkpoints(4), RISING[:4], references=2)
    curve = analysed(tmp_path).curves[0]
    assert "too few checkpoints" not in curve.sentence
    assert "inf" not in curve.sentence


def test_items_that_are_not_those_of_their_record_are_refused(tmp_path):
    sweep = MadeSweep(tmp_path)
    sweep.image_quality(sweep.checkpoints(3), RISING[:3])
    path = next(tmp_path.glob("records/*/*.parquet"))
    items = pd.read_parquet(path)
    items.assign(cosine=items["cosine"].to_numpy()[::-1]).to_parquet(path)
    with pytest.raises(RefusalError, match="not the bytes"):
        analysed(tmp_path)


def test_records_of_an_older_revision_are_refused_until_they_are_measured_anew(tmp_path):
    sweep = MadeSweep(tmp_path)
    ids = sweep.checkpoints(3)
    sweep.revision = 1
    sweep.image_quality(ids, RISING[:3])
    with pytest.raises(UsageError, match=r"iqa of 3 checkpoints.*older version"):
        read_source(tmp_path)
    sweep.revision = 2
    sweep.image_quality(ids[:2], RISING[:2], note="labels changed, so another family")
    with pytest.raises(UsageError, match="iqa of 1 checkpoint "):
        read_source(tmp_path)
    sweep.image_quality(ids[2:], RISING[2:3], note="labels changed, so another family")
    assert len(read_source(tmp_path).protocols) == 1


def test_the_same_weights_are_no_second_measurement(tmp_path):
    sweep = MadeSweep(tmp_path)
    ids = sweep.checkpoints(4, "original")
    sweep.image_quality(ids, RISING[:4])
    for cid in ids:
        body = json.loads((tmp_path / "checkpoints" / f"{cid}.json").read_bytes())
        copied = {**body, "run": "twin", "name": body["name"].replace("original", "twin")}
        write_json(tmp_path / "checkpoints" / f"twin{cid}.json", copied)
    last = {**body, "name": "original/epoch_latest.pt"}
    write_json(tmp_path / "checkpoints" / "latest.json", last)
    found = analysed(tmp_path)
    assert [c.run for c in found.curves if c.endpoint.key == "iqa"] == ["original"]
    assert len(found.curves[0].checkpoints) == 4
    assert "left out: 4 checkpoints, run twin is a copy of original" in found.notes
    assert any("the same weights as original/epoch_" in note for note in found.notes)


def test_averaged_weights_that_are_the_raw_ones_leave_the_raw_ones_there(tmp_path):
    sweep = MadeSweep(tmp_path)
    ids = sweep.checkpoints(4)
    sweep.image_quality(ids, RISING[:4])
    for cid in ids:
        body = json.loads((tmp_path / "checkpoints" / f"{cid}.json").read_bytes())
        write_json(tmp_path / "checkpoints" / f"ema{cid}.json", {**body, "weights": "ema"})
    found = analysed(tmp_path)
    weights = [c.weights for c in found.curves if c.endpoint.key == "iqa"]
    assert len(weights) == 1
    assert len(found.curves[0].checkpoints) == 4


def test_a_drop_without_its_clean_record_is_refused_with_a_mend(tmp_path):
    sweep = MadeSweep(tmp_path)
    sweep.robustness(sweep.checkpoints(3), (0.5, 0.6, 0.7), (0.2, 0.3, 0.4))
    for path in tmp_path.glob("records/*/*.json"):
        if json.loads(path.read_bytes())["protocol"]["distortion"] is None:
            path.unlink()
    with pytest.raises(RefusalError, match="clean accuracy"):
        analysed(tmp_path)


def test_anchors_are_lines_not_points(tmp_path):
    sweep = MadeSweep(tmp_path)
    ids = sweep.checkpoints(4)
    sweep.image_quality(ids, RISING[:4])
    place(tmp_path, ids[-1], run="openclip", name="openclip:ViT-B-32/openai",
          step=None, epoch=None, samples_seen=None)  # fmt: skip
    found = analysed(tmp_path)
    assert len(found.curves[0].checkpoints) == 3
    (line,) = [c for c in found.context if c.label.startswith("openclip:") and c.endpoint == "iqa"]
    assert line.low < line.value < line.high
    for cid in ids[:-1]:
        (tmp_path / "checkpoints" / f"{cid}.json").unlink()
    alone = analysed(tmp_path)
    assert not alone.curves and "only anchors" in " ".join(alone.notes)
    assert "3.0e-07" in alone.checks["canary"] and alone.checks["measured as"]


def test_the_command_prints_what_it_writes(tmp_path):
    sweep = MadeSweep(tmp_path)
    full(sweep, sweep.checkpoints(4))
    result = CliRunner().invoke(command, [str(tmp_path), "--resamples", "200"])
    assert result.exit_code == 0, result.output
    assert "Primary endpoints:" in result.output and "Exploratory (" in result.output
    assert "CLIP models" not in result.output
    assert (tmp_path / "analysis.json").is_file()
