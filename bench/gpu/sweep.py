"""The whole sweep: 300 swaps cycling over 20 distinct files x 24,305 pictures.

Aim on an H200: at most 0.55 s per checkpoint once the first is done.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from statistics import median
from typing import Any

import common

AIM = 0.55


def main() -> int:
    """Sweep links to the files, as if each were another checkpoint."""
    parser = common.parser(__doc__)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--engine", default="auto")
    parser.add_argument("--swaps", type=int, default=300)
    options = parser.parse_args()
    report = common.Report(options.output, options.device)
    swaps = 24 if options.small else options.swaps
    links = link(options.work, swaps)
    found = sweep(options, links, lambda done, stages: report.put("sweep", summary(done, stages)))
    report.put("sweep", report.body["sweep"] | found)
    swept = report.body["sweep"]["swaps"]
    if swept != swaps:
        report.fail(f"{swept} of {swaps} checkpoints were measured")
    mean = report.body["sweep"]["seconds_per_checkpoint_mean"]
    if not options.small and mean > AIM:
        report.fail(f"{mean:.2f} s per checkpoint, aim {AIM}")
    return report.finish()


def summary(done: list[float], stages: list[dict[str, float]]) -> dict[str, Any]:
    """Seconds per checkpoint after the first, and where they went."""
    between = [b - a for a, b in pairwise(done)]
    names = sorted({name for row in stages for name in row})
    return {
        "swaps": len(done),
        "seconds_to_first": done[0],
        "seconds_per_checkpoint_mean": (done[-1] - done[0]) / max(1, len(between)),
        "seconds_per_checkpoint_median": median(between or [0.0]),
        "stages_median": {n: median(row.get(n, 0.0) for row in stages) for n in names},
        "aim": AIM,
    }


def link(work: Path, swaps: int) -> Path:
    """A run of `swaps` checkpoints that are links to the distinct files in turn."""
    files = sorted((work / "run").glob("distinct_*.pt"))
    folder = work / f"links-{swaps}" / "run"
    folder.mkdir(parents=True, exist_ok=True)
    for number in range(swaps):
        name = folder / f"step_{number:05d}.pt"
        if not name.exists():
            name.hardlink_to(files[number % len(files)])
    config = work / "run" / "open_clip_config.json"
    if config.is_file() and not (folder / config.name).exists():
        (folder / config.name).hardlink_to(config)
    return folder


def sweep(options: Any, links: Path, tell: Callable[..., None]) -> dict[str, Any]:
    """Sweep, telling every tenth time when each checkpoint was done and what its stages took."""
    from fastclip.checkpoints import find
    from fastclip.sweeper.config import SweepConfig, read_settled
    from fastclip.sweeper.ledger import Ledger
    from fastclip.sweeper.progress import Progress
    from fastclip.sweeper.run import sweep as run

    done: list[float] = []
    stages: list[dict[str, float]] = []
    began = time.perf_counter()

    class Watch(Progress):
        def checkpoint_done(self, name: str, *, cached: bool, **rest: Any) -> None:
            done.append(time.perf_counter() - began)
            stages.append(dict(rest.get("seconds") or {}))
            if len(done) % 10 == 1:
                tell(done, stages)
            super().checkpoint_done(name, cached=cached, **rest)

    # Equal files and equal weights are measured once; here each link is another checkpoint.
    find.drop_duplicates = lambda found: (list(found), [])
    Ledger.missing = lambda self, stage, checkpoint_id: list(stage.units)  # type: ignore[method-assign]
    config = SweepConfig(
        (str(links),),
        options.work / f"out-{time.time_ns()}",
        model="auto" if options.small else "ViT-B-32",
        data_dir=options.work / "sets",
        partial=options.small,
        engine=options.engine,
        device=options.device,
    )
    run(config, Watch(live=False))
    settled = read_settled(config.output_dir)
    assert settled is not None
    tell(done, stages)
    return {
        "engine": settled.engine,
        "precision": settled.precision,
        "trials": [dict(trial) for trial in settled.trials],
    }


if __name__ == "__main__":
    sys.exit(main())
