"""Does a long sweep stay as fast and as small as it began? 100 tiny checkpoints.

    python bench/steady.py [--checkpoints 100] [--repeats 3]

Processor time between two checkpoints' ends and resident memory at each end: the median of the
2nd to 21st against that of the last 20. Aims: within 5 % and within 2 %.

About 4 minutes on two cores at 3 turns (1.5 GB of checkpoints are made first); --quick takes 1.
"""

from __future__ import annotations

import os
import shutil
import sys
import time
from itertools import pairwise
from pathlib import Path
from statistics import median
from typing import Any

import workload
from report import Report, parser, spread

WINDOW = 20
FRACTION = 0.04


def main() -> int:
    """Sweep, turn after turn, each in a process of its own."""
    made = parser(__doc__, "steady")
    made.add_argument("--checkpoints", type=int, default=100)
    made.add_argument("--child", type=Path, help="used by the program itself")
    options = made.parse_args()
    if options.child:
        sweep_once(options)
        return 0
    from processes import run

    count = 42 if options.quick else options.checkpoints
    repeats = options.repeats or (1 if options.quick else 3)
    workload.make_sets(options.work, FRACTION)
    folder = workload.make_checkpoints(options.work, "tiny", count, optimizer=False)
    workload.fill_page_cache(folder)
    report = Report(options)
    shutil.rmtree(options.work / "steady", ignore_errors=True)
    turns = []
    for turn in range(repeats):
        out = options.work / "steady" / f"out-{turn}"
        arguments = ["--work", str(options.work), "--checkpoints", str(count)]
        ran = run([sys.executable, __file__, "--child", str(out), *arguments])
        told = [line.split()[1:] for _, line in ran.lines if line.startswith("steady ")]
        ends = [(float(cpu), float(wall), int(bytes_)) for cpu, wall, bytes_ in told]
        assert len(ends) == count, ran.lines[-5:]
        turns.append(compare(ends))
        report.add("turns", turns[-1])
    for name in ("cpu_ratio", "wall_ratio", "memory_ratio"):
        report.put(name, spread([turn[name] for turn in turns]))
    return report.finish()


def sweep_once(options: Any) -> None:
    """One sweep in this process; a line per checkpoint when it is done."""
    from fastclip.sweeper.config import SweepConfig
    from fastclip.sweeper.progress import Progress
    from fastclip.sweeper.run import sweep

    class Watch(Progress):
        def checkpoint_done(self, name: str, *, cached: bool = False, **rest: Any) -> None:
            super().checkpoint_done(name, cached=cached, **rest)
            print("steady", time.process_time(), time.monotonic(), resident(), flush=True)

    sets = workload.make_sets(options.work, FRACTION)
    model = workload.architecture(options.work, "tiny")
    folder = workload.make_checkpoints(options.work, "tiny", options.checkpoints, optimizer=False)
    config = SweepConfig(
        (str(folder),),
        options.child,
        model=model,
        data=(
            f"tid2013:bench-tid={sets.tid}",
            f"cue-conflict:bench-cue={sets.cue}",
            f"cifar100:bench-cifar={sets.cifar}",
        ),
        cache_dir=options.work / "steady" / "cache",
    )
    sweep(config, Watch(quiet=True))


def resident() -> int:
    """Resident memory of this process in bytes."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


def compare(ends: list[tuple[float, float, int]]) -> dict[str, Any]:
    """Medians of the first and of the last checkpoints, the very first left out."""
    cpu = [b[0] - a[0] for a, b in pairwise(ends)]
    wall = [b[1] - a[1] for a, b in pairwise(ends)]
    memory = [float(end[2]) for end in ends[1:]]
    found: dict[str, Any] = {"checkpoints": len(ends)}
    for name, values in (("cpu", cpu), ("wall", wall), ("memory", memory)):
        early, late = median(values[:WINDOW]), median(values[-WINDOW:])
        found |= {f"{name}_early": early, f"{name}_late": late, f"{name}_ratio": late / early}
    return found


if __name__ == "__main__":
    sys.exit(main())
