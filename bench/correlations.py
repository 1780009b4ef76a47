"""Batched correlations beside scipy's loop.

    python bench/correlations.py > bench/results/correlations.json

K score vectors over N pairs laid out as TID2013 (25 references x 24 types x 5 levels), B bootstrap
resamples. Groups are the 24 types and all pairs (`types`), or 25 times all pairs (`whole`: the
most that 25 groups can hold). Clusters are the references, or each pair alone.

scipy's loop would take hours, so a sample of its coefficients is timed in turn with fastclip's
whole call, spread evenly over groups, and its time is the sum over groups of the median time of
one coefficient there. The sampled coefficients are compared with fastclip's.

Processor seconds are given beside wall seconds, for machines that do other work meanwhile.

With `--device cuda` the CPU's time and the largest difference from its values are given too.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import json
import os
import platform
import sys
import time
import warnings
from typing import Any

import numpy as np
import scipy
from scipy import stats

from fastclip.machine import processor_name, usable_cores
from fastclip.statistics.batched import correlate
from fastclip.statistics.batched.resamples import multiplicities

REFERENCES, TYPES, LEVELS = 25, 24, 5
SCIPY = {"srcc": stats.spearmanr, "plcc": stats.pearsonr, "krcc": stats.kendalltau}


def layout(checkpoints: int) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Scores, human scores (with ties, as published means have), types and references."""
    rng = np.random.default_rng(0)
    pairs = REFERENCES * TYPES * LEVELS
    human = np.round(rng.normal(4.5, 1.2, pairs), 2)
    scores = human * rng.uniform(0.2, 1, (checkpoints, 1)) + rng.normal(0, 1, (checkpoints, pairs))
    place = np.arange(pairs)
    return scores, human, place // LEVELS % TYPES, place // (LEVELS * TYPES)


def timed(run: Any) -> tuple[float, float, Any]:
    """Wall and processor seconds of a call in all threads, and what it returned."""
    wall, processor = time.perf_counter(), time.process_time()
    result = run()
    return time.perf_counter() - wall, time.process_time() - processor, result


def drawn(clusters: np.ndarray, resamples: int, seed: int) -> np.ndarray:
    """Multiplicities `[N, B + 1]` of the pairs, to make scipy's resamples with."""
    _, codes = np.unique(clusters, return_inverse=True)
    return multiplicities(int(codes.max()) + 1, resamples, seed)[codes]


class Case:
    """One metric, grouping and clustering, with its turns."""

    def __init__(self, metric: str, grouping: str, clustering: str, options: Any) -> None:
        self.metric, self.options = metric, options
        self.scores, self.human, types, references = layout(options.checkpoints)
        everything = np.arange(len(self.human))
        self.groups = [np.flatnonzero(types == kind) for kind in range(TYPES)] + [everything]
        if grouping == "whole":
            self.groups = [everything] * (TYPES + 1)
        self.clusters = references if clustering == "references" else everything
        self.weights = drawn(self.clusters, options.resamples, options.seed)
        self.rng = np.random.default_rng(1)

    def call(self, device: str) -> np.ndarray:
        """fastclip's whole call."""
        return correlate(
            self.metric,
            self.scores,
            self.human,
            self.groups,
            resamples=self.options.resamples,
            clusters=self.clusters,
            seed=self.options.seed,
            device=device,
            threads=self.options.threads,
        ).values

    def sample(self, values: np.ndarray) -> tuple[list[tuple[float, float]], float]:
        """Both seconds of one of scipy's coefficients in each group; largest difference found."""
        seconds, worst = [], 0.0
        for g, members in enumerate(self.groups):
            k, b = self.rng.integers(values.shape[0]), self.rng.integers(values.shape[2])
            rows = np.repeat(members, self.weights[members, b])
            x, y = self.scores[k, rows], self.human[rows]
            wall, processor, result = timed(lambda x=x, y=y: SCIPY[self.metric](x, y).statistic)
            seconds.append((wall, processor))
            difference = abs(float(result) - values[k, g, b])
            if not np.isnan(result) or not np.isnan(values[k, g, b]):
                worst = max(worst, np.inf if np.isnan(difference) else float(difference))
        return seconds, worst

    def measure(self) -> dict[str, Any]:
        """fastclip and scipy in turn, `repeats` times."""
        self.call(self.options.device)  # compiles, and warms up
        turns, seconds, worst = [], [], 0.0
        for _ in range(self.options.repeats):
            wall, processor, values = timed(lambda: self.call(self.options.device))
            turns.append((wall, processor))
            for _ in range(self.options.samples):
                one, difference = self.sample(values)
                seconds.append(one)
                worst = max(worst, difference)
        each = np.median(seconds, axis=0)
        coefficients = values.shape[0] * values.shape[2]
        wall, processor = np.median(turns, axis=0)
        scipy_wall, scipy_processor = each.sum(axis=0) * coefficients
        result = {
            "fastclip_s": round(wall, 3),
            "fastclip_best_s": round(min(turns)[0], 3),
            "fastclip_processor_s": round(processor, 3),
            "scipy_us_per_coefficient": {
                "smallest_group": round(each[:, 0].min() * 1e6, 1),
                "largest_group": round(each[:, 0].max() * 1e6, 1),
            },
            "scipy_s_extrapolated": round(scipy_wall, 1),
            "scipy_processor_s_extrapolated": round(scipy_processor, 1),
            "ratio": round(scipy_wall / wall, 1),
            "processor_ratio": round(scipy_processor / processor, 1),
            "scipy_coefficients_compared": len(seconds) * len(self.groups),
            "largest_difference_from_scipy": worst,
        }
        if self.options.device != "cpu":
            wall, _, reference = timed(lambda: self.call("cpu"))
            result["cpu_s"] = round(wall, 3)
            result["largest_difference_from_cpu"] = float(np.nanmax(np.abs(values - reference)))
        return result


def main() -> None:
    """Prints the JSON."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    parser.add_argument("--metrics", nargs="+", default=["srcc", "krcc", "plcc"])
    parser.add_argument("--groupings", nargs="+", default=["types", "whole"])
    parser.add_argument("--clusterings", nargs="+", default=["references", "pairs"])
    parser.add_argument("--checkpoints", type=int, default=500, help="K")
    parser.add_argument("--resamples", type=int, default=1000, help="B")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--samples", type=int, default=5, help="of scipy's, per group and repeat")
    parser.add_argument("--threads", type=int, default=0)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    report: dict[str, Any] = {
        "machine": {
            "processor": processor_name(),
            "cores": usable_cores(),
            "load_before": os.getloadavg()[0],
        },
        "versions": {
            "python": platform.python_version(),
            "numpy": np.__version__,
            "scipy": scipy.__version__,
            "numba": importlib.metadata.version("numba"),
        },
        "options": vars(options),
        "cases": {},
    }
    for metric in options.metrics:
        for grouping in options.groupings:
            for clustering in options.clusterings:
                name = f"{metric}, groups {grouping}, clusters {clustering}"
                report["cases"][name] = Case(metric, grouping, clustering, options).measure()
                print(name, json.dumps(report["cases"][name]), file=sys.stderr)
    json.dump(report, sys.stdout, indent=1)
    print()


if __name__ == "__main__":
    main()
