"""What each exact saving saves, and that it changes no number beyond rounding.

    python bench/savings.py [--models tiny,ViT-B-32] [--repeats 3] [--fraction 0.12]

`fastclip sweep` as a whole process with all savings and with each left out in turn (`--without`),
warm caches. Told: seconds per checkpoint after the first and processor time of the process without
the saving / with it, and the largest difference of any number in the two tables (1e-6 is asked;
"rounded" relative to the larger of 1 and the value).

About 4 minutes on two cores for tiny and 9 for ViT-B-32 at the default size; --quick takes 2.
"""

from __future__ import annotations

import shutil
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import workload
from peers import ours
from peers.common import Request
from processes import Ran
from report import Report, paired_ratio, parser, spread

KEYS = (
    "checkpoint",
    "task",
    "dataset",
    "subset",
    "distance",
    "distortion",
    "level",
    "prompts",
    "category",
    "metric",
)


def main() -> int:
    """All savings, one model after another."""
    made = parser(__doc__, "savings")
    made.add_argument("--models", default="tiny,ViT-B-32")
    made.add_argument("--fraction", type=float, help="of TID2013's size")
    options = made.parse_args()
    report = Report(options)
    for model in ("tiny",) if options.quick else options.models.split(","):
        measure(model, options, report)
    return report.finish()


def measure(model: str, options: Any, report: Report) -> None:
    """Every saving left out in turn, beside the sweep that makes them all."""
    from fastclip.savings import SAVINGS

    small = options.quick or model != "tiny"
    fraction = options.fraction or (0.04 if small else 0.12)
    checkpoints = 3 if small else 5
    repeats = options.repeats or (1 if options.quick else 3)
    request = make_request(options.work, model, fraction, checkpoints)
    folder = options.work / "savings" / model
    shutil.rmtree(folder, ignore_errors=True)
    ours.sweep(request, folder / "cold", folder / "cache")
    names = ("none", *SAVINGS)
    for name in SAVINGS:  # a graph of its own each, exported outside the turns
        one = replace(request, checkpoints=request.checkpoints[:1])
        ours.sweep(one, folder / f"cold-{name}", folder / "cache", "--without", name)
    turns: dict[str, list[Ran]] = {name: [] for name in names}
    for turn in range(repeats):
        for name in names:
            without = () if name == "none" else ("--without", name)
            out = folder / f"{name}-{turn}"
            turns[name].append(ours.sweep(request, out, folder / "cache", *without))
            print(f"{model} {turn + 1}/{repeats} without {name}: {turns[name][-1].wall:.1f} s")
    base = turns["none"]
    for name in SAVINGS:
        row = {
            "model": model,
            "without": name,
            "checkpoint_ratio": paired_ratio(seconds(turns[name]), seconds(base)),
            "cpu_ratio": paired_ratio([r.cpu for r in turns[name]], [r.cpu for r in base]),
            "seconds_per_checkpoint": spread(seconds(turns[name])),
            **difference(folder / "none-0", folder / f"{name}-0"),
        }
        report.add("savings", row)


def make_request(work: Path, model: str, fraction: float, count: int) -> Request:
    """All tasks, so that every saving has something to save."""
    sets = workload.make_sets(work, fraction)
    run = workload.make_checkpoints(work, model, count)
    workload.fill_page_cache(run, sets.tid, sets.cue, sets.cifar)
    files = tuple(str(run / f"epoch_{n}.pt") for n in range(1, count + 1))
    return Request(
        files,
        workload.architecture(work, model),
        str(sets.tid),
        str(sets.cue),
        str(sets.cifar),
        diagnostics=True,
    )


def seconds(runs: list[Ran]) -> list[float]:
    """Seconds per checkpoint after the first, of each process."""
    ends = [ran.when("] ", ": done") for ran in runs]
    return [(end[-1] - end[0]) / (len(end) - 1) for end in ends]


def difference(with_it: Path, without: Path) -> dict[str, Any]:
    """Largest difference between two sweeps' numbers; all must be in both."""
    import pandas as pd

    tables = [
        pd.read_csv(out / "results.csv", low_memory=False).set_index(list(KEYS))["value"]
        for out in (with_it, without)
    ]
    a, b = (table.sort_index() for table in tables)
    assert a.index.equals(b.index), "the two sweeps do not have the same rows"
    gone = (a.isna() != b.isna()).sum()
    apart = (a - b).abs()
    rounded = apart / a.abs().clip(lower=1)
    return {
        "numbers": len(a),
        "appear_or_vanish": int(gone),
        "largest_difference": float(apart.max()),
        "largest_difference_rounded": float(rounded.max()),
        "where": " ".join(str(word) for word in apart.idxmax()),
    }


if __name__ == "__main__":
    sys.exit(main())
