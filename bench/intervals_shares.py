"""How often the intervals of shape bias, of accuracies and of drops hold the truth.

    python bench/intervals_shares.py > bench/results/intervals_shares.json

**Shape bias.** The published design: 16 classes, 10 shape exemplars and 3 texture exemplars of
each, 5 pictures for each of 256 pairs of classes, of which 1,200 conflict. Which of a class's
exemplars make a pair's pictures is drawn (5 different shapes, any texture). A decision takes a cue
with log odds `cue` plus one normal effect per shape and one per texture exemplar, and then the
shape with log odds `bias` plus two more; `sd` is the standard deviation of all four. The truth is
the share over all exemplars that might have been used, by Gauss-Hermite quadrature.

**Drops.** Pictures of random difficulty, decided twice; the truth is the drop over all pictures.

Every line has the coverage of 95 % intervals with its own standard error, their median width, and
how many had none.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import json
import platform
import sys
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
from scipy.special import expit, ndtr

from fastclip.evaluators.shape_bias import CueCounts
from fastclip.machine import processor_name, usable_cores
from fastclip.statistics.intervals.base import Interval
from fastclip.statistics.intervals.ratios import fieller, paired_t
from fastclip.statistics.intervals.shares import wilson
from fastclip.statistics.intervals.two_way import TwoWayBootstrap

CLASSES, SHAPES, TEXTURES, PICTURES = 16, 10, 3, 5


def design(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Shape and texture exemplar, `[1200]` each, of the conflict pictures."""
    pairs = [(s, t) for s in range(CLASSES) for t in range(CLASSES) if s != t]
    shapes = [s * SHAPES + rng.choice(SHAPES, PICTURES, replace=False) for s, _ in pairs]
    textures = [t * TEXTURES + rng.integers(0, TEXTURES, PICTURES) for _, t in pairs]
    return np.concatenate(shapes), np.concatenate(textures)


def mean_of_odds(log_odds: float, sd: float) -> float:
    """The mean of expit(log_odds + two effects of this standard deviation)."""
    nodes, weights = np.polynomial.hermite_e.hermegauss(200)
    return float(expit(log_odds + np.sqrt(2) * sd * nodes) @ weights / weights.sum())


def decide(
    shape: np.ndarray, texture: np.ndarray, cue: float, bias: float, sd: float, rng: Any
) -> np.ndarray:
    """Columns is_shape, is_texture, neither, `[3, N]`."""

    def drawn(log_odds: float) -> np.ndarray:
        of_shape = rng.normal(0, sd, CLASSES * SHAPES)[shape]
        of_texture = rng.normal(0, sd, CLASSES * TEXTURES)[texture]
        odds = log_odds + of_shape + of_texture
        return np.asarray(rng.uniform(size=len(shape)) < expit(odds))

    takes, by_shape = drawn(cue), drawn(bias)
    return np.stack([takes & by_shape, takes & ~by_shape, ~takes])


def summary(intervals: Iterable[Interval], truth: float) -> dict[str, float]:
    """Coverage among those that are intervals."""
    found = list(intervals)
    known = [(i.low, i.high) for i in found if i.low is not None and i.high is not None]
    low, high = np.array(known).T
    coverage = float(((low <= truth) & (truth <= high)).mean())
    return {
        "coverage": round(coverage, 4),
        "standard_error": round(float(np.sqrt(coverage * (1 - coverage) / len(known))), 4),
        "median_width": round(float(np.median(high - low)), 4),
        "without": len(found) - len(known),
    }


def shape_bias(cue: float, bias: float, sd: float, options: Any) -> dict[str, Any]:
    """Two-way bootstrap and Wilson on the same decisions."""
    rng = np.random.default_rng(options.seed)
    shape, texture = design(rng)
    bootstrap = TwoWayBootstrap(shape.astype(str), texture.astype(str), options.resamples)
    own = shape < SHAPES  # one category
    of_category = TwoWayBootstrap(
        shape[own].astype(str), texture[own].astype(str), options.resamples
    )
    found: dict[str, list[Interval]] = {}
    for _ in range(options.simulations):
        columns = decide(shape, texture, cue, bias, sd, rng)
        counts = CueCounts(*bootstrap.sums(columns))
        category = CueCounts(*of_category.sums(columns[:, own]))
        s, t = (int(n) for n in columns[:2].sum(axis=1))
        for name, interval in {
            "shape_bias, two-way": bootstrap.interval(counts.shape_bias[1:]),
            "shape_bias, Wilson": wilson(s, s + t),
            "cue_accuracy, two-way": bootstrap.interval(counts.cue_accuracy[1:]),
            "cue_accuracy, Wilson": wilson(s + t, len(shape)),
            "shape_bias of a category, two-way": of_category.interval(category.shape_bias[1:]),
        }.items():
            found.setdefault(name, []).append(interval)
    truths = {"shape_bias": mean_of_odds(bias, sd), "cue_accuracy": mean_of_odds(cue, sd)}
    return {
        "cue": cue,
        "bias": bias,
        "sd": sd,
        "truth": {name: round(value, 4) for name, value in truths.items()},
        "intervals": {
            name: summary(intervals, truths[name.split(",")[0].split(" ")[0]])
            for name, intervals in found.items()
        },
    }


def drop(clean: float, distorted: float, pictures: int, options: Any) -> dict[str, Any]:
    """Accuracies, correlated within pictures, of a model with 100 classes."""
    rng = np.random.default_rng(options.seed)
    chance, together = 0.01, 0.6
    found: dict[str, list[Interval]] = {}
    for _ in range(options.simulations):
        # Normal scores with correlation `together`: each margin is exact.
        ease = rng.normal(size=pictures)
        before, after = (
            ndtr(np.sqrt(together) * ease + np.sqrt(1 - together) * rng.normal(size=pictures)) < p
            for p in (clean, distorted)
        )
        lost = before.astype(float) - after
        for name, interval in {
            "drop_abs, paired t": paired_t(lost),
            "drop_rel, Fieller": fieller(lost, before.astype(float)),
            "drop_rel_chance, Fieller": fieller(lost, before - chance),
            "acc1, Wilson": wilson(int(before.sum()), pictures),
        }.items():
            found.setdefault(name, []).append(interval)
    lost_share = clean - distorted
    truths = {
        "drop_abs": lost_share,
        "drop_rel": lost_share / clean,
        "drop_rel_chance": lost_share / (clean - chance),
        "acc1": clean,
    }
    return {
        "clean": clean,
        "distorted": distorted,
        "pictures": pictures,
        "intervals": {
            name: summary(intervals, truths[name.split(",")[0]])
            for name, intervals in found.items()
        },
    }


def main(arguments: list[str]) -> None:
    """Print the simulations as JSON."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--simulations", type=int, default=2000)
    parser.add_argument("--resamples", type=int, default=2000)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args(arguments)
    cases: list[tuple[Callable[..., dict[str, Any]], tuple[Any, ...]]] = [
        *((shape_bias, (1.5, -0.8, sd)) for sd in (0.0, 0.5, 1.0, 1.5)),
        (shape_bias, (3.0, 2.5, 1.0)),
        *((drop, (clean, clean / 2, n)) for clean in (0.03, 0.6) for n in (1000, 10_000)),
    ]
    json.dump(
        {
            "machine": {"processor": processor_name(), "cores": usable_cores()},
            "versions": {
                "python": platform.python_version(),
                "numpy": importlib.metadata.version("numpy"),
                "scipy": importlib.metadata.version("scipy"),
            },
            "options": vars(options),
            "cases": [
                {"kind": function.__name__, **function(*case, options)} for function, case in cases
            ],
        },
        sys.stdout,
        indent=1,
    )
    print()


if __name__ == "__main__":
    main(sys.argv[1:])
