"""A Ray cluster of several nodes on this machine: the same tables, whatever dies."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from kill_and_resume import table
from watch import Watch

import fastclip
from fastclip.sweeper.executors import ray_executor
from fastclip.sweeper.executors.process_pool import ProcessPool
from fastclip.sweeper.executors.ray_executor import RayPool
from fastclip.sweeper.progress import Progress

ray = pytest.importorskip("ray")
pytestmark = pytest.mark.alone  # several Ray nodes at a time are enough for any machine

CHECKPOINTS = 8
DEADLY = Path(__file__).with_name("deadly_process.py")


@pytest.fixture(scope="module")
def cluster() -> Iterator[Any]:
    """A head without work and two nodes of two pretended GPUs."""
    from ray.cluster_utils import Cluster

    with pytest.MonkeyPatch.context() as patch:
        # A node that is gone is noticed in seconds and not in half a minute.
        patch.setenv("RAY_health_check_period_ms", "500")
        patch.setenv("RAY_health_check_failure_threshold", "6")
        made = Cluster(
            initialize_head=True, head_node_args={"num_cpus": 0, "include_dashboard": False}
        )
        nodes = [made.add_node(num_cpus=2, num_gpus=2) for _ in range(2)]
        made.nodes_to_remove = nodes
        ray.init(address=made.address, log_to_driver=False)
        yield made
        ray.shutdown()
        made.shutdown()


@pytest.fixture
def sweep(
    longer_run: Path, sets: tuple[str, ...], shared_cache: Path, tmp_path: Path, cluster: Any
) -> Any:
    """Sweep with two actors into `tmp_path`."""

    def sweep(progress: Progress, **options: Any) -> Any:
        return fastclip.sweep(
            longer_run, tmp_path, data=sets, cache_dir=shared_cache, engine="torch", workers=1,
            executor="ray", progress=progress, **({"processes": 2} | options),
        )  # fmt: skip

    return sweep


def test_actors_write_one_process_s_table(sweep: Any, tmp_path: Path, alone: str) -> None:
    watch = Watch()
    rows = sweep(watch)
    assert not rows.attrs["failures"]
    assert table(tmp_path) == alone
    assert sum("by worker-" in line for line in watch.said) == CHECKPOINTS
    assert sorted(p.name for p in (tmp_path / "logs").iterdir()) == ["worker-1.log", "worker-2.log"]


def test_an_actor_is_killed_and_a_node_goes_and_another_comes(
    sweep: Any, cluster: Any, tmp_path: Path, alone: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Actors on pretended GPUs, engines on the CPU."""
    pools: list[RayPool] = []
    init = RayPool.__init__

    def on_gpus(self: RayPool, config: Any, settled: Any, count: int, share: Any) -> None:
        pools.append(self)
        init(self, config, settled, 3, {"num_gpus": 1, "num_cpus": 0})

    monkeypatch.setattr(RayPool, "__init__", on_gpus)

    def disturb(count: int) -> None:
        if count == 1:
            victim = sorted(pools[0]._lives)[0]
            os.kill(ray.get(pools[0]._actors[victim].pid.remote()), signal.SIGKILL)
        if count == 3:
            cluster.remove_node(cluster.nodes_to_remove.pop(), allow_graceful=False)
        if count == 5:
            cluster.add_node(num_cpus=2, num_gpus=2)

    watch = Watch(disturb)
    rows = sweep(watch)
    assert any("is lost" in line for line in watch.said)
    assert not rows.attrs["failures"]
    assert table(tmp_path) == alone


def test_a_checkpoint_that_kills_two_workers_is_failed(
    sweep: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The actors outlive the processes that measure, and tell what these died of."""
    init = ray_executor.Actor.__init__

    def deadly(self: Any, *first: Any) -> None:
        os.environ["DEADLY"] = "epoch_3.pt"
        ProcessPool.command = (sys.executable, str(DEADLY))
        init(self, *first)

    monkeypatch.setattr(ray_executor.Actor, "__init__", deadly)
    watch = Watch()
    rows = sweep(watch)
    assert list(rows.attrs["failures"]) == ["tiny/epoch_3.pt"]
    assert "2 workers died" in rows.attrs["failures"]["tiny/epoch_3.pt"]
    assert sum(" died (signal SIGKILL)" in line for line in watch.said) == 2
    assert rows["checkpoint"].nunique() == CHECKPOINTS - 1


@pytest.mark.parametrize("address", ["127.0.0.1:1", "ray://127.0.0.1:1", "nowhere.invalid:6379"])
def test_an_address_at_which_nobody_answers_is_refused_at_once(address: str) -> None:
    from fastclip.errors import RefusalError
    from fastclip.sweeper.config import SweepConfig

    config = SweepConfig(("x",), Path("out"), executor="ray", address=address)
    with pytest.raises(RefusalError, match="no Ray cluster can be joined"):
        ray_executor.RayExecutor(config)


def test_without_ray_it_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    from fastclip.errors import RefusalError
    from fastclip.sweeper.config import SweepConfig

    monkeypatch.setattr(ray_executor, "find_spec", lambda name: None)
    with pytest.raises(RefusalError, match=r"(?s)ray is not installed.*fastclip\[ray\]"):
        ray_executor.RayExecutor(SweepConfig(("x",), Path("out"), executor="ray"))
