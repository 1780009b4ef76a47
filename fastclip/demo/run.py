"""The demo: draw a world, train on it, write held-out sets, sweep them, report."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fastclip.demo import sets, world
from fastclip.demo.distort import FORMULA
from fastclip.demo.stages import claim, finish
from fastclip.demo.train import MODEL_CONFIG, RUN, Training, checkpoint_paths, train
from fastclip.files import write_atomic
from fastclip.machine import usable_cores

if TYPE_CHECKING:
    import pandas as pd

    from fastclip.analysis.base import Analysis
    from fastclip.sweeper.group import Outcome
    from fastclip.sweeper.progress import Progress

REVISION = 1
"""Raised when equal settings would draw or train something else."""

SETS: dict[str, tuple[str, Callable[[Path, int], int]]] = {
    "toy-tid2013": ("tid2013", sets.write_tid2013),
    "toy-cue-conflict": ("cue-conflict", sets.write_cue_conflict),
    "toy-cifar": ("cifar100", sets.write_cifar100),
}
"""Name -> the published layout it is in, and what writes it."""

Report = Callable[[int, float], None]


@dataclass
class Demo:
    """What a demo left behind.

    Attributes:
        rows: the tidy rows of its sweep.
        analysis: what its curves show.
        report: the HTML page; `figures` has its figures as PNG and SVG.
        seconds: wall time of each stage; stages that an earlier run had done are absent.
    """

    output_dir: Path
    rows: pd.DataFrame
    outcome: Outcome
    analysis: Analysis
    report: Path
    figures: Path
    seconds: dict[str, float] = field(default_factory=dict)


def run_demo(
    output_dir: Path,
    *,
    seed: int = 0,
    threads: int = 0,
    training: Training | None = None,
    progress: Progress | None = None,
    report: Report = lambda step, loss: None,
    say: Callable[[str], None] = lambda text: None,
) -> Demo:
    """Run all stages; what an earlier run with the same settings finished is kept.

    Writes `logs/toy/` (checkpoints and `params.txt`), `data/toy-*`, `sweep/`, `report.html`,
    `figures/`, `timings.json` and the cache of pictures under `output_dir`.

    Args:
        seed: of pictures, captions, weights and distortions.
        threads: of decoding and engine; 0 for every core, four at most. Training has one.
        training: other settings than the default ones; `seed` is put into them.
        progress: of the sweep.
        report: called after each training step with its number and loss.
        say: told what happens, a line at a time.

    Raises:
        UsageError: `output_dir` holds files of somebody else.
    """
    from fastclip.analysis.run import analyze, write_analysis
    from fastclip.analysis.source import read_source
    from fastclip.report.write import write_report
    from fastclip.sweeper.config import SweepConfig
    from fastclip.sweeper.run import sweep

    threads = threads or min(4, usable_cores())
    training = training or Training(seed=seed)
    settings = {"revision": REVISION, **asdict(training), "model": MODEL_CONFIG}
    seconds: dict[str, float] = {}

    run = output_dir / "logs" / RUN
    done = claim(run, settings)
    if done and all(path.is_file() for path in checkpoint_paths(run, training)):
        say(f"checkpoints: kept from an earlier run, {run / 'checkpoints'}")
    else:
        say(
            f"training a tiny CLIP for {training.steps} steps of {training.batch_size} pictures "
            f"on {training.pictures} drawn pictures of {len(world.CLASSES)} classes"
        )
        with _timed(seconds, "train"):
            train(run, training, report=report)
        finish(run, settings)

    with _timed(seconds, "sets"):
        for name, (_, write) in SETS.items():
            folder = output_dir / "data" / name
            of_set = {"revision": REVISION, "seed": training.seed}
            if not claim(folder, of_set):
                say(f"{name}: {write(folder, training.seed)} pictures ({sets.STAMP})")
                finish(folder, of_set)
    say("toy-tid2013 has pseudo-scores:\n" + FORMULA.rstrip())

    out = output_dir / "sweep"
    claim(out, settings)
    config = SweepConfig(
        checkpoints=(str(run / "checkpoints"),),
        output_dir=out,
        data=tuple(f"{k}:{name}={output_dir / 'data' / name}" for name, (k, _) in SETS.items()),
        workers=threads,
        cache_dir=output_dir / "cache",
    )
    with _timed(seconds, "sweep"):
        outcome = sweep(config, progress)
    with _timed(seconds, "analysis"):
        source = read_source(out)
        analysis = analyze(source, threads=threads)
        write_analysis(out, analysis)
    report_file = output_dir / "report.html"
    figures = output_dir / "figures"
    with _timed(seconds, "report"):
        write_report(out, source.rows, analysis, report_file, stamp=sets.STAMP, figures=figures)
    seconds["total"] = sum(seconds.values())
    _write_timings(output_dir / "timings.json", seconds, threads)
    return Demo(output_dir, source.rows, outcome, analysis, report_file, figures, seconds)


@contextmanager
def _timed(seconds: dict[str, float], stage: str) -> Iterator[None]:
    began = time.monotonic()
    yield
    seconds[stage] = time.monotonic() - began


def _write_timings(path: Path, seconds: dict[str, float], threads: int) -> None:
    body: dict[str, Any] = {
        "seconds": {stage: round(value, 2) for stage, value in seconds.items()},
        "threads": threads,
        "cores": usable_cores(),
    }
    write_atomic(path, (json.dumps(body, indent=1) + "\n").encode())
