from __future__ import annotations

import re

import pandas as pd
import pytest
from made_analysis import made_analysis, made_rows
from PIL import Image

from fastclip.report.panels import training_panels
from fastclip.report.plates import write_plates

ALL = {"training", "distortions", "categories", "noisy-clean", "trade-off", "diagnostics"}


def test_every_figure_is_written_for_print(tmp_path):
    rows = made_rows(12)
    written = write_plates(tmp_path, rows, made_analysis(rows), "synthetic, no human data")
    assert {path.stem for path in written} == ALL
    for path in written:
        with Image.open(path) as picture:
            assert picture.info["dpi"] == pytest.approx((300, 300), abs=1)
        assert "synthetic, no human data" in path.with_suffix(".svg").read_text()
    assert {path.stem for path in tmp_path.glob("*.svg")} == ALL


def test_runs_are_named_in_their_colours(tmp_path):
    rows = made_rows(6, runs=("first", "second"), tasks=("iqa",))
    write_plates(tmp_path, rows, made_analysis(rows))
    svg = (tmp_path / "training.svg").read_text()
    assert {"first", "second"} <= set(re.findall(r">([^<>]+)</text>", svg))


def test_one_checkpoint_and_no_axis_of_training(tmp_path):
    rows = made_rows(1, samples=False).assign(step=None, epoch=None)
    assert {path.stem for path in write_plates(tmp_path, rows, made_analysis(rows))} >= {"training"}


def test_other_distortions_are_drawn_beside_the_headline():
    rows = made_rows(6, tasks=("robustness",))
    other = rows[rows["distortion"] == "gaussian_noise"].assign(
        distortion="contrast", level=0.4, noise_seed=None
    )
    both = pd.concat([rows, other], ignore_index=True)
    accuracy, drop = training_panels(both, made_analysis(rows))
    assert [(line.label, line.faint) for line in accuracy.lines] == [
        ("clean", False), ("noise \N{GREEK SMALL LETTER SIGMA} 0.1", False), ("contrast 0.4", True),
    ]  # fmt: skip
    assert [(line.label, line.faint) for line in drop.lines] == [
        ("contrast 0.4", True), ("noise \N{GREEK SMALL LETTER SIGMA} 0.1", False),
    ]  # fmt: skip


def test_equal_rows_draw_equal_bytes(tmp_path):
    rows = made_rows(5, tasks=("iqa",))
    once, again = tmp_path / "once", tmp_path / "again"
    for folder in (once, again):
        write_plates(folder, rows, made_analysis(rows))
    for path in once.iterdir():
        assert path.read_bytes() == (again / path.name).read_bytes()
