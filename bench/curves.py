"""What the statements on curves hold: false peaks, and coverage of the set for the highest.

    python bench/curves.py > bench/results/curves.json

Scores of T checkpoints over a simulated image-quality set are made, correlated (Spearman) and
judged by `fastclip.statistics.curves`, many times; Monte Carlo errors are given.

**References are the units.** Every repetition draws C of them anew: each takes the human scores
of one of TID2013's 25 references (24 types x 5 levels; FASTCLIP_SHARED or ../shared/data; made-up
ones where absent) and has effects of its own. Score of picture i of reference r at checkpoint t:

    (a_t + g_r(t)) human_i + o_r(t) + type_i + e_i(t)

with g, o, e normal, a `shared` part of their variance constant over t, the rest stationary: an
AR(1) process with correlation time T/5 (`smooth`) or independent over t (`rough`). So over all
references there could be, the correlation is a function of a_t that rises with it: flat where a_t
is, highest where a_t is highest (`population` checks it on thousands of references).

Standard errors come from the jackknife that leaves each reference out. Bootstrap resamples are
linear in it, z + sum (m_r - 1) (C - 1) / C (z - z_without_r), which is a thousand times cheaper;
`--bootstrap R` repeats the first R of every cell with resampled pictures and gives both.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import platform
import sys
import time
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import scipy

from fastclip.statistics.batched import correlate
from fastclip.statistics.curves import PairedCurve, beaten_p, judge, simultaneous_band, to_scale

TYPES, LEVELS = 24, 5
SHARED = Path(
    os.environ.get("FASTCLIP_SHARED", Path(__file__).resolve().parents[2] / "shared/data")
)
GAIN, OFFSET, TYPE, NOISE = 0.15, 0.3, 0.3, 0.8
RESAMPLES = 999
SHAPED = 48
"""Checkpoints of the curves that are not flat."""
SETS = 25
"""Repetitions whose whole set is made."""


def human_scores() -> tuple[np.ndarray, str]:
    """Standardised scores `[references, types x levels]`, and where they are from."""
    path = SHARED / "mos" / "tid2013_mos_with_names.txt"
    if path.is_file():
        scores = np.loadtxt(path, usecols=0).reshape(25, -1)
        source = "TID2013"
    else:
        rng = np.random.default_rng(0)
        scores = np.tile(5.5 - 0.6 * np.arange(LEVELS), TYPES) + rng.normal(0, 0.8, (25, 120))
        source = "made up"
    return (scores - scores.mean()) / scores.std(), source


def shape(name: str, checkpoints: int, height: float) -> tuple[np.ndarray, list[int]]:
    """Signal a_t `[T]`, and the checkpoints where it is highest (few of a plateau's)."""
    x = np.linspace(0, 1, checkpoints)
    if name == "flat":
        return np.ones(checkpoints), [checkpoints // 2]
    if name == "peak":
        raised = np.where(x < 0.4, x / 0.4, (1 - x) / 0.6)
    elif name == "plateau":
        raised = np.minimum(x / 0.5, 1)
    elif name == "monotone":
        raised = x
    else:
        raised = np.sin(2 * np.pi * x) ** 2
    tops = np.flatnonzero(raised > raised.max() - 1e-9)
    return 1 + height * raised, sorted({int(tops[0]), int(tops[len(tops) // 2]), int(tops[-1])})


class World:
    """Sets of references with their scores at every checkpoint, drawn anew each time."""

    def __init__(self, signal: np.ndarray, units: int, pictures: int, path: str, seed: int) -> None:
        self.signal, self.units, self.pictures = signal, units, pictures
        self.smooth, self.shared = path == "smooth", 0.7 if path == "smooth" else 0.5
        self.human, self.source = human_scores()
        self.rng = np.random.default_rng(seed)
        self.type_effects = np.random.default_rng(1).normal(0, TYPE, TYPES)

    def process(self, spread: float, size: int) -> np.ndarray:
        """`[T, size]`: part constant over checkpoints, part stationary."""
        checkpoints = len(self.signal)
        moving = self.rng.standard_normal((checkpoints, size), np.float32)
        if self.smooth:
            kept = np.float32(np.exp(-5 / checkpoints))
            for t in range(1, checkpoints):
                moving[t] = kept * moving[t - 1] + np.sqrt(1 - kept * kept) * moving[t]
        constant = self.rng.standard_normal(size, np.float32)
        return spread * (np.sqrt(self.shared) * constant + np.sqrt(1 - self.shared) * moving)

    def draw(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Scores `[T, N]`, human scores `[N]` and references `[N]`."""
        profiles = self.human[self.rng.integers(len(self.human), size=self.units)]
        kept = np.arange(TYPES * LEVELS)[None].repeat(self.units, 0)
        if self.pictures < TYPES * LEVELS:
            kept = self.rng.permuted(kept, axis=1)[:, : self.pictures]
        human = np.take_along_axis(profiles, kept, 1).ravel()
        references = np.repeat(np.arange(self.units), self.pictures)
        gain, offset = self.process(GAIN, self.units), self.process(OFFSET, self.units)
        scores = self.process(NOISE, len(human))
        scores += (self.signal[:, None] + gain)[:, references] * human + offset[:, references]
        return scores + self.type_effects[kept.ravel() // LEVELS], human, references

    def curves(self, bootstrap: bool) -> tuple[PairedCurve, PairedCurve | None]:
        """One drawn set's curve, with linear resamples; with resampled pictures if wanted."""
        scores, human, references = self.draw()

        def replicates(resamples: Any) -> np.ndarray:
            options = {
                "clusters": references,
                "threads": 1,
                "seed": int(self.rng.integers(1 << 62)),
            }
            values = correlate("srcc", scores, human, resamples=resamples, **options).values[:, 0]
            return to_scale(values, "fisher")

        z = replicates("jackknife")
        influence = (z[:, :1] - z[:, 1:]) * (self.units - 1)
        influence -= influence.mean(axis=1, keepdims=True)
        linear = self.linear(z[:, 0], influence, "fisher")
        if not bootstrap:
            return linear, None
        return linear, replace(linear, resamples=replicates(RESAMPLES)[:, 1:])

    def linear(self, estimates: np.ndarray, influence: np.ndarray, scale: str) -> PairedCurve:
        """A curve with the covariance and the resamples of its units' influence, `[T, C]`."""
        covariance = influence @ influence.T / self.units / (self.units - 1)
        even = np.full(self.units, 1 / self.units)
        moved = influence @ (self.rng.multinomial(self.units, even, RESAMPLES).T / self.units)
        return PairedCurve(estimates, estimates[:, None] + moved, covariance, self.units, scale)

    def population(self, references: int = 2000) -> np.ndarray:
        """The correlation over a great many references, `[T]`; the mean over T where it is flat."""
        few = min(len(self.signal), 12)
        at = np.linspace(0, len(self.signal) - 1, few).round().astype(int)
        large = World(self.signal[at], references, self.pictures, "rough", 2)
        scores, human, _ = large.draw()
        values = correlate("srcc", scores, human, threads=1).values[:, 0, 0]
        if np.ptp(self.signal) == 0:
            return np.full(len(self.signal), values.mean())
        return np.interp(np.arange(len(self.signal)), at, values)


class Means(World):
    """The same without pictures: a unit adds its gain at each checkpoint, the curve is the mean.

    What the statements rest on, contributions of units, without the rank correlation: so cheap
    that thousands of repetitions are.
    """

    def curves(self, bootstrap: bool) -> tuple[PairedCurve, PairedCurve | None]:
        """One drawn set's curve; its resamples are linear anyway."""
        values = self.signal[:, None] + self.process(GAIN, self.units)
        influence = values - values.mean(axis=1, keepdims=True)
        return self.linear(values.mean(axis=1), influence, "identity"), None

    def population(self) -> np.ndarray:
        return self.signal


WORLDS: dict[str, tuple[type[World], float]] = {
    "correlations": (World, 0.1),
    "means": (Means, 0.08),
}
"""And how much higher the highest is than the lowest."""


def share(hits: Sequence[bool]) -> dict[str, float]:
    """A proportion and its Monte Carlo standard error."""
    rate = float(np.mean(hits))
    return {
        "rate": round(rate, 4),
        "error": round(float(np.sqrt(rate * (1 - rate) / len(hits))), 4),
    }


def cell(world: World, tops: list[int], repeats: int, bootstrap: int) -> dict[str, Any]:
    """Rates over repetitions of one world."""
    truth = world.population() if np.ptp(world.signal) == 0 else None
    kinds, stays, sizes, inside, agree = [], [], [], [], []
    for repeat in range(repeats):
        curve, resampled = world.curves(repeat < bootstrap)
        # The whole set takes most of the time and is only counted.
        result = judge(curve, with_set=repeat < SETS)
        kinds.append(result.kind)
        stays.append([beaten_p(curve, top) > 0.05 for top in tops])
        if repeat < SETS:
            sizes.append(len(result.best) / len(curve))
        if truth is not None:
            low, high = simultaneous_band(curve)
            inside.append(bool(((low <= truth) & (truth <= high)).all()))
        if resampled is not None:
            agree.append((result, judge(resampled)))
    report: dict[str, Any] = {
        "repeats": repeats,
        "peak": share([kind == "peak" for kind in kinds]),
        "rise": share([kind == "rise" for kind in kinds]),
        "fall": share([kind == "fall" for kind in kinds]),
        "set_covers": {
            top: share(own) for top, own in zip(tops, zip(*stays, strict=True), strict=True)
        },
        "set_share_median": round(float(np.median(sizes)), 3),
    }
    if truth is not None:
        report["band_covers"] = share(inside)
    if agree:
        report["with_resampled_pictures"] = {
            "repeats": len(agree),
            "same_kind": float(np.mean([a.kind == b.kind for a, b in agree])),
            "largest_difference_of_peak_p": round(max(abs(a.p - b.p) for a, b in agree), 4),
            "mean_set_sizes": [float(np.mean([len(e[i].best) for e in agree])) for i in (0, 1)],
        }
    return report


def cells(options: Any) -> list[tuple[type[World], str, float, int, int, str]]:
    """(what of, shape, height, T, C, path)."""
    chosen: list[tuple[type[World], str, float, int, int, str]] = []
    for kind, units, path in itertools.product(options.of, options.units, options.paths):
        world, height = WORLDS[kind]
        chosen += [(world, "flat", 0.0, count, units, path) for count in options.checkpoints]
        chosen += [(world, name, height, SHAPED, units, path) for name in options.shapes]
    return chosen


def measured(
    chosen: tuple[type[World], str, float, int, int, str], number: int, options: Any
) -> tuple[str, dict[str, Any]]:
    """A cell's title and rates; its seed is the first one plus its place."""
    kind, name, height, count, units, path = chosen
    start = time.process_time()
    signal, tops = shape(name, count, height)
    # 81 references with as many pictures each would only take longer.
    world = kind(signal, units, 120 if units <= 30 else 24, path, options.seed + number)
    repeats = options.repeats if kind is World else options.cheap_repeats
    result = cell(world, tops, repeats, options.bootstrap)
    result["processor_s"] = round(time.process_time() - start, 1)
    of = "correlations" if kind is World else "means"
    title = f"{of}: {name}, T {count}, references {units}, {path}"
    print(title, json.dumps(result), file=sys.stderr, flush=True)
    return title, result


def main() -> None:
    """Prints the JSON."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--checkpoints", type=int, nargs="*", default=[24, 100, 300])
    parser.add_argument("--units", type=int, nargs="+", default=[25, 81])
    parser.add_argument("--paths", nargs="+", default=["smooth", "rough"])
    parser.add_argument("--shapes", nargs="*", default=["peak", "plateau", "monotone", "humps"])
    parser.add_argument("--of", nargs="+", choices=list(WORLDS), default=list(WORLDS))
    parser.add_argument("--repeats", type=int, default=300)
    parser.add_argument("--cheap-repeats", type=int, default=1000, help="of means")
    parser.add_argument("--bootstrap", type=int, default=2)
    parser.add_argument("--jobs", type=int, default=1)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    report: dict[str, Any] = {
        "versions": {
            "python": platform.python_version(),
            "numpy": np.__version__,
            "scipy": scipy.__version__,
        },
        "options": vars(options),
        "human_scores": human_scores()[1],
        "cells": {},
    }
    chosen = cells(options)
    with ProcessPoolExecutor(options.jobs) as pool:
        done = pool.map(measured, chosen, range(len(chosen)), [options] * len(chosen))
        report["cells"] = dict(done)
    json.dump(report, sys.stdout, indent=1)
    print()


if __name__ == "__main__":
    main()
