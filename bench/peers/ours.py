"""fastclip itself as a whole process, and its numbers under the loops' names."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from peers.common import Numbers, Request
from processes import Ran, run

ROOT = Path(__file__).resolve().parents[2]


def tasks_of(request: Request) -> tuple[str, ...]:
    """fastclip's tasks for what a request asks."""
    wanted = {
        "iqa": request.tid,
        "shape-bias": request.cue,
        "robustness": request.cifar,
        "embedding-diagnostics": request.diagnostics,
    }
    return tuple(task for task, asked in wanted.items() if asked)


def sweep(request: Request, out: Path, cache: Path, *extra: str) -> Ran:
    """`fastclip sweep` on what the request asks, into the folder `out`.

    Args:
        cache: of graphs and views: empty for a cold sweep, kept for a warm one.
        extra: more options.
    """
    return run(
        [sys.executable, "-m", "fastclip", *sweep_arguments(request, out, cache), *extra],
        {"PYTHONPATH": str(ROOT)},
    )


def data_of(request: Request) -> tuple[str, ...]:
    """What `--data` takes for the sets that a request names."""
    sets = {
        "tid2013:bench-tid": request.tid,
        "cue-conflict:bench-cue": request.cue,
        "cifar100:bench-cifar": request.cifar,
    }
    return tuple(f"{name}={path}" for name, path in sets.items() if path)


def sweep_arguments(request: Request, out: Path, cache: Path) -> list[str]:
    """What follows `fastclip` on the command line."""
    data = [word for one in data_of(request) for word in ("--data", one)]
    return [
        *("sweep", *request.checkpoints, "-o", str(out), "-m", request.model),
        *("--cache-dir", str(cache), "-t", ",".join(tasks_of(request)), *data),
        *("--sigma", ",".join(f"{sigma:g}" for sigma in request.sigmas)),
        *("--precision", request.precision, "-v", "--no-progress"),
    ]


def config_for(request: Request, out: Path, cache: Path, **options: Any) -> Any:
    """The same sweep, for this process."""
    from fastclip.sweeper.config import SweepConfig

    return SweepConfig(
        request.checkpoints,
        out,
        model=request.model,
        data=data_of(request),
        tasks=tasks_of(request),
        cache_dir=cache,
        **options,
    )


NAMES = {
    "iqa": ("iqa {distance} {metric}", ("srcc", "plcc", "krcc")),
    "shape-bias": ("shape-bias {metric}", ("shape_bias", "cue_accuracy")),
    "robustness": ("robustness {condition} {metric}", ("acc1", "acc5")),
    "embedding-diagnostics": (
        "diagnostics {metric}",
        ("effective_rank", "mean_cosine_unrelated"),
    ),
}


def numbers(out: Path, checkpoints: Sequence[str]) -> list[Numbers]:
    """A sweep's numbers, in the order of `checkpoints`, under the loops' names."""
    import pandas as pd

    table = pd.read_csv(out / "results.csv", low_memory=False)
    whole = (table["subset"].isna() | (table["subset"] == "pooled")) & table["category"].isna()
    whole &= (table["task"] != "iqa") | (table["subset"] == "pooled")
    whole &= (table["task"] != "embedding-diagnostics") | (table["dataset"] == "bench-tid")
    found: dict[str, Numbers] = {Path(path).name: {} for path in checkpoints}
    for row in table[whole & (table["distance"] != "rmse_dimnorm")].to_dict("records"):
        pattern, metrics = NAMES[row["task"]]
        if row["metric"] in metrics:
            clean = row["distortion"] == "none"
            condition = "clean" if clean else f"noise {float(row['level']):g}"
            name = pattern.format(**row, condition=condition)
            value = None if pd.isna(row["value"]) else float(row["value"])
            found[Path(row["checkpoint"]).name][name] = value
    return list(found.values())


def stage_seconds(out: Path) -> list[dict[str, float]]:
    """Per checkpoint, in the order measured, seconds by stage as its last record tells them."""
    visits: dict[str, tuple[float, dict[str, float]]] = {}
    for path in (out / "records").glob("*/*.json"):
        timings: dict[str, float] = json.loads(path.read_bytes())["timings"]
        at = path.stat().st_mtime
        before = visits.get(path.parent.name)
        if before is None or sum(timings.values()) > sum(before[1].values()):
            visits[path.parent.name] = (at, timings)
    return [timings for _, timings in sorted(visits.values(), key=lambda visit: visit[0])]


def largest_difference(
    ours: Sequence[Numbers], theirs: Sequence[Numbers], *, noisy: bool = False
) -> dict[str, Any]:
    """Largest absolute difference over the names that both have, and where it is.

    Args:
        noisy: compare accuracies under noise, which each side draws for itself, or all others.
    """
    worst: dict[str, Any] = {"difference": 0.0, "where": "", "compared": 0}
    for row, (a, b) in enumerate(zip(ours, theirs, strict=True)):
        for name in a.keys() & b.keys():
            if ("noise" in name) != noisy:
                continue
            worst["compared"] += 1
            x, y = a[name], b[name]
            difference = abs(x - y) if x is not None and y is not None else float(x is not y)
            if difference > worst["difference"]:
                worst |= {"difference": difference, "where": f"checkpoint {row + 1}: {name}"}
    return worst
