"""Bad input: each has its message, its mend and its exit code."""

from __future__ import annotations

import json
import os
import pickle
import resource
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from make_run import TINY_CONFIG, make_run, save_checkpoint, tiny_state
from make_sets import make_cifar100, make_cue_conflict, make_tid2013

from fastclip.errors import UsageError

Run = Callable[..., tuple[int, str]]


@pytest.fixture
def fastclip(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Run:
    """Call the command in this process; returns its exit code and everything it printed."""
    from fastclip.cli import main

    def run(*words: object) -> tuple[int, str]:
        monkeypatch.setattr(sys, "argv", ["fastclip", *map(str, words)])
        with pytest.raises(SystemExit) as left:
            main()
        printed = capfd.readouterr()
        return int(left.value.code or 0), printed.out + printed.err

    return run


@pytest.fixture(scope="module")
def run_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_run(tmp_path_factory.mktemp("runs"), epochs=1)


@pytest.fixture(scope="module")
def cifar(tmp_path_factory: pytest.TempPathFactory) -> str:
    return f"cifar100:toy-cifar={make_cifar100(tmp_path_factory.mktemp('sets') / 'cifar')}"


@pytest.fixture(autouse=True)
def one_cache(run_folder: Path, own_cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One cache for the whole file: the graph is exported once."""
    monkeypatch.setenv("FASTCLIP_CACHE", str(run_folder.parent / "cache"))


def sweep(fastclip: Run, run: object, tmp_path: Path, *words: object) -> tuple[int, str]:
    return fastclip("sweep", run, "-o", tmp_path / "out", "--no-progress", "--workers", 1, *words)


def tid(tmp_path: Path) -> Path:
    return make_tid2013(tmp_path / "tid")


def test_no_checkpoints_given(fastclip: Run) -> None:
    code, text = fastclip("sweep")
    assert code == 2
    assert "no checkpoints given" in text


def test_empty_folder(fastclip: Run, tmp_path: Path, cifar: str) -> None:
    (tmp_path / "ckpts").mkdir()
    code, text = sweep(fastclip, tmp_path / "ckpts", tmp_path, "--data", cifar)
    assert code == 2
    assert str(tmp_path / "ckpts") in text
    assert "mend:" in text


def test_no_data(fastclip: Run, run_folder: Path, tmp_path: Path) -> None:
    code, text = sweep(fastclip, run_folder, tmp_path)
    assert code == 2
    assert "--data-dir" in text


def test_unknown_task_lists_the_tasks(fastclip: Run, run_folder: Path, tmp_path: Path) -> None:
    code, text = sweep(fastclip, run_folder, tmp_path, "--tasks", "iqs")
    assert code == 2
    assert "iqa, shape-bias, robustness, embedding-diagnostics" in text


def test_truncated_checkpoint_fails_alone(fastclip: Run, tmp_path: Path, cifar: str) -> None:
    run = make_run(tmp_path, epochs=2)
    whole = (run / "epoch_2.pt").read_bytes()
    (run / "epoch_3.pt").write_bytes(whole[: len(whole) // 2])
    code, text = sweep(fastclip, run, tmp_path, "--data", cifar)
    assert code == 0, text
    assert "epoch_3.pt: skipped, no zip end record: still being written" in text
    an_hour_ago = time.time() - 3600
    os.utime(run / "epoch_3.pt", (an_hour_ago, an_hour_ago))
    code, text = sweep(fastclip, run, tmp_path, "--data", cifar)
    assert code == 1, text
    assert "cut short" in text
    (run / "epoch_3.pt").write_bytes(whole[:1000] + bytes(2000) + whole[3000:])
    code, text = sweep(fastclip, run, tmp_path, "--data", cifar)
    assert code == 1, text
    assert "failed: " in text
    assert "epoch_3.pt" in text


class Forbidden:
    def __reduce__(self) -> tuple[object, tuple[str]]:
        return (print, ("this must never be printed",))


def test_forbidden_global(fastclip: Run, tmp_path: Path, cifar: str) -> None:
    run = make_run(tmp_path, epochs=1)
    body = {"state_dict": tiny_state(2), "epoch": 2, "hook": Forbidden()}
    torch.save(body, run / "epoch_2.pt")
    code, text = sweep(fastclip, run, tmp_path, "--data", cifar)
    assert code == 1, text
    assert "print" in text
    assert "--trust-pickle" in text
    assert "this must never be printed" not in text.replace("print", "", 1).splitlines()


def test_wrong_architecture(fastclip: Run, run_folder: Path, tmp_path: Path, cifar: str) -> None:
    config = json.loads(json.dumps(TINY_CONFIG))
    config["vision_cfg"]["width"] = 48
    (tmp_path / "other.json").write_text(json.dumps(config))
    code, text = sweep(
        fastclip, run_folder, tmp_path, "--data", cifar, "--model", tmp_path / "other.json"
    )
    assert code == 1, text
    assert "visual." in text
    assert "--model" in text


def test_nan_weights(fastclip: Run, tmp_path: Path, cifar: str) -> None:
    run = make_run(tmp_path, epochs=1)
    state = tiny_state(2)
    state["visual.ln_post.bias"][3] = float("nan")
    save_checkpoint(run / "epoch_2.pt", 2, state)
    code, text = sweep(fastclip, run, tmp_path, "--data", cifar)
    assert code == 1, text
    assert "visual.ln_post.bias" in text


def test_missing_reference_picture(fastclip: Run, run_folder: Path, tmp_path: Path) -> None:
    path = tid(tmp_path)
    (path / "reference_images" / "I02.BMP").unlink()
    code, text = sweep(fastclip, run_folder, tmp_path, "--data", f"tid2013:toy={path}")
    assert code == 3, text
    assert "02" in text
    assert "--partial" in text


def test_score_without_picture(fastclip: Run, run_folder: Path, tmp_path: Path) -> None:
    path = tid(tmp_path)
    with (path / "mos_with_names.txt").open("a") as table:
        table.write("3.00000 i09_01_1.bmp\r\n")
    code, text = sweep(fastclip, run_folder, tmp_path, "--data", f"tid2013:toy={path}")
    assert code == 3, text
    assert "i09_01_1.bmp" in text.lower()
    code, text = sweep(fastclip, run_folder, tmp_path, "--data", f"tid2013:toy={path}", "--partial")
    assert code == 0, text
    assert "toy[18/19]" in (tmp_path / "out" / "results.csv").read_text()


def test_corrupt_picture(fastclip: Run, run_folder: Path, tmp_path: Path) -> None:
    path = make_cue_conflict(tmp_path / "cue")
    victim = path / "bear" / "bear1-bird1.png"
    victim.write_bytes(victim.read_bytes()[:200])
    code, text = sweep(fastclip, run_folder, tmp_path, "--data", f"cue-conflict:toy={path}")
    assert code == 3, text
    assert "bear1-bird1.png" in text
    assert "--skip-bad-pictures" in text
    code, text = sweep(
        fastclip, run_folder, tmp_path, "--data", f"cue-conflict:toy={path}", "--skip-bad-pictures"
    )
    assert code == 0, text
    assert "toy[15/16]" in (tmp_path / "out" / "results.csv").read_text()


def test_hostile_cifar_pickle(fastclip: Run, run_folder: Path, tmp_path: Path) -> None:
    path = make_cifar100(tmp_path / "cifar")
    (path / "test").write_bytes(pickle.dumps({"data": Forbidden(), "fine_labels": []}))
    code, text = sweep(fastclip, run_folder, tmp_path, "--data", f"cifar100:toy={path}")
    assert code == 3, text
    assert "print" in text


def test_unwritable_output(fastclip: Run, run_folder: Path, tmp_path: Path, cifar: str) -> None:
    (tmp_path / "out").write_text("a file where the folder should be")
    code, text = sweep(fastclip, run_folder, tmp_path, "--data", cifar)
    assert code == 3, text
    assert "cannot be written" in text


def test_full_disk_leaves_no_half_file(run_folder: Path, tmp_path: Path, cifar: str) -> None:
    cache = tmp_path / "cache"
    line = [
        sys.executable, "-m", "fastclip", "sweep", str(run_folder), "-o", str(tmp_path / "out"),
        "--data", cifar, "--cache-dir", str(cache), "--no-progress", "--memory", "mapped",
    ]  # fmt: skip
    limit = 60_000  # smaller than a view of 20 pictures of 32 x 32, larger than the records
    done = subprocess.run(
        line,
        capture_output=True,
        text=True,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit)),
    )
    assert done.returncode == 3, done.stderr
    assert "Traceback" not in done.stderr
    assert "space" in done.stderr
    left = [p for folder in (cache, tmp_path / "out") for p in folder.rglob(".tmp-*")]
    assert not left
    shutil.rmtree(cache)
    assert subprocess.run(line, capture_output=True).returncode == 0


def test_underscore_spelling_and_config_file(
    fastclip: Run, run_folder: Path, tmp_path: Path, cifar: str
) -> None:
    (tmp_path / "sweep.toml").write_text(
        f'[sweep]\ntasks = ["robustness"]\nsigma = "0.2"\ndata = ["{cifar}"]\nworkers = 1\n'
    )
    code, text = fastclip(
        "sweep", run_folder, "--output_dir", tmp_path / "out", "--config", tmp_path / "sweep.toml",
        "--no_progress",
    )  # fmt: skip
    assert code == 0, text
    assert ",0.2," in (tmp_path / "out" / "results.csv").read_text()
    (tmp_path / "sweep.toml").write_text("sigmas = 1\n")
    code, text = fastclip("sweep", run_folder, "--config", tmp_path / "sweep.toml")
    assert code == 2
    assert "sigmas" in text


def test_environment_gives_options(
    fastclip: Run, run_folder: Path, tmp_path: Path, cifar: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FASTCLIP_DATA", cifar)
    monkeypatch.setenv("FASTCLIP_SIGMA", "0.3")
    code, text = sweep(fastclip, run_folder, tmp_path)
    assert code == 0, text
    assert ",0.3," in (tmp_path / "out" / "results.csv").read_text()


def test_a_refused_call_settles_nothing(
    fastclip: Run, run_folder: Path, tmp_path: Path, cifar: str
) -> None:
    code, text = sweep(fastclip, run_folder, tmp_path, "--data", cifar, "--precision", "fp16")
    assert code == 2, text
    assert "fp32" in text
    assert not (tmp_path / "out" / "config.json").exists()
    code, text = sweep(fastclip, run_folder, tmp_path, "--data", cifar)
    assert code == 0, text


def test_too_many_failures_stop_with_one(fastclip: Run, tmp_path: Path, cifar: str) -> None:
    run = make_run(tmp_path, epochs=1)
    for epoch in (2, 3):
        state = tiny_state(epoch)
        state["visual.proj"][0] = float("nan")
        save_checkpoint(run / f"epoch_{epoch}.pt", epoch, state)
    code, text = sweep(fastclip, run, tmp_path, "--data", cifar, "--max-failures", "1")
    assert code == 1, text
    assert "more than 1 checkpoints failed" in text


def test_table_that_is_not_utf8(fastclip: Run, run_folder: Path, tmp_path: Path) -> None:
    table = "reference,distorted,score\n\xe4.png,b.png,1\n"
    (tmp_path / "scores.csv").write_bytes(table.encode("latin1"))
    code, text = sweep(
        fastclip, run_folder, tmp_path, "--data", f"iqa:mine={tmp_path / 'scores.csv'}",
        "--lower-is-better",
    )  # fmt: skip
    assert code == 3, text
    assert "UTF-8" in text


def test_a_config_that_is_not_json(
    fastclip: Run, run_folder: Path, tmp_path: Path, cifar: str
) -> None:
    (tmp_path / "bad.json").write_text("{")
    code, text = sweep(fastclip, run_folder, tmp_path, "--data", cifar, "-m", tmp_path / "bad.json")
    assert code == 2, text
    assert "not a JSON config" in text


def test_toml_lists_and_python_forms(run_folder: Path, tmp_path: Path, cifar: str) -> None:
    import fastclip as package

    rows = package.sweep(
        [run_folder], tmp_path / "out", data=cifar, tasks="robustness", sigma=[0.1, 0.2],
        epochs="1:1", batch_size="auto", workers=1,
    )  # fmt: skip
    assert set(rows["level"].dropna()) == {0.1, 0.2}
    with pytest.raises(UsageError, match="less than 1"):
        package.sweep(run_folder, tmp_path / "out", data=cifar, limit=0)
