"""How often unrelated curves are called linked, and linked ones are.

    python bench/links.py > bench/results/links.json

Pairs of saturating curves 1 - exp(-(x / tau)^beta) over 8 doublings, tau and beta drawn anew for
each, plus AR(1) noise over checkpoints. Unrelated (`shared` 0) or with that share of the noise's
variance in common. Rates of p <= 0.05 by `increments_link`; beside it, what goes wrong
otherwise: `levels` is the median correlation over checkpoints, `levels_t` how often its t-test
says p <= 0.05, `plain_shifts` the circular-shift test of increments that are ranked over the
whole run instead of among those around them.
"""

from __future__ import annotations

import argparse
import itertools
import json
import sys
from typing import Any

import numpy as np
from scipy import signal, stats

from fastclip.statistics.curves import increments_link

DOUBLINGS = 8


def autoregressive(rng: np.random.Generator, size: int, kept: float) -> np.ndarray:
    """An AR(1) process of variance 1."""
    innovations = rng.normal(size=size) * np.sqrt(1 - kept * kept)
    innovations[0] = rng.normal()
    return signal.lfilter([1], [1, -kept], innovations)


def pair(
    rng: np.random.Generator, x: np.ndarray, noise: float, kept: float, shared: float
) -> list[np.ndarray]:
    """Two saturating curves."""
    common = autoregressive(rng, len(x), kept)
    curves = []
    for _ in range(2):
        tau = x[0] * (x[-1] / x[0]) ** rng.uniform(0.1, 0.8)
        level = 1 - np.exp(-((x / tau) ** rng.uniform(0.5, 1)))
        own = autoregressive(rng, len(x), kept)
        curves.append(level + noise * (np.sqrt(shared) * common + np.sqrt(1 - shared) * own))
    return curves


def plain(x: np.ndarray, a: np.ndarray, b: np.ndarray) -> float:
    """p of the circular-shift test without local ranks."""
    u, v = (stats.rankdata(np.diff(each) / np.diff(np.log2(x))) for each in (a, b))
    u, v = u - u.mean(), v - v.mean()
    products = np.abs(np.lib.stride_tricks.sliding_window_view(np.tile(v, 2), len(v))[:-1] @ u)
    return float(np.mean(products >= products[0] * (1 - 1e-9)))


def rates(rng: np.random.Generator, repeats: int, x: np.ndarray, *how: float) -> dict[str, Any]:
    """Of one kind of pair."""
    local, shifts, levels = [], [], []
    for _ in range(repeats):
        a, b = pair(rng, x, *how)
        local.append(increments_link(x, a, b).p <= 0.05)
        shifts.append(plain(x, a, b) <= 0.05)
        levels.append(stats.spearmanr(a, b))
    return {
        "increments_link": round(float(np.mean(local)), 4),
        "plain_shifts": round(float(np.mean(shifts)), 4),
        "levels": round(float(np.median([each.statistic for each in levels])), 3),
        "levels_t": round(float(np.mean([each.pvalue <= 0.05 for each in levels])), 4),
    }


def main() -> None:
    """Prints the JSON."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--checkpoints", type=int, nargs="+", default=[25, 100, 300])
    parser.add_argument("--noise", type=float, nargs="+", default=[0.002, 0.01, 0.03])
    parser.add_argument("--kept", type=float, nargs="+", default=[0, 0.8, 0.98])
    parser.add_argument("--shared", type=float, nargs="+", default=[0, 0.6])
    parser.add_argument("--repeats", type=int, default=400)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    report: dict[str, Any] = {"options": vars(options), "cells": {}, "mean": {}}
    cells = itertools.product(
        options.shared, ("log", "linear"), options.checkpoints, options.noise, options.kept
    )
    for number, (shared, spacing, count, noise, kept) in enumerate(cells):
        rng = np.random.default_rng([options.seed, number])
        space = np.geomspace if spacing == "log" else np.linspace
        x = space(1, 2**DOUBLINGS, count)
        title = f"shared {shared}, {spacing} {count}, noise {noise}, AR {kept}"
        found = rates(rng, options.repeats, x, noise, kept, shared)
        report["cells"][title] = found
        print(title, json.dumps(found), file=sys.stderr, flush=True)
    for shared in options.shared:
        own = [v for k, v in report["cells"].items() if k.startswith(f"shared {shared},")]
        for name in ("increments_link", "plain_shifts", "levels_t"):
            each = [cell[name] for cell in own]
            title = f"{name}, shared {shared}"
            report["mean"][title] = {"mean": round(float(np.mean(each)), 4), "max": max(each)}
    json.dump(report, sys.stdout, indent=1)
    print()


if __name__ == "__main__":
    main()
