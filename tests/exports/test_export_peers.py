"""Peers' formats, read by the rules of their own code.

CLIP_benchmark's `build` and model-vs-human's shape-bias analysis are stated here in their terms;
docs/exports.md says with which versions of their own code the exports were read back.
"""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from fastclip.errors import RefusalError, UsageError
from fastclip.exports.clip_benchmark import mean_per_class_recall
from fastclip.exports.folder import unique_name, write_folder
from fastclip.exports.run import export
from fastclip.results.sightings import read_sightings


def test_clip_benchmark_build(swept: Path, rows: pd.DataFrame, tmp_path: Path) -> None:
    export(swept, "clip-benchmark", tmp_path)
    built = []
    for path in tmp_path.glob("*.json"):  # what `clip_benchmark build FOLDER` takes
        data = json.loads(path.read_text())
        assert {"dataset", "model", "pretrained", "task", "metrics", "language"} <= set(data)
        built.append(data["metrics"] | {k: v for k, v in data.items() if k != "metrics"})
    table = pd.DataFrame(built).set_index(["pretrained", "dataset"])
    assert not table.index.duplicated().any()
    assert set(table["task"]) == {"zeroshot_classification"}
    noisy = {None: "toy-cifar", 0.1: "toy-cifar-gaussian_noise@0.1",
             0.2: "toy-cifar-gaussian_noise@0.2"}  # fmt: skip
    ours = rows[rows["metric"].isin(["acc1", "acc5"])]
    assert len(ours) == 2 * len(table)
    for row in ours.itertuples():
        name = noisy[None if row.level != row.level else row.level]
        assert table.loc[(row.checkpoint, name), row.metric] == row.value


def test_mean_per_class_recall() -> None:
    labels = np.array([0, 0, 0, 2, 2, 5])
    decisions = np.array([0, 1, 0, 2, 4, 1])
    assert mean_per_class_recall(labels, decisions) == pytest.approx((2 / 3 + 1 / 2 + 0) / 3)


def shape_bias(trials: pd.DataFrame) -> float:
    """As model-vs-human: the texture from the picture's name, fractions of all trials."""
    texture = trials["imagename"].str.extract(r"-([a-z]+)\d*\.png$")[0]
    conflict = trials[trials["category"] != texture]
    shape = (conflict["object_response"] == conflict["category"]).sum() / len(trials)
    other = (conflict["object_response"] == texture[conflict.index]).sum() / len(trials)
    return float(shape / (shape + other)) if shape + other else float("nan")


def test_model_vs_human(swept: Path, rows: pd.DataFrame, tmp_path: Path) -> None:
    export(swept, "model-vs-human", tmp_path)
    files = sorted((tmp_path / "toy-cue").glob("toy-cue_*_session-1.csv"))
    trials = pd.concat([pd.read_csv(file) for file in files])
    assert list(trials.columns) == [
        "subj", "session", "trial", "rt", "object_response", "category", "condition", "imagename",
    ]  # fmt: skip
    assert trials["subj"].nunique() == 3
    assert not trials["subj"].str.startswith("subject-").any()  # these would be humans
    whole = rows[(rows["metric"] == "shape_bias") & rows["category"].isna()]
    found = {s: shape_bias(t.reset_index()) for s, t in trials.groupby("subj")}
    for row in whole.itertuples():
        (subject,) = (s for s in found if f"epoch-{row.epoch}-" in s)
        np.testing.assert_array_equal(found[subject], row.value)


def test_model_vs_human_refuses_names_it_would_misread(
    swept: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from fastclip.exports import model_vs_human

    read = model_vs_human.read_items

    def renamed(path: Path, columns: tuple[str, ...]) -> dict[str, np.ndarray]:
        items = read(path, columns)
        return items | {"texture": np.array([f"{t} 2" for t in items["texture"]])}

    monkeypatch.setattr(model_vs_human, "read_items", renamed)
    with pytest.raises(RefusalError, match="would read the texture"):
        export(swept, "model-vs-human", tmp_path)


def test_names_of_checkpoints_never_collide(swept: Path) -> None:
    one = read_sightings(swept)[0]
    others = [
        replace(one, run="b", name=one.name.replace("/", "-", 1)),
        replace(one, weights="ema"),
        replace(one, checkpoint_id="another file of this name"),
        replace(one, arch="ViT-B-16"),
    ]
    names = [unique_name(sighting, "toy") for sighting in (one, *others)]
    assert len({*names, unique_name(one, "toy[1/2]")}) == 6
    assert all(re.fullmatch(r"[A-Za-z0-9-]+", name) for name in names)


def test_a_folder_is_exported_into_again(tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("kept")
    assert write_folder(tmp_path, [("a/one.csv", b"1"), ("two.csv", b"2")]) == 2
    assert write_folder(tmp_path, [("two.csv", b"22")]) == 1
    assert sorted(p.name for p in tmp_path.iterdir()) == [".fastclip-export", "mine.txt", "two.csv"]
    assert (tmp_path / "two.csv").read_bytes() == b"22"


def test_a_folder_format_needs_a_folder(swept: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(UsageError, match="folder of files"):
        export(swept, "clip-benchmark", tmp_path / "file")
