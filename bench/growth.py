"""Cost against growth, fastclip beside the plain open_clip loop, tiny checkpoints.

    python bench/growth.py [AXIS ...] [--repeats 1]

Axes, each with everything else held small:
    checkpoints   1, 10, 100 on 210 pictures and 348 prompts
    evaluators    1 to 4: image quality, shape bias, robustness, embedding diagnostics, one by one
    sigmas        1 to 8 levels of noise beside 300 clean pictures
    pictures      500 to 50,000, half of them noisy; one checkpoint

Both are whole processes, so start-up counts; fastclip's cache of graphs is warm, and views are
made anew at each point of `pictures` ("cold", and again "warm"). Plots go to docs/performance/.

About 9 minutes on two cores: 2, 1.5, 1 and 4.5 by axis; --quick takes 3 and draws nothing.
"""

from __future__ import annotations

import shutil
import sys
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import workload
from peers import ours
from peers.common import Request
from peers.run import run_loop
from report import ROOT, Report, parser, spread

SMALL = 0.04
PLOTS = ROOT / "docs" / "performance"


@dataclass(frozen=True)
class Point:
    """One amount of one thing; `cold` also runs with no views in the cache."""

    amount: int
    request: Request
    cold: bool = False


def main() -> int:
    """Measure the axes that were asked for, then draw."""
    made = parser(__doc__, "growth")
    made.add_argument("axes", nargs="*", default=list(AXES))
    made.add_argument("--plots", type=Path, default=PLOTS)
    options = made.parse_args()
    report = Report(options)
    folder = options.work / "growth"
    shutil.rmtree(folder, ignore_errors=True)
    graphs = folder / "cache"
    ours.sweep(small_request(options.work, 1), folder / "first", graphs)
    for axis in options.axes:
        points = list(AXES[axis](options.work, options.quick))
        for point in points:
            row = measure(folder / f"{axis}-{point.amount}", graphs, point, options.repeats or 1)
            report.add("growth", {"axis": axis, "amount": point.amount, **row})
    if not options.quick:
        from plot_growth import draw

        draw(report.body["growth"], options.plots)
    return report.finish()


def measure(folder: Path, cache: Path, point: Point, repeats: int) -> dict[str, Any]:
    """Both programs in turn."""
    walls: dict[str, list[float]] = {}
    cpus: dict[str, list[float]] = {}

    def note(side: str, ran: Any) -> None:
        walls.setdefault(side, []).append(ran.wall)
        cpus.setdefault(side, []).append(ran.cpu)

    for turn in range(repeats):
        kept = cache
        if point.cold:
            kept = folder / f"cache-{turn}"
            made_of_pictures = shutil.ignore_patterns("views", "manifests", "psnr")
            shutil.copytree(cache, kept, ignore=made_of_pictures)
            note("fastclip cold", ours.sweep(point.request, folder / f"cold-{turn}", kept))
        note("fastclip", ours.sweep(point.request, folder / f"out-{turn}", kept))
        numbers = ours.numbers(folder / f"out-{turn}", point.request.checkpoints)
        ran, theirs = run_loop("plain_loop", point.request, folder)
        note("plain loop", ran)
    return {
        "wall": {side: spread(values) for side, values in walls.items()},
        "cpu": {side: spread(values) for side, values in cpus.items()},
        "agreement": ours.largest_difference(numbers, theirs),
    }


def small_request(work: Path, count: int) -> Request:
    """Tiny checkpoints on the three small sets."""
    sets = workload.make_sets(work, SMALL)
    run = workload.make_checkpoints(work, "tiny", count, optimizer=False)
    workload.fill_page_cache(run, sets.tid, sets.cue, sets.cifar)
    files = tuple(str(run / f"epoch_{n}.pt") for n in range(1, count + 1))
    model = workload.architecture(work, "tiny")
    return Request(files, model, str(sets.tid), str(sets.cue), str(sets.cifar))


def checkpoints(work: Path, quick: bool) -> Iterator[Point]:
    """More checkpoints of a run."""
    whole = small_request(work, 10 if quick else 100)
    for amount in (1, 3) if quick else (1, 10, 100):
        yield Point(amount, replace(whole, checkpoints=whole.checkpoints[:amount]))


def evaluators(work: Path, quick: bool) -> Iterator[Point]:
    """More evaluators on two checkpoints; the diagnostics look at what image quality encodes."""
    whole = replace(small_request(work, 2), diagnostics=True)
    for amount in (1, 4) if quick else (1, 2, 3, 4):
        yield Point(
            amount,
            replace(
                whole,
                cue=whole.cue if amount > 1 else None,
                cifar=whole.cifar if amount > 2 else None,
                diagnostics=amount > 3,
            ),
        )


def sigmas(work: Path, quick: bool) -> Iterator[Point]:
    """More levels of noise."""
    folder = workload.make_cifar(work / "sets" / "cifar-300-10", 300, 10)
    whole = replace(small_request(work, 2), tid=None, cue=None, cifar=str(folder))
    for amount in (1, 2) if quick else (1, 2, 4, 8):
        levels = tuple(round(0.05 * level, 2) for level in range(1, amount + 1))
        yield Point(amount, replace(whole, sigmas=levels))


def pictures(work: Path, quick: bool) -> Iterator[Point]:
    """More pictures, half clean, half noisy."""
    whole = replace(small_request(work, 1), tid=None, cue=None)
    for amount in (500, 1000) if quick else (500, 5000, 50_000):
        name = f"cifar-{amount // 2}-10"
        folder = workload.make_cifar(work / "sets" / name, amount // 2, 10)
        yield Point(amount, replace(whole, cifar=str(folder)), cold=True)


AXES = {
    "checkpoints": checkpoints,
    "evaluators": evaluators,
    "sigmas": sigmas,
    "pictures": pictures,
}


if __name__ == "__main__":
    sys.exit(main())
