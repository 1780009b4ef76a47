"""The whole sweep on a tiny run: what is measured, what is kept, what is measured again."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

import fastclip
from fastclip.errors import CheckpointError, UsageError
from fastclip.results.table import COLUMNS

TIMING = ["seconds"]


@pytest.fixture(scope="module")
def swept(
    run_folder: Path,
    sets: tuple[str, ...],
    shared_cache: Path,
    tmp_path_factory: pytest.TempPathFactory,
) -> tuple[Path, pd.DataFrame]:
    out = tmp_path_factory.mktemp("swept") / "out"
    return out, fastclip.sweep(run_folder, out, data=sets, cache_dir=shared_cache, workers=1)


def again(
    swept: tuple[Path, pd.DataFrame], run: Path, sets: tuple[str, ...], cache: Path, **more: Any
) -> pd.DataFrame:
    return fastclip.sweep(run, swept[0], data=sets, cache_dir=cache, workers=1, **more)


def test_rows_are_tidy(swept: tuple[Path, pd.DataFrame]) -> None:
    out, rows = swept
    assert list(rows.columns) == list(COLUMNS)
    assert not rows.attrs["failures"]
    factors = [c for c in COLUMNS if c not in ("value", "flag", *TIMING)]
    assert not rows.duplicated(factors).any()
    assert set(rows["task"]) == {"iqa", "shape-bias", "robustness", "embedding-diagnostics"}
    assert set(rows["dataset"]) == {"toy-tid2013", "toy-cue-conflict", "toy-cifar"}
    assert (rows["value"].notna() | rows["flag"].notna()).all()
    assert rows["protocol_id"].nunique() == 6
    written = pd.read_csv(out / "results.csv", keep_default_na=False)
    assert list(written.columns) == list(COLUMNS)
    assert len(written) == len(rows)


def test_order_and_place_in_training(swept: tuple[Path, pd.DataFrame]) -> None:
    _, rows = swept
    places = rows.drop_duplicates("checkpoint")[["checkpoint", "epoch", "step", "samples_seen"]]
    assert places["checkpoint"].str.endswith(("epoch_1.pt", "epoch_2.pt", "epoch_3.pt")).all()
    assert places["epoch"].tolist() == [1, 2, 3]
    assert places["step"].tolist() == [10, 20, 30]
    assert places["samples_seen"].tolist() == [640, 1280, 1920]


def test_second_sweep_measures_nothing(
    swept: tuple[Path, pd.DataFrame], run_folder: Path, sets: tuple[str, ...], shared_cache: Path
) -> None:
    before = {p: p.stat().st_mtime_ns for p in (swept[0] / "records").rglob("*")}
    rows = again(swept, run_folder, sets, shared_cache)
    assert {p: p.stat().st_mtime_ns for p in (swept[0] / "records").rglob("*")} == before
    pd.testing.assert_frame_equal(rows, swept[1])


def test_a_new_level_computes_only_what_is_missing(
    swept: tuple[Path, pd.DataFrame], run_folder: Path, sets: tuple[str, ...], shared_cache: Path
) -> None:
    before = set((swept[0] / "records").rglob("*.json"))
    rows = again(swept, run_folder, sets, shared_cache, sigma="0.1,0.2")
    new = set((swept[0] / "records").rglob("*.json")) - before
    assert len(new) == 3
    assert {json.loads(p.read_text())["protocol"]["distortion"]["level"] for p in new} == {0.2}
    assert set(rows["level"].dropna()) >= {0.1, 0.2}
    fresh = fastclip.sweep(
        run_folder, swept[0].parent / "fresh", data=sets, cache_dir=shared_cache, workers=1,
        sigma="0.2", tasks=("robustness",),
    )  # fmt: skip
    keys = ["checkpoint", "metric"]
    both = [
        frame[frame["level"] == 0.2].set_index(keys)["value"].sort_index()
        for frame in (rows, fresh)
    ]
    pd.testing.assert_series_equal(*both)


def test_torch_engine_agrees(
    swept: tuple[Path, pd.DataFrame],
    run_folder: Path,
    sets: tuple[str, ...],
    shared_cache: Path,
    tmp_path: Path,
) -> None:
    rows = fastclip.sweep(
        run_folder, tmp_path / "torch", data=sets, cache_dir=shared_cache, workers=1, engine="torch"
    )
    ours = swept[1].merge(
        rows,
        on=[
            "checkpoint",
            "dataset",
            "prompts",
            "metric",
            "subset",
            "distance",
            "distortion",
            "level",
            "category",
        ],
    )
    assert len(ours) == len(rows)
    np.testing.assert_allclose(
        ours["value_x"].astype(float), ours["value_y"].astype(float), atol=2e-4
    )


def test_another_engine_or_precision_is_refused(
    swept: tuple[Path, pd.DataFrame], run_folder: Path, sets: tuple[str, ...], shared_cache: Path
) -> None:
    with pytest.raises(UsageError, match="holds onnxruntime fp32") as caught:
        again(swept, run_folder, sets, shared_cache, engine="torch")
    assert caught.value.mend is not None
    assert "--rescore" in caught.value.mend


def test_rescore_and_back(
    run_folder: Path, sets: tuple[str, ...], shared_cache: Path, tmp_path: Path
) -> None:
    options: dict[str, Any] = {
        "data": sets, "cache_dir": shared_cache, "workers": 1, "tasks": ("iqa",), "epochs": (1, 1),
    }  # fmt: skip
    first = fastclip.sweep(run_folder, tmp_path, **options)
    other = fastclip.sweep(run_folder, tmp_path, engine="torch", rescore=True, **options)
    assert set(other["engine"]) == {"torch"}
    assert len(other) == len(first)
    back = fastclip.sweep(run_folder, tmp_path, engine="onnxruntime", rescore=True, **options)
    pd.testing.assert_frame_equal(back, first)


def test_a_tokenizer_that_changed_is_another_protocol(
    swept: tuple[Path, pd.DataFrame],
    run_folder: Path,
    sets: tuple[str, ...],
    shared_cache: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from fastclip.sweeper import agenda

    real = agenda.token_ids

    def reversed_ids(*arguments: Any) -> Any:
        ids, eot = real(*arguments)
        return ids[::-1].copy(), eot[::-1].copy()

    monkeypatch.setattr(agenda, "token_ids", reversed_ids)
    rows = fastclip.sweep(
        run_folder, tmp_path, data=sets, cache_dir=shared_cache, workers=1, epochs=(1, 1)
    )
    before, after = (
        {task: set(frame[frame["task"] == task]["protocol_id"]) for task in ("iqa", "robustness")}
        for frame in (swept[1], rows)
    )
    assert before["iqa"] == after["iqa"]
    assert not before["robustness"] & after["robustness"]


def test_samples_seen_that_are_known_later_are_told(
    sets: tuple[str, ...], shared_cache: Path, tmp_path: Path
) -> None:
    import torch
    from make_run import make_run, tiny_state

    folder = make_run(tmp_path, epochs=1)
    torch.save({"state_dict": tiny_state(1), "epoch": 1}, folder / "epoch_1.pt")
    options: dict[str, Any] = {
        "data": sets, "cache_dir": shared_cache, "workers": 1, "tasks": ("iqa",),
    }  # fmt: skip
    first = fastclip.sweep(folder, tmp_path / "out", **options)
    assert first["samples_seen"].isna().all()
    again = fastclip.sweep(folder, tmp_path / "out", samples_per_epoch=777, **options)
    assert set(again["samples_seen"]) == {777}


def test_weights_that_are_gone_leave_the_table(
    sets: tuple[str, ...], shared_cache: Path, tmp_path: Path
) -> None:
    from make_run import make_run, save_checkpoint, tiny_state

    folder = make_run(tmp_path, epochs=2)
    options: dict[str, Any] = {
        "data": sets, "cache_dir": shared_cache, "workers": 1, "tasks": ("iqa",),
    }  # fmt: skip
    fastclip.sweep(folder, tmp_path / "out", **options)
    state = tiny_state(1)
    state["visual.proj"][:] = float("inf")
    save_checkpoint(folder / "epoch_1.pt", 1, state)
    rows = fastclip.sweep(folder, tmp_path / "out", **options)
    assert set(rows["epoch"]) == {2}
    assert list(rows.attrs["failures"]) == ["tiny/epoch_1.pt"]


def test_a_run_that_is_called_otherwise_is_not_measured_again(
    sets: tuple[str, ...], shared_cache: Path, tmp_path: Path
) -> None:
    from make_run import make_run

    first, second = make_run(tmp_path / "a", epochs=2), make_run(tmp_path / "b", epochs=1)
    options: dict[str, Any] = {
        "data": sets, "cache_dir": shared_cache, "workers": 1, "tasks": ("iqa",),
    }  # fmt: skip
    assert set(fastclip.sweep(first, tmp_path / "out", **options)["run"]) == {"tiny"}
    records = {p: p.stat().st_mtime_ns for p in (tmp_path / "out" / "records").rglob("*.json")}
    rows = fastclip.sweep([first, second], tmp_path / "out", **options)
    names = ["a/tiny/epoch_1.pt", "a/tiny/epoch_2.pt", "b/tiny/epoch_1.pt"]
    assert list(dict.fromkeys(rows["checkpoint"])) == names
    assert set(rows["arch"]) == {"tiny"}
    assert all(path.stat().st_mtime_ns == written for path, written in records.items())


def test_nan_weights_fail_one_checkpoint_only(
    run_folder: Path, sets: tuple[str, ...], shared_cache: Path, tmp_path: Path
) -> None:
    from make_run import make_run, save_checkpoint, tiny_state

    folder = make_run(tmp_path, epochs=2)
    state = tiny_state(7)
    state["visual.proj"][0, 0] = float("nan")
    save_checkpoint(folder / "epoch_3.pt", 3, state)
    rows = fastclip.sweep(folder, tmp_path / "out", data=sets, cache_dir=shared_cache, workers=1)
    assert rows["epoch"].dropna().unique().tolist() == [1, 2]
    (failure,) = rows.attrs["failures"].items()
    assert failure[0].endswith("epoch_3.pt")
    assert "visual.proj" in failure[1]
    assert "NaN" in failure[1] or "nan" in failure[1]
    assert len(list((tmp_path / "out" / "failures").iterdir())) == 1


def test_same_stamp_other_weights_is_an_error(
    sets: tuple[str, ...], shared_cache: Path, tmp_path: Path
) -> None:
    from make_run import make_run

    folder = make_run(tmp_path, epochs=1)
    options: dict[str, Any] = {"data": sets, "cache_dir": shared_cache, "workers": 1}
    fastclip.sweep(folder, tmp_path / "out", **options)
    (sighting,) = (tmp_path / "out" / "checkpoints").iterdir()
    body = json.loads(sighting.read_text())
    body["digest"] = "0" * 64
    sighting.write_text(json.dumps(body))
    rows = fastclip.sweep(folder, tmp_path / "out", rehash=True, **options)
    (error,) = rows.attrs["failures"].values()
    assert "other weights" in error
    assert issubclass(CheckpointError, Exception)


def test_memory_modes_give_the_same_rows(
    swept: tuple[Path, pd.DataFrame],
    run_folder: Path,
    sets: tuple[str, ...],
    shared_cache: Path,
    tmp_path: Path,
) -> None:
    for mode in ("mapped", "generated"):
        rows = fastclip.sweep(
            run_folder, tmp_path / mode, data=sets, cache_dir=shared_cache, workers=1, memory=mode,
            tasks=("robustness",), steps=(10, 10),
        )  # fmt: skip
        resident = swept[1][(swept[1]["task"] == "robustness") & (swept[1]["step"] == 10)]
        pd.testing.assert_frame_equal(
            rows.drop(columns=TIMING), resident.reset_index(drop=True).drop(columns=TIMING)
        )
