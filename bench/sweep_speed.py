"""Whole sweeps beside what people run instead, as whole processes, turn by turn.

    python bench/sweep_speed.py [WORKLOAD ...] [--repeats 3] [--clip-benchmark PYTHON]

Workloads:
    b32        ViT-B-32, the three tasks, against the plain open_clip loop; about 4 min a turn at
               the default 12 % of TID2013's size and 2 checkpoints
    b32-compiled  the same against the loop with torch.compile; 3 min a turn
    b16        ViT-B-16, 4 % of that size; 4 min a turn
    quality    ViT-B-32, image quality alone against the published pair-by-pair loop; 1.5 min a turn
    tiny       16 tiny checkpoints at whole size; the plain loop does 2 of them; 3 min a turn
    zero-shot  CIFAR-100, clean and noisy, tiny, against CLIP_benchmark's command line; 1 min a turn

A fraction of the size has that share of pictures and of prompts, so that a checkpoint costs that
share; what is spent once does not shrink. So four ratios are told:

    whole       wall time of the processes as they ran
    checkpoint  between two checkpoints' ends: what one more costs, start-up left out
    cpu         processor time of the processes, per checkpoint that they measured
    full_size   derived: start-up as measured + checkpoints at 1 / fraction of their time

Page cache warm for all; fastclip's cache of graphs and views is empty in its first run ("cold",
told apart) and kept for the turns. Each side's numbers are compared with fastclip's fp32 ones.
Noise is drawn by each side for itself, so noisy accuracies agree in expectation only; for
CLIP_benchmark noisy pictures are stored, and agree.
"""

from __future__ import annotations

import shutil
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import workload
from peers import clip_benchmark, ours
from peers.common import Numbers, Request
from peers.run import run_loop
from processes import Ran
from report import Report, paired_ratio, parser, spread

Side = Callable[[Path], tuple[Ran, list[Numbers]]]
"""Runs once in a fresh folder."""


@dataclass(frozen=True)
class Workload:
    """What is swept, and beside what.

    Attributes:
        fraction: of TID2013's size; `checkpoints` as fastclip sweeps them.
        loop: the peer; `loop_checkpoints` of the same files, 0 for all.
        precisions: of fastclip; the peer is at the first.
    """

    model: str
    fraction: float
    checkpoints: int
    loop: str
    loop_checkpoints: int = 0
    quality_only: bool = False
    precisions: tuple[str, ...] = ("fp32",)


WORKLOADS: Mapping[str, Workload] = {
    "b32": Workload("ViT-B-32", 0.12, 2, "plain_loop", precisions=("fp32", "bf16")),
    "b32-compiled": Workload("ViT-B-32", 0.12, 2, "compiled_loop"),
    "b16": Workload("ViT-B-16", 0.04, 2, "plain_loop"),
    "quality": Workload(
        "ViT-B-32", 0.04, 2, "per_pair", quality_only=True, precisions=("fp32", "bf16")
    ),
    "tiny": Workload("tiny", 1.0, 16, "plain_loop", loop_checkpoints=2),
    "zero-shot": Workload("tiny", 1.0, 3, "clip_benchmark"),
}


def quick(load: Workload) -> Workload:
    """The same sides on next to nothing."""
    return replace(load, model="tiny", fraction=0.04, checkpoints=3)


def main() -> int:
    """Run the workloads that were asked for."""
    made = parser(__doc__, "sweep_speed")
    made.add_argument(
        "workloads", nargs="*", default=["b32", "quality", "tiny"], metavar="WORKLOAD"
    )
    made.add_argument("--fraction", type=float, help="of TID2013's size; 1 for all of it")
    made.add_argument("--checkpoints", type=int)
    made.add_argument("--clip-benchmark", default="", metavar="PYTHON", help="of its environment")
    made.add_argument("--bf16-loop", action="store_true", help="the plain loop in bf16 too")
    options = made.parse_args()
    report = Report(options)
    for name in options.workloads:
        chosen = quick(WORKLOADS[name]) if options.quick else WORKLOADS[name]
        chosen = replace(
            chosen,
            fraction=options.fraction or chosen.fraction,
            checkpoints=options.checkpoints or chosen.checkpoints,
        )
        compare(name, chosen, options, report)
    return report.finish()


def compare(name: str, load: Workload, options: Any, report: Report) -> None:
    """One workload: a cold sweep, then all sides in turn."""
    work: Path = options.work
    request, sets = make_request(work, load)
    folder = work / "turns" / name
    shutil.rmtree(folder, ignore_errors=True)
    cache = folder / "cache"
    cold, reference = sweep(request, cache, folder / "cold")
    if load.loop == "plain_loop":
        request = replace(request, workers=better_workers(request, folder, report, name))
    sides = make_sides(load, request, cache, folder, options, sets)
    turns: dict[str, list[Ran]] = {side: [] for side in sides}
    agreement: dict[str, Any] = {}
    repeats = options.repeats or (1 if options.quick else 3)
    for turn in range(repeats):
        for side, take in sides.items():
            ran, numbers = take(folder / f"{side}-{turn}".replace(" ", "-"))
            turns[side].append(ran)
            agreement[side] = agree(reference, numbers, stored=load.loop == "clip_benchmark")
            print(f"{name} {turn + 1}/{repeats} {side}: {ran.wall:.1f} s", flush=True)
    costs = {side: [cost(side, load, ran) for ran in ran_by] for side, ran_by in turns.items()}
    peers = [side for side in sides if not side.startswith("fastclip")]
    row = {
        "workload": name,
        "model": load.model,
        "fraction": load.fraction,
        **dict(zip(("pictures", "prompts"), encoded(load, sets), strict=True)),
        "checkpoints": {side: checkpoints_of(side, load) for side in sides},
        "loop": load.loop,
        "loop_workers": request.workers,
        "cold": cold.figures(),
        "sides": {side: costs_summary(rows, turns[side]) for side, rows in costs.items()},
        "times_faster": {
            peer: {s: ratios(costs[peer], costs[s], load) for s in sides if s not in peers}
            for peer in peers
        },
        "agreement": agreement,
        "engine": engine_share(folder / "fastclip-fp32-0" / "out"),
    }
    report.add("sweeps", row)


def encoded(load: Workload, sets: workload.Sets) -> tuple[int, int]:
    """Distinct pictures and prompts of one checkpoint."""
    if load.quality_only:
        return sets.pairs + sets.pairs // 120, 0
    return sets.zero_shot if load.loop == "clip_benchmark" else (sets.pictures, sets.prompts)


def make_request(work: Path, load: Workload) -> tuple[Request, workload.Sets]:
    """Checkpoints and data sets, made where they are not there yet, and read once."""
    sets = workload.make_sets(work, load.fraction)
    run = workload.make_checkpoints(work, load.model, load.checkpoints)
    files = tuple(str(run / f"epoch_{n}.pt") for n in range(1, load.checkpoints + 1))
    only_zero_shot = load.loop == "clip_benchmark"
    only = load.quality_only
    request = Request(
        files,
        workload.architecture(work, load.model),
        tid=None if only_zero_shot else str(sets.tid),
        cue=None if only or only_zero_shot else str(sets.cue),
        cifar=None if only else str(sets.cifar),
        workers=clip_benchmark.SHARDS if only_zero_shot else 0,
    )
    workload.fill_page_cache(run, sets.tid, sets.cue, sets.cifar)
    return request, sets


def sweep(
    request: Request, cache: Path, folder: Path, precision: str = "fp32"
) -> tuple[Ran, list[Numbers]]:
    """fastclip into a fresh folder."""
    out = folder / "out"
    ran = ours.sweep(replace(request, precision=precision), out, cache)
    return ran, ours.numbers(out, request.checkpoints)


def better_workers(request: Request, folder: Path, report: Report, name: str) -> int:
    """0 or 2 DataLoader workers, whichever ends sooner on the first checkpoint."""
    walls = {}
    for workers in (0, 2):
        one = replace(request, checkpoints=request.checkpoints[:1], workers=workers)
        walls[workers] = run_loop("plain_loop", one, folder / f"workers-{workers}")[0].wall
    report.add("dataloader_workers", {"workload": name, "wall_by_workers": walls})
    return min(walls, key=lambda workers: walls[workers])


def make_sides(
    load: Workload, request: Request, cache: Path, folder: Path, options: Any, sets: workload.Sets
) -> dict[str, Side]:
    """fastclip in its precisions, and the loop."""
    sides: dict[str, Side] = {
        f"fastclip {precision}": lambda out, p=precision: sweep(request, cache, out, p)
        for precision in load.precisions
    }
    peer = replace(request, checkpoints=request.checkpoints[: load.loop_checkpoints or None])
    if load.loop == "clip_benchmark":
        shards = clip_benchmark.make_shards(peer, {"noise-0.1": noisy(sets)}, folder / "shards")
        python = options.clip_benchmark or sys.executable
        conditions = ("clean", "noise-0.1")
        sides["clip_benchmark fp32"] = lambda out: clip_benchmark.run_cli(
            python, peer, shards, conditions, out
        )
        return sides
    sides[f"{load.loop} fp32"] = lambda out: run_loop(load.loop, peer, out)
    if options.bf16_loop:
        half = replace(peer, precision="bf16")
        sides[f"{load.loop} bf16"] = lambda out: run_loop(load.loop, half, out)
    return sides


def noisy(sets: workload.Sets) -> Any:
    """fastclip's own noisy pictures of the CIFAR set at sigma 0.1."""
    from tempfile import TemporaryDirectory

    import numpy as np

    from fastclip.distortions import DISTORTIONS
    from fastclip.stimuli.cifar100 import load
    from fastclip.stimuli.manifest import read_manifest

    source = load(sets.cifar, name="bench-cifar").pictures
    pictures = np.stack([source.decode(i, source.encoded(i)) for i in range(len(source))])
    with TemporaryDirectory() as folder:
        keys = read_manifest(source, Path(folder), 1).keys
    return DISTORTIONS.get("gaussian_noise")(level=0.1).apply(pictures, keys)


def checkpoints_of(side: str, load: Workload) -> int:
    """How many the side measures in a turn."""
    if side.startswith("fastclip"):
        return load.checkpoints
    return load.loop_checkpoints or load.checkpoints


def cost(side: str, load: Workload, ran: Ran) -> dict[str, float]:
    """Seconds of one process: whole, per checkpoint after the first, and once."""
    done = ran.when("done") if not side.startswith("fastclip") else ran.when("] ", ": done")
    count = checkpoints_of(side, load)
    done = done[:: len(done) // count] if load.loop == "clip_benchmark" else done[:count]
    each = (done[-1] - done[0]) / (count - 1)
    return {
        "wall": ran.wall,
        "cpu": ran.cpu,
        "checkpoints": count,
        "checkpoint": each,
        "once": ran.wall - count * each,
    }


def ratios(
    theirs: list[dict[str, float]], ours_: list[dict[str, float]], load: Workload
) -> dict[str, Any]:
    """How many times faster, turn by turn; the loop's missing checkpoints at their own cost."""

    def whole(row: dict[str, float], fraction: float) -> float:
        return row["once"] + load.checkpoints * row["checkpoint"] / fraction

    sides = (theirs, ours_)
    return {
        "whole": paired_ratio(*([whole(row, 1.0) for row in rows] for rows in sides)),
        "checkpoint": paired_ratio(*([row["checkpoint"] for row in rows] for rows in sides)),
        "cpu": paired_ratio(*([row["cpu"] / row["checkpoints"] for row in rows] for rows in sides)),
        "full_size": paired_ratio(*([whole(row, load.fraction) for row in rows] for rows in sides)),
    }


def costs_summary(rows: list[dict[str, float]], ran: list[Ran]) -> dict[str, Any]:
    """Medians of one side."""
    found: dict[str, Any] = {key: spread([row[key] for row in rows]) for key in rows[0]}
    return found | {"peak_bytes": max(r.peak_bytes for r in ran)}


def agree(reference: list[Numbers], numbers: list[Numbers], *, stored: bool) -> dict[str, Any]:
    """Largest differences from fastclip's fp32 numbers, where noise is the same and where not."""
    reference = reference[: len(numbers)]
    same = ours.largest_difference(reference, numbers)
    drawn = ours.largest_difference(reference, numbers, noisy=True)
    return {"same_pictures": same, "stored_noise" if stored else "own_noise": drawn}


def engine_share(out: Path) -> dict[str, float]:
    """Share of the time between the second checkpoint's end and the last's that is encoding.

    The first checkpoint's scores take longer, compiled code being read, so its end comes late.
    """
    stages = ours.stage_seconds(out)
    ends = sorted(
        max(p.stat().st_mtime for p in folder.glob("*.json"))
        for folder in (out / "records").iterdir()
    )
    encoding = sum(s.get("encode_images", 0) + s.get("encode_texts", 0) for s in stages[2:])
    span = ends[-1] - ends[1]
    return {
        "encoding_seconds": encoding,
        "span_seconds": span,
        "share": encoding / span if span else 0.0,
    }


if __name__ == "__main__":
    sys.exit(main())
