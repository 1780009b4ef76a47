"""A benchmark's JSON: machine, versions, command, peaks; on disk after every figure."""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from statistics import median
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
RESULTS = ROOT / "bench" / "results"
WORK = Path(os.environ.get("FASTCLIP_BENCH_WORK", Path.home() / ".cache" / "fastclip-bench"))
"""Where checkpoints, pictures and caches of the benchmarks lie, outside the repository."""


def parser(description: str | None, name: str) -> argparse.ArgumentParser:
    """The options that every benchmark has; the result is `bench/results/<name>.json`."""
    made = argparse.ArgumentParser(
        description=description, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    made.add_argument("--quick", action="store_true", help="a minute, to see that it runs")
    made.add_argument("--repeats", type=int, help="turns of every side")
    made.add_argument("--work", type=Path, default=WORK, help=f"default {WORK}")
    made.add_argument("--output", type=Path, help=f"default bench/results/{name}.json")
    made.set_defaults(name=name)
    return made


class Report:
    """A JSON file that is written anew whenever something is added.

    A quick run's figures go to `<work>/quick-<name>.json`: they are no results.
    """

    def __init__(self, options: argparse.Namespace) -> None:
        from fastclip.sweeper.environment import machine, versions

        quick = options.work / f"quick-{options.name}.json"
        self.path: Path = options.output or (
            quick if options.quick else RESULTS / f"{options.name}.json"
        )
        self._began = time.monotonic()
        self.body: dict[str, Any] = {
            "command": " ".join(["python", "bench/" + Path(sys.argv[0]).name, *sys.argv[1:]]),
            "date": time.strftime("%Y-%m-%d"),
            "quick": options.quick,
            "machine": machine(),
            "versions": versions(),
            "finished": False,
        }

    def add(self, name: str, row: Any) -> None:
        """Append to the list `name`; prints and writes."""
        self.body.setdefault(name, []).append(row)
        print(f"{name}: {json.dumps(row)[:600]}", flush=True)
        self._write()

    def put(self, name: str, value: Any) -> None:
        """Set `name`; prints and writes."""
        self.body[name] = value
        print(f"{name}: {json.dumps(value)[:600]}", flush=True)
        self._write()

    def finish(self) -> int:
        """Mark the report as whole; always 0, an exit code."""
        self.body["finished"] = True
        self.body["took_seconds"] = round(time.monotonic() - self._began, 1)
        self.body["load_average"] = list(os.getloadavg())
        self._write()
        print(f"{self.path}, after {self.body['took_seconds']:.0f} s")
        return 0

    def _write(self) -> None:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self.path.write_text(json.dumps(self.body, indent=1) + "\n")


def spread(values: Sequence[float]) -> dict[str, float]:
    """Median, smallest and largest."""
    return {"median": median(values), "least": min(values), "most": max(values)}


def paired_ratio(theirs: Sequence[float], ours: Sequence[float]) -> dict[str, float]:
    """`spread` of theirs / ours, turn by turn: how many times faster we are."""
    return spread([a / b for a, b in zip(theirs, ours, strict=True)])
