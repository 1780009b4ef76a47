"""Several worker processes on this machine: the same tables, and nothing lost when one dies."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from kill_and_resume import table
from make_run import make_run, save_checkpoint, tiny_state
from watch import Watch

import fastclip
from fastclip.errors import FastclipError, RefusalError, UsageError
from fastclip.sweeper.config import SweepConfig
from fastclip.sweeper.executors.process_pool import ProcessPool, seats

CHECKPOINTS = 8


def test_two_processes_one_of_them_killed_write_one_process_s_table(
    longer_run: Path,
    sets: tuple[str, ...],
    shared_cache: Path,
    tmp_path: Path,
    alone: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    pools: list[ProcessPool] = []
    enter = ProcessPool.__enter__
    monkeypatch.setattr(ProcessPool, "__enter__", lambda self: (pools.append(self), enter(self))[1])
    killed: list[int] = []

    def kill_once(_: int) -> None:
        if not killed:
            killed.append(pools[0].pid("worker-1"))
            os.kill(killed[0], signal.SIGKILL)

    watch = Watch(kill_once)
    rows = fastclip.sweep(
        longer_run,
        tmp_path,
        data=sets,
        cache_dir=shared_cache,
        engine="torch",
        workers=1,
        processes=2,
        progress=watch,
    )
    assert killed
    assert any("worker-1 died (signal SIGKILL)" in line for line in watch.said)
    assert not rows.attrs["failures"]
    assert table(tmp_path) == alone
    logs = sorted(path.name for path in (tmp_path / "logs").iterdir())
    assert logs == ["worker-1.log", "worker-2.log"]
    assert sum("by worker-" in line for line in watch.said) == CHECKPOINTS
    assert json.loads((tmp_path / "config.json").read_text())["threads"] == 1


def test_a_checkpoint_that_kills_two_workers_is_failed_and_so_is_a_broken_one(
    sets: tuple[str, ...], shared_cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = make_run(tmp_path / "runs", 5)
    break_checkpoint(run, 5)
    monkeypatch.setenv("DEADLY", "epoch_3.pt")
    deadly = str(Path(__file__).with_name("deadly_process.py"))
    monkeypatch.setattr(ProcessPool, "command", (sys.executable, deadly))
    watch = Watch()
    out = tmp_path / "out"
    rows = fastclip.sweep(
        run, out, data=sets, cache_dir=shared_cache, engine="torch", processes=2, progress=watch
    )
    failures = rows.attrs["failures"]
    assert sorted(failures) == ["tiny/epoch_3.pt", "tiny/epoch_5.pt"]
    assert "2 workers died while they had this checkpoint" in failures["tiny/epoch_3.pt"]
    assert sum(" died (" in line for line in watch.said) == 2
    assert len(list((out / "failures").iterdir())) == 2
    assert rows["checkpoint"].nunique() == 3


def break_checkpoint(run: Path, epoch: int) -> None:
    """Write a checkpoint that is not finite."""
    broken = tiny_state(epoch)
    broken["visual.conv1.weight"][:] = float("nan")
    save_checkpoint(run / f"epoch_{epoch}.pt", epoch, broken)


def test_too_many_failures_end_the_workers(
    sets: tuple[str, ...], shared_cache: Path, tmp_path: Path
) -> None:
    run = make_run(tmp_path / "runs", 4)
    for epoch in range(1, 5):
        break_checkpoint(run, epoch)
    with pytest.raises(FastclipError, match="more than 1 checkpoints failed"):
        fastclip.sweep(
            run,
            tmp_path / "out",
            data=sets,
            cache_dir=shared_cache,
            engine="torch",
            processes=2,
            max_failures=1,
        )


def test_a_worker_that_sees_another_folder_refuses(
    longer_run: Path,
    sets: tuple[str, ...],
    shared_cache: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(
        "fastclip.sweeper.executors.local.digest_of_settled", lambda settled: "another"
    )
    with pytest.raises(RefusalError, match=r"finds another config\.json than the driver's"):
        fastclip.sweep(
            longer_run, tmp_path, data=sets, cache_dir=shared_cache, engine="torch", processes=2
        )


def test_a_second_sweep_starts_no_worker(
    longer_run: Path,
    sets: tuple[str, ...],
    shared_cache: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    options = {"data": sets, "cache_dir": shared_cache, "workers": 1}
    fastclip.sweep(longer_run, tmp_path, **options)
    monkeypatch.setattr(ProcessPool, "__enter__", lambda self: pytest.fail("a worker was started"))
    fastclip.sweep(longer_run, tmp_path, processes=2, **options)


def test_workers_go_when_their_driver_is_killed(
    longer_run: Path, sets: tuple[str, ...], shared_cache: Path, tmp_path: Path
) -> None:
    data = [word for one in sets for word in ("--data", one)]
    line = [sys.executable, "-m", "fastclip", "sweep", str(longer_run), "-o", str(tmp_path), *data]
    line += ["--cache-dir", str(shared_cache), "--processes", "2", "--engine", "torch"]
    driver = subprocess.Popen(line, stderr=subprocess.PIPE, text=True)
    assert driver.stderr is not None
    reader = threading.Thread(target=driver.stderr.read, daemon=True)
    while not (tmp_path / "records").is_dir() and driver.poll() is None:
        time.sleep(0.05)
    reader.start()
    driver.kill()
    driver.wait()
    deadline = time.monotonic() + 60
    while workers_of(tmp_path) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert not workers_of(tmp_path)


def workers_of(out: Path) -> list[int]:
    """Processes that have a log of this output folder open."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if str(out / "logs") in str((process / "fd" / "1").readlink()):
                found.append(int(process.name))
        except OSError:
            continue
    return found


def test_cores_are_shared_out() -> None:
    cores = sorted(os.sched_getaffinity(0))
    shares = [seat.cores for seat in seats(2, "cpu").values()]
    if len(cores) > 1:
        assert sorted(core for share in shares for core in share) == cores
    assert [len(seat.cores) > 0 for seat in seats(len(cores) + 1, "cpu").values()] == [True] * (
        len(cores) + 1
    )


def test_more_processes_than_gpus_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "4,7")
    assert [s.environment for s in seats(2, "cuda").values()] == [
        {"CUDA_VISIBLE_DEVICES": "4"},
        {"CUDA_VISIBLE_DEVICES": "7"},
    ]
    with pytest.raises(UsageError, match="each needs a GPU, and there are 2"):
        seats(3, "cuda")
    with pytest.raises(UsageError, match="2 processes on 'cuda:1'"):
        seats(2, "cuda:1")


def test_an_unknown_executor_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"(?s)unknown executor 'slurm'.*local, ray"):
        fastclip.sweep(tmp_path, tmp_path / "out", executor="slurm")


@pytest.mark.parametrize("options", [{"processes": -1}, {"workers": -1}])
def test_less_than_none_is_refused(options: dict[str, int]) -> None:
    with pytest.raises(UsageError, match="-1 is less than 0"):
        SweepConfig(("x",), Path("out"), **options)


def test_a_folder_s_own_modules_are_not_the_workers(
    longer_run: Path, sets: tuple[str, ...], shared_cache: Path, tmp_path: Path
) -> None:
    """A user's `queue.py` where the sweep is started has no say."""
    here = tmp_path / "here"
    here.mkdir()
    (here / "queue.py").write_text("raise SystemExit('a user's script')\n")
    data = [word for one in sets for word in ("--data", one)]
    line = [sys.executable, "-P", "-m", "fastclip", "sweep", str(longer_run), *data]
    line += [
        "-o",
        "out",
        "--cache-dir",
        str(shared_cache),
        "--processes",
        "2",
        "--engine",
        "torch",
        "--every",
        "4",
    ]
    subprocess.run([*line, "-q"], cwd=here, check=True)
