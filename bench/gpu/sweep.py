"""The whole sweep: 300 swaps cycling over 20 distinct files x 24,305 pictures.

Aim on an H200: at most 0.55 s per checkpoint once the first is done.
"""

from __future__ import annotations

import sys
import time
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
    times = sweep(options, links)
    times_between = [b - a for a, b in zip(times["done"], times["done"][1:], strict=False)]
    each = median(times_between)
    steady = (times["done"][-1] - times["done"][0]) / (len(times["done"]) - 1)
    report.add(
        "sweep",
        {
            "swaps": len(times["done"]),
            "engine": times["engine"],
            "precision": times["precision"],
            "seconds_per_checkpoint_mean": steady,
            "seconds_per_checkpoint_median": each,
            "seconds_to_first": times["done"][0],
            "stages_median": times["stages"],
            "aim": AIM,
        },
    )
    if len(times["done"]) != swaps:
        report.fail(f"{len(times['done'])} of {swaps} checkpoints were measured")
    if not options.small and steady > AIM:
        report.fail(f"{steady:.2f} s per checkpoint, aim {AIM}")
    return report.exit_code


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


def sweep(options: Any, links: Path) -> dict[str, Any]:
    """Sweep, noting when each checkpoint was done and what its stages took."""
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
    names = {name for row in stages for name in row}
    return {
        "done": done,
        "engine": settled.engine,
        "precision": settled.precision,
        "stages": {n: median(row.get(n, 0.0) for row in stages[1:]) for n in sorted(names)},
    }


if __name__ == "__main__":
    sys.exit(main())
