"""Many workers: nothing lost whatever dies, and what handing out takes.

    python bench/cluster.py [PART ...] [--checkpoints 200]

Parts:
    ray     a Ray cluster on this machine (a head and two nodes of two pretended GPUs, engines on
            the CPU), 4 actors; after every 10 finished checkpoints an actor is killed, and in the
            middle a node goes and another comes; the table against one local process's
    shard   two shares into one folder, one of them killed and started again; its table, too

About 4 minutes on two cores; --quick takes 2. `bench/series.py` reckons with the figures.
"""

from __future__ import annotations

import os
import random
import shutil
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import workload
from peers import ours
from peers.common import Request
from report import ROOT, Report, parser

sys.path.insert(0, str(ROOT / "tests" / "sweeper"))

KILL_EVERY = 10
ENVIRONMENT = {"RAY_health_check_period_ms": "500", "RAY_health_check_failure_threshold": "6"}
"""A node that is gone is noticed in seconds and not in half a minute."""


def main() -> int:
    """Run the parts that were asked for."""
    made = parser(__doc__, "cluster")
    made.add_argument("parts", nargs="*", default=["ray", "shard"])
    made.add_argument("--checkpoints", type=int)
    options = made.parse_args()
    count = options.checkpoints or (30 if options.quick else 200)
    report = Report(options)
    folder = options.work / "cluster"
    shutil.rmtree(folder, ignore_errors=True)
    request = make_request(options.work, count)
    began = time.monotonic()
    ours.sweep(request, folder / "alone", folder / "cache", "--workers", "1")
    report.put("alone", {"checkpoints": count, "seconds": time.monotonic() - began})
    if "ray" in options.parts:
        on_ray(request, folder, report)
    if "shard" in options.parts:
        in_shares(request, folder, report)
    return report.finish()


def make_request(work: Path, count: int) -> Request:
    """Next to nothing per checkpoint, so that what is around it shows."""
    sets = workload.make_sets(work, 0.04)
    run = workload.make_checkpoints(work, "nano", count, optimizer=False)
    files = (str(run),)
    model = workload.architecture(work, "nano")
    return Request(files, model, str(sets.tid), str(sets.cue), str(sets.cifar))


def on_ray(request: Request, folder: Path, report: Report) -> None:
    """Four actors, killed again and again."""
    os.environ |= ENVIRONMENT
    import ray
    from kill_and_resume import records, table
    from ray.cluster_utils import Cluster

    from fastclip.sweeper.executors.ray_executor import RayPool
    from fastclip.sweeper.progress import Progress
    from fastclip.sweeper.run import sweep

    head = {"num_cpus": 0, "include_dashboard": False}
    cluster = Cluster(initialize_head=True, head_node_args=head)
    nodes = [cluster.add_node(num_cpus=2, num_gpus=2) for _ in range(2)]
    ray.init(address=cluster.address, log_to_driver=False)
    pools: list[Any] = []
    count = report.body["alone"]["checkpoints"]
    chance = random.Random(0)
    kills: list[str] = []

    class Pretended(RayPool):
        """Actors of one GPU each, though the engine is on the CPU."""

        def __init__(self, config: Any, settled: Any, count: int, share: Any) -> None:
            super().__init__(config, settled, count, {"num_gpus": 1, "num_cpus": 0})
            pools.append(self)

    class Killing(Progress):
        """Kills as checkpoints finish."""

        done = 0
        seconds = 0.0

        def checkpoint_done(self, name: str, **options: Any) -> None:
            super().checkpoint_done(name, **options)
            self.done += 1
            began = time.perf_counter()
            self._kill()
            self.seconds += time.perf_counter() - began

        def _kill(self) -> None:
            if self.done == count // 2:
                cluster.remove_node(nodes.pop(), allow_graceful=False)
                kills.append("node")
            elif self.done == count // 2 + KILL_EVERY // 2:
                nodes.append(cluster.add_node(num_cpus=2, num_gpus=2))
            elif self.done % KILL_EVERY == 0 and self.done < count:
                victim = chance.choice(sorted(pools[0]._lives))
                with suppress(ray.exceptions.RayError):  # gone already
                    pid = ray.get(pools[0]._actors[victim].pid.remote(), timeout=5)
                    os.kill(pid, signal.SIGKILL)
                    kills.append(victim)

    import fastclip.sweeper.executors.ray_executor as executor

    executor.RayPool = Pretended  # type: ignore[misc]
    out = folder / "ray"
    config = ours.config_for(request, out, folder / "cache", workers=1, executor="ray", processes=4)
    began = time.monotonic()
    killing = Killing(live=False)
    outcome = sweep(config, killing)
    seconds = time.monotonic() - began
    ray.shutdown()
    cluster.shutdown()
    alone = folder / "alone"
    report.put(
        "ray",
        {
            "checkpoints": count,
            "actors": 4,
            "seconds": seconds,
            "actors_killed": sum(kill != "node" for kill in kills),
            "nodes_removed": kills.count("node"),
            "failed": len(outcome.failures),
            "records": records(out),
            "records_alone": records(alone),
            "tables_byte_equal": table(out) == table(alone),
            "driver_seconds_per_checkpoint": (outcome.driver_seconds - killing.seconds) / count,
        },
    )


def in_shares(request: Request, folder: Path, report: Report) -> None:
    """Two shares, one killed in the middle and started again."""
    from kill_and_resume import records, table

    out = folder / "shares"

    def share(number: int) -> subprocess.Popen[bytes]:
        arguments = ours.sweep_arguments(request, out, folder / "cache")
        extra = ["--workers", "1", "-q", "--shard", f"{number}/2"]
        return subprocess.Popen(
            [sys.executable, "-m", "fastclip", *arguments, *extra],
            env={**os.environ, "PYTHONPATH": str(ROOT)},
        )

    began = time.monotonic()
    first, second = share(1), share(2)
    goal = report.body["alone"]["checkpoints"] * 3 // 4
    while records(out) < goal and second.poll() is None:
        time.sleep(0.02)
    second.kill()
    second.wait()
    left = records(out)
    codes = [first.wait(), share(2).wait()]
    report.put(
        "shard",
        {
            "seconds": time.monotonic() - began,
            "records_when_killed": left,
            "exit_codes": codes,
            "records": records(out),
            "tables_byte_equal": table(out) == table(folder / "alone"),
        },
    )


if __name__ == "__main__":
    sys.exit(main())
