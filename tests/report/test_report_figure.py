from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from fastclip.errors import UsageError
from fastclip.report.curves import HUMAN_SHAPE_BIAS, panels_of, x_column
from fastclip.report.figure import draw_curves
from fastclip.results.table import COLUMNS

STAMP = "synthetic, no human data"


def sweep_rows(run: str = "toy", prefix: str = "toy-", steps=(0, 1, 10, 100)) -> pd.DataFrame:
    """Rows of one run with one value per curve and step, as a sweep writes them."""
    rows = []
    for step in steps:
        place = {"step": step, "samples_seen": step * 64, "epoch": 0}
        for distance, shift in (("cosine", 0.0), ("rmse", 0.1)):
            iqa = {"task": "iqa", "dataset": f"{prefix}tid2013", "subset": "pooled"}
            value = 0.5 + shift - abs(step - 10) / 1000
            rows.append({**place, **iqa, "distance": distance, "metric": "srcc", "value": value})
        cue = {"task": "shape-bias", "dataset": f"{prefix}cue-conflict"}
        flag = "at_chance" if step < 10 else ""
        rows.append({**place, **cue, "metric": "shape_bias", "value": 0.4, "flag": flag})
        rows.append({**place, **cue, "metric": "cue_accuracy", "value": 0.2})
        cifar = {"task": "robustness", "dataset": f"{prefix}cifar100", "distortion": "none"}
        noise = {"distortion": "gaussian_noise", "level": 0.1, "noise_seed": 0}
        rows.append({**place, **cifar, "metric": "acc1", "value": 0.8})
        rows.append({**place, **cifar, **noise, "metric": "acc1", "value": 0.6})
        drop = None if step == 0 else 0.25
        rows.append({**place, **cifar, **noise, "metric": "drop_rel", "value": drop})
    frame = pd.DataFrame(rows).reindex(columns=list(COLUMNS))
    frame = frame.assign(run=run, arch="toy-clip", weights="raw", protocol_id="p")
    return frame.assign(flag=frame["flag"].fillna("")).astype(COLUMNS)


def texts(figure) -> set[str]:
    import matplotlib.text

    return {found.get_text() for found in figure.findobj(matplotlib.text.Text)}


def test_png_and_svg_are_written_with_the_stamp(tmp_path):
    figure = draw_curves(sweep_rows(), tmp_path / "curves.png", STAMP)
    assert STAMP in texts(figure)
    with Image.open(tmp_path / "curves.png") as picture:
        assert picture.width > 1500
        ink = np.asarray(picture.convert("L")) < 128
    assert ink.mean() > 0.005
    assert STAMP in (tmp_path / "curves.svg").read_text()
    assert {path.name for path in tmp_path.iterdir() if path.is_file()} == {
        "curves.png",
        "curves.svg",
    }


def test_no_stamp_unless_given(tmp_path):
    assert STAMP not in texts(draw_curves(sweep_rows(), tmp_path / "curves.png"))


def test_the_same_rows_draw_the_same_svg(tmp_path):
    once, again = tmp_path / "a.png", tmp_path / "b.png"
    draw_curves(sweep_rows(), once, STAMP)
    draw_curves(sweep_rows(), again, STAMP)
    assert once.with_suffix(".svg").read_bytes() == again.with_suffix(".svg").read_bytes()


def test_lines_show_the_values_in_the_order_of_training(tmp_path):
    shuffled = sweep_rows().sample(frac=1, random_state=0)
    alignment, shape, accuracy = panels_of(shuffled)
    cosine = alignment.curves[-1]
    assert cosine.x == [0, 64, 640, 6400]
    assert cosine.y == pytest.approx([0.49, 0.491, 0.5, 0.41])
    assert [curve.label for curve in alignment.curves] == ["rmse", "cosine"]
    assert [c.certain for c in shape.curves if c.label == "shape bias"] == [
        [False, False, True, True]
    ]
    assert [curve.label for curve in accuracy.curves] == ["clean", "noisy", "drop"]
    assert np.isnan(accuracy.curves[2].y).tolist() == [True, False, False, False]


def test_humans_are_drawn_beside_the_published_stimuli_only():
    published, toy = panels_of(sweep_rows(prefix=""))[1], panels_of(sweep_rows())[1]
    assert HUMAN_SHAPE_BIAS in published.rules.values()
    assert HUMAN_SHAPE_BIAS not in toy.rules.values()
    assert toy.rules == {"guessing": 0.5}


def test_chance_accuracy_is_that_of_the_set():
    assert panels_of(sweep_rows(prefix=""))[2].rules == {"guessing": 0.01}
    assert panels_of(sweep_rows())[2].rules == {}
    assert panels_of(sweep_rows(), {"toy-cifar100": 1 / 16})[2].rules == {"guessing": 1 / 16}


def test_runs_have_colours_and_names_of_their_own(tmp_path):
    rows = pd.concat([sweep_rows("first"), sweep_rows("second")])
    curves = panels_of(rows)[0].curves
    assert len(curves) == 2 and len({curve.colour for curve in curves}) == 2
    assert {"first", "second"} <= texts(draw_curves(rows, tmp_path / "curves.png"))


def test_the_x_axis_falls_back_to_step_and_epoch():
    rows = sweep_rows()
    assert x_column(rows) == "samples_seen"
    rows["samples_seen"] = pd.NA
    assert x_column(rows) == "step"
    rows["step"] = pd.NA
    assert x_column(rows) == "epoch"
    rows["epoch"] = pd.NA
    with pytest.raises(UsageError, match="where in training"):
        x_column(rows)


def test_a_task_that_was_not_measured_is_said(tmp_path):
    rows = sweep_rows()
    figure = draw_curves(rows[rows["task"] != "shape-bias"], tmp_path / "curves.png")
    assert "not measured" in texts(figure)


def test_nothing_to_draw(tmp_path):
    rows = sweep_rows().assign(metric="acc5")
    with pytest.raises(UsageError, match="no row has a curve"):
        draw_curves(rows, tmp_path / "curves.png")
    assert not (tmp_path / "curves.png").exists()
