from __future__ import annotations

import base64
import json
from dataclasses import replace
from io import BytesIO

import numpy as np
import pandas as pd
from made_analysis import made_analysis, made_rows
from make_sets import make_cue_conflict, make_tid2013
from PIL import Image

from fastclip.evaluators.base import Result
from fastclip.report.pictures import flips, misjudged
from fastclip.results.record import record_path, write_items
from fastclip.stimuli.cue_conflict import load as load_cue
from fastclip.stimuli.tid2013 import load as load_tid

CHECKPOINTS = 8


def cue_items(dataset, decisions):
    """Items of one checkpoint: `decisions` has "s", "t" or "o" for each picture."""
    letters = np.array(decisions)
    return {
        "picture": [dataset.pictures.name(row) for row in range(len(letters))],
        "is_shape": letters == "s",
        "is_texture": letters == "t",
        "conflict": dataset.shape != dataset.texture,
    }


def folder(tmp_path, rows, task, items_of):
    """An output folder whose records of `task` have items, and nothing else."""
    chosen = rows[rows["task"] == task].drop_duplicates("checkpoint")
    for place, key in enumerate(chosen["checkpoint_id"]):
        path = record_path(tmp_path, key, task, task).with_suffix(".items.parquet")
        path.parent.mkdir(parents=True, exist_ok=True)
        write_items(path, Result((), items_of(place)))
    return tmp_path


def settle(out, data):
    options = {"data": data, "data_dir": None, "higher_is_better": None, "limit": None}
    (out / "config.json").write_text(json.dumps({"options": options}))


def renamed(rows: pd.DataFrame, dataset: str) -> pd.DataFrame:
    return rows.assign(dataset=pd.Series([dataset] * len(rows), rows.index, dtype="string"))


def cue_case(tmp_path):
    dataset = load_cue(make_cue_conflict(tmp_path / "cue", per_pair=1), name="toy")
    rows = renamed(made_rows(CHECKPOINTS, tasks=("shape-bias",)), "toy")
    analysis = made_analysis(rows)
    conflict = np.flatnonzero(dataset.shape != dataset.texture)
    turns, back, restless = conflict[:3]

    def items_of(place):
        decisions = np.full(len(dataset.pictures), "t")
        decisions[turns] = "t" if place < 5 else "s"
        decisions[back] = "s" if place < 4 else "t"
        decisions[restless] = "st"[place % 2]
        return cue_items(dataset, decisions)

    return folder(tmp_path / "out", rows, "shape-bias", items_of), rows, analysis, dataset


def test_pictures_that_change_for_good_come_before_restless_ones(tmp_path):
    out, rows, analysis, dataset = cue_case(tmp_path)
    settle(out, [f"cue-conflict:toy={tmp_path / 'cue'}"])
    (found,) = flips(out, rows, analysis)
    conflict = [dataset.pictures.name(r) for r in np.flatnonzero(dataset.shape != dataset.texture)]
    usable = [name for name, ok in zip(rows["checkpoint"].unique(), analysis.curves[0].usable,
                                       strict=True) if ok]  # fmt: skip
    assert found["checkpoints"] == usable
    assert found["to_shape"][0]["name"] == conflict[0]
    assert found["to_texture"][0]["name"] == conflict[1]
    assert found["to_shape"][0]["decisions"] == "tttttsss"[-len(usable) :]
    assert found["pictures"] == len(conflict)
    assert found["turned"]["ts"] >= 1 and sum(found["turned"].values()) == len(conflict)


def test_thumbnails_are_the_pictures_of_the_set(tmp_path):
    out, rows, analysis, _ = cue_case(tmp_path)
    settle(out, [f"cue-conflict:toy={tmp_path / 'cue'}"])
    (found,) = flips(out, rows, analysis)
    shown = found["to_shape"][0]
    head, data = shown["picture"].split(",", 1)
    assert head == "data:image/webp;base64" and found["missing"] == ""
    small = np.asarray(Image.open(BytesIO(base64.b64decode(data))).convert("RGB"), float)
    whole = np.asarray(Image.open(tmp_path / "cue" / shown["name"]).convert("RGB"), float)
    assert np.abs(small.mean((0, 1)) - whole.mean((0, 1))).max() < 6


def test_without_the_set_there_are_names_and_the_reason(tmp_path):
    out, rows, analysis, _ = cue_case(tmp_path)
    settle(out, [f"cue-conflict:toy={tmp_path / 'gone'}"])
    (found,) = flips(out, rows, analysis)
    assert found["missing"] and found["to_shape"][0]["picture"] is None
    assert found["to_shape"][0]["name"]


def test_without_items_there_is_nothing(tmp_path):
    rows = made_rows(CHECKPOINTS)
    assert list(flips(tmp_path, rows, made_analysis(rows))) == []
    assert list(misjudged(tmp_path, rows, made_analysis(rows))) == []


def test_the_most_misjudged_pairs_are_found_whatever_the_scores_polarity(tmp_path):
    tid = make_tid2013(tmp_path / "tid", references=4)
    dataset = load_tid(tid, name="toy")
    rows = renamed(made_rows(CHECKPOINTS, tasks=("iqa",)), "toy")
    names = [dataset.pictures.name(row) for row in range(len(dataset.pictures))]
    badness = np.linspace(0, 1, len(dataset.score))
    distance = badness.copy()
    distance[2], distance[-3] = 2.0, -1.0
    for case, sign in (("mos", -1), ("dmos", 1)):
        items = {
            "reference": [names[row] for row in dataset.reference],
            "distorted": [names[row] for row in dataset.distorted],
            "type": dataset.type,
            "level": dataset.level,
            "score": sign * badness,
            "cosine": distance,
        }
        out = folder(tmp_path / case, rows, "iqa", lambda place, items=items: items)
        settle(out, [f"tid2013:toy={tid}"])
        (found,) = misjudged(out, rows, made_analysis(rows))
        assert found["too_far"][0]["names"][1] == names[dataset.distorted[2]]
        assert found["too_near"][0]["names"][1] == names[dataset.distorted[-3]]
        assert found["too_far"][0]["model"] > found["too_far"][0]["people"]
        assert all(picture.startswith("data:") for picture in found["too_far"][0]["pictures"])


def test_checkpoints_that_are_no_use_are_not_judged(tmp_path):
    rows = renamed(made_rows(CHECKPOINTS, tasks=("iqa",)), "toy")
    analysis = made_analysis(rows)
    useless = tuple(replace(c, usable=(False,) * CHECKPOINTS) for c in analysis.curves)
    assert list(misjudged(tmp_path, rows, replace(analysis, curves=useless))) == []
