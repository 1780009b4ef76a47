"""A model of a large series: hours on 1 to 64 GPUs, and what is the limit.

    python bench/series.py

From what is measured on this machine (scoring here; `cluster.json`, `startup.json` and
`architectures.json` for the rest), an aim for the GPU and assumptions about storage, all of which
are told with the result. Half a minute.
"""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path
from statistics import median
from typing import Any

import workload
from peers import ours
from peers.common import Request
from report import RESULTS, Report, parser

SERIES = 73_768
"""Checkpoints of the largest public series."""

ASSUMED = {
    "gpu_seconds": 0.55,
    "checkpoint_bytes": 605e6,
    "gpus_per_node": 8,
    "node_bytes_per_second": 5e9,
    "storage_bytes_per_second": 20e9,
    "worker_start_seconds": 30.0,
    "architectures": 20,
}
"""Not measured: the aim for ViT-B-32 on a GPU, a cluster's storage, a GPU worker's start."""


def measure_behind(work: Path, folder: Path) -> dict[str, float]:
    """What a checkpoint costs the processor beside a GPU, on sets of TID2013's size; medians."""
    from fastclip.sweeper.progress import Progress
    from fastclip.sweeper.run import sweep

    class Seconds(Progress):
        """Keeps each checkpoint's stages."""

        def __init__(self) -> None:
            super().__init__(quiet=True)
            self.stages: list[dict[str, float]] = []

        def checkpoint_done(self, name: str, **options: Any) -> None:
            super().checkpoint_done(name, **options)
            self.stages.append(dict(options["seconds"]))

    sets = workload.make_sets(work)
    run = workload.make_checkpoints(work, "tiny", 5, optimizer=False)
    request = Request(
        (str(run),),
        workload.architecture(work, "tiny"),
        str(sets.tid),
        str(sets.cue),
        str(sets.cifar),
    )
    told = Seconds()
    sweep(ours.config_for(request, folder / "behind", folder / "cache"), told)
    return {
        f"{stage}_seconds": median(one[stage] for one in told.stages[1:])
        for stage in ("score", "write")
    }


def model(work: Path) -> dict[str, Any]:
    """A large series: what takes how long on so many GPUs, and what is the limit."""
    folder = work / "series"
    shutil.rmtree(folder, ignore_errors=True)
    startup = json.loads((RESULTS / "startup.json").read_text())["many"]
    exports = json.loads((RESULTS / "architectures.json").read_text())["results"]
    cluster = json.loads((RESULTS / "cluster.json").read_text())["ray"]
    many = startup["checkpoints"]
    measured = {
        **measure_behind(work, folder),
        "plan_seconds": startup["plan_new"]["median"] / many,
        "decide_seconds": startup["decide"]["median"] / many,
        "table_seconds": (startup["whole_second_sweep"]["wall"] - startup["decide"]["median"])
        / many,
        "driver_seconds": cluster["driver_seconds_per_checkpoint"],
        "export_seconds": median(one["export_seconds"] for one in exports),
    }
    rows = [predict(gpus, ASSUMED | measured) for gpus in (1, 2, 4, 8, 16, 32, 64)]
    for row in rows:
        row["efficiency"] = rows[0]["hours"] / (row["gpus"] * row["hours"])
    return {"assumed": ASSUMED, "measured": measured, "checkpoints": SERIES, "rows": rows}


def predict(gpus: int, known: dict[str, float]) -> dict[str, Any]:
    """Hours for the series; the slowest of what goes on side by side, and what comes in turn."""
    nodes = -(-gpus // known["gpus_per_node"])
    each = {
        "GPUs": known["gpu_seconds"] / gpus,
        "scoring": (known["score_seconds"] + known["write_seconds"]) / gpus,
        "nodes' network": known["checkpoint_bytes"] / known["node_bytes_per_second"] / nodes,
        "storage": known["checkpoint_bytes"] / known["storage_bytes_per_second"],
        "driver": known["driver_seconds"],
    }
    in_turn = {
        "plan": SERIES * (known["plan_seconds"] + known["decide_seconds"]),
        "workers start": known["worker_start_seconds"],
        "exports": known["architectures"] * known["export_seconds"] / min(gpus, 20),
        "table": SERIES * known["table_seconds"],
    }
    limit = max(each, key=lambda name: each[name])
    seconds = {limit: SERIES * each[limit], **in_turn}
    return {
        "gpus": gpus,
        "hours": sum(seconds.values()) / 3600,
        "limit": limit,
        "minutes": {name: value / 60 for name, value in seconds.items()},
    }


def main() -> int:
    """Measure what is missing, and reckon."""
    options = parser(__doc__, "series").parse_args()
    report = Report(options)
    report.put("model", model(options.work))
    return report.finish()


if __name__ == "__main__":
    sys.exit(main())
