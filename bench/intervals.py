"""How often intervals of a correlation hold the population's: 25 references out of many.

    python bench/intervals.py > bench/results/intervals.json

Human scores are drawn from a model fitted to TID2013's own table: each (type, level) has its mean;
each reference picture shifts all its scores, follows the means with a slope of its own, likes or
dislikes each type, and the rest is noise, all normal with the table's variances. Distances follow
the scores with noise, an offset for each type, and an offset and a slope for each reference whose
standard deviation is `spread`. The population's coefficient is that of 4,000 references; each
simulation draws 25 of them anew, with TID2013's 24 types and 5 levels.

Under `spread` "none" neither scores nor distances know of references. Drawing pairs then covers
more than 95 %: it takes types and levels for random too, which no further set would change.

Methods: the cluster jackknife-t; the percentile bootstrap that draws references; its BCa; and the
percentile bootstrap that draws pairs as if they were independent. The bootstraps see the first
`--bootstraps` of the simulations.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import scipy
from scipy import stats

from fastclip.machine import processor_name
from fastclip.statistics.intervals.correlations import estimate

REFERENCES, TYPES, LEVELS = 25, 24, 5
POPULATION = 4000
SCIPY = {"srcc": stats.spearmanr, "plcc": stats.pearsonr, "krcc": stats.kendalltau}
ROOT = Path(__file__).resolve().parents[1]
SHARED = Path(os.environ.get("FASTCLIP_SHARED", ROOT.parent / "shared" / "data"))
METHODS = {
    "jackknife-t": ("jackknife-t", True),
    "cluster bootstrap": ("bootstrap", True),
    "cluster bca": ("bca", True),
    "pairs bootstrap": ("bootstrap", False),
}


@dataclass(frozen=True)
class Scores:
    """What scores of further references are drawn from; means `[types, levels]`."""

    means: np.ndarray
    shift_slope: np.ndarray  # covariance of a reference's shift and slope
    liking: float
    noise: float

    def draw(self, rng: np.random.Generator, count: int, clustered: bool) -> np.ndarray:
        """`[count, types, levels]`; not `clustered`, all variance is noise."""
        shape = (count, *self.means.shape)
        centred = self.means - self.means.mean()
        if not clustered:
            shift, slope = np.diag(self.shift_slope)
            variance = self.noise**2 + self.liking**2 + shift + slope * centred.var()
            return self.means + np.sqrt(variance) * rng.standard_normal(shape)
        drawn = rng.multivariate_normal(np.zeros(2), self.shift_slope, count)
        shift, slope = drawn.T[:, :, None, None]
        liking = self.liking * rng.standard_normal((count, len(self.means), 1))
        rest = self.noise * rng.standard_normal(shape)
        return self.means + shift + slope * centred + liking + rest


def fitted(path: Path) -> Scores:
    """Moments of the published table."""
    table = np.full((REFERENCES, TYPES, LEVELS), np.nan)
    for line in path.read_text().split("\n"):
        if line:
            score, name = line.split()
            reference, kind, level = name[1:].split(".")[0].split("_")
            table[int(reference) - 1, int(kind) - 1, int(level) - 1] = float(score)
    assert not np.isnan(table).any()
    means = table.mean(axis=0)
    centred, rest = means - means.mean(), table - means
    shift = rest.mean(axis=(1, 2))
    slope = (rest * centred).mean(axis=(1, 2)) / centred.var()
    rest -= shift[:, None, None] + slope[:, None, None] * centred
    liking = rest.mean(axis=2)
    rest -= liking[:, :, None]
    # A mean over levels holds a share of the noise; levels lose a degree of freedom to it.
    noise = np.sqrt(np.square(rest).mean() * LEVELS / (LEVELS - 1))
    own = np.sqrt(max(0.0, np.square(liking).mean() - noise**2 / LEVELS))
    return Scores(means, np.cov(shift, slope), float(own), float(noise))


def distances(rng: np.random.Generator, scores: np.ndarray, spread: float) -> np.ndarray:
    """Of the same shape as `scores`; types have the same offsets in every call."""
    good = (scores - 4.5) / 1.24
    kinds = 0.4 * np.random.default_rng(0).standard_normal((TYPES, 1))
    shift, slope = spread * rng.standard_normal((2, len(scores), 1, 1))
    return kinds + shift - (1 + slope) * good + 0.6 * rng.standard_normal(scores.shape)


def covered(
    metric: str, scores: Scores, spread: float, clustered: bool, options: Any
) -> dict[str, Any]:
    """Share of simulations whose interval holds the population's coefficient, by method."""
    rng = np.random.default_rng([options.seed, round(1000 * spread), clustered])
    human = scores.draw(rng, POPULATION, clustered)
    far = distances(rng, human, spread)
    truth = float(SCIPY[metric](-far.ravel(), human.ravel()).statistic)
    references = np.repeat(np.arange(REFERENCES), TYPES * LEVELS)
    inside: dict[str, list[bool]] = {name: [] for name in METHODS}
    width: dict[str, list[float]] = {name: [] for name in METHODS}
    found = []
    for number in range(options.simulations):
        human = scores.draw(rng, REFERENCES, clustered)
        near = -distances(rng, human, spread).reshape(1, -1)
        for name, (method, by_reference) in METHODS.items():
            if method != "jackknife-t" and number >= options.bootstraps:
                continue
            estimates = estimate(
                metric,
                near,
                human.ravel(),
                clusters=references if by_reference else np.arange(near.size),
                method=method,
                resamples=options.resamples,
                seed=options.seed + number,
                threads=1,
            )
            low, high = estimates.low[0, 0], estimates.high[0, 0]
            inside[name].append(bool(low <= truth <= high))
            width[name].append(float(high - low))
        found.append(float(estimates.values[0, 0]))
    return {
        "population": round(truth, 4),
        "mean": round(float(np.mean(found)), 4),
        "standard_deviation": round(float(np.std(found)), 4),
        "simulations": {name: len(hits) for name, hits in inside.items()},
        "covered": {name: round(float(np.mean(hits)), 4) for name, hits in inside.items()},
        "mean_width": {name: round(float(np.mean(w)), 4) for name, w in width.items()},
    }


def main() -> None:
    """Prints the JSON."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--metrics", nargs="+", default=["srcc"])
    parser.add_argument("--spreads", nargs="+", type=float, default=[0.2])
    parser.add_argument("--simulations", type=int, default=1500)
    parser.add_argument("--bootstraps", type=int, default=600)
    parser.add_argument("--resamples", type=int, default=400)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    table = SHARED / "mos" / "tid2013_mos_with_names.txt"
    scores, began = fitted(table), time.perf_counter()
    report: dict[str, Any] = {
        "machine": {"processor": processor_name()},
        "versions": {
            "python": platform.python_version(),
            "numpy": np.__version__,
            "scipy": scipy.__version__,
        },
        "options": vars(options),
        "scores": {
            "shift": round(float(np.sqrt(scores.shift_slope[0, 0])), 4),
            "slope": round(float(np.sqrt(scores.shift_slope[1, 1])), 4),
            "liking": round(scores.liking, 4),
            "noise": round(scores.noise, 4),
        },
        "cases": {},
    }
    for metric in options.metrics:
        cases = [("none", 0.0, False), *((str(s), s, True) for s in options.spreads)]
        for name, spread, clustered in cases:
            case = covered(metric, scores, spread, clustered, options)
            report["cases"][f"{metric}, spread {name}"] = case
            print(metric, name, json.dumps(case), file=sys.stderr)
    report["seconds"] = round(time.perf_counter() - began, 1)
    json.dump(report, sys.stdout, indent=1)
    print()


if __name__ == "__main__":
    main()
