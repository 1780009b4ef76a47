"""A sweep's table and its analysis, made up: smooth curves with intervals of plausible width."""

from __future__ import annotations

import math
from collections.abc import Sequence

import pandas as pd

from fastclip.analysis.base import (
    Analysis,
    Context,
    Curve,
    Endpoint,
    Link,
    RunsMean,
    TypeFinding,
)
from fastclip.results.table import COLUMNS
from fastclip.statistics.curves.peak import Peak

NOISE = {"distortion": "gaussian_noise", "level": 0.1, "noise_seed": 0}
ENDPOINTS = {
    "iqa": Endpoint(
        "iqa", "iqa", "srcc", {"subset": "pooled", "distance": "cosine"},
        "Image-quality alignment", "reference picture", primary=True,
    ),
    "shape-bias": Endpoint(
        "shape-bias", "shape-bias", "shape_bias", {"category": None}, "Shape bias", "exemplar",
        primary=True,
    ),
    "robustness": Endpoint(
        "robustness", "robustness", "drop_rel_chance", NOISE, "Accuracy lost", "picture",
        primary=True,
    ),
}  # fmt: skip


def made_rows(
    checkpoints: int = 12,
    runs: Sequence[str] = ("run",),
    tasks: Sequence[str] = ("iqa", "shape-bias", "robustness", "embedding-diagnostics"),
    types: int = 24,
    categories: Sequence[str] = ("bear", "boat", "cat", "truck"),
    samples: bool = True,
) -> pd.DataFrame:
    """Rows as a sweep writes them: alignment peaks, shape bias rises, the drop falls."""
    rows = []
    for r, run in enumerate(runs):
        for i in range(checkpoints):
            t = i / max(checkpoints - 1, 1)
            step = round(10 ** (4 * t)) if i else 0
            place = {
                "run": run, "checkpoint": f"{run}/step_{i:04d}.pt", "checkpoint_id": f"{r}-{i}",
                "step": step, "epoch": i, "samples_seen": step * 256 if samples else None,
            }  # fmt: skip
            rows += [{**place, **row} for row in _task_rows(t, r, tasks, types, categories)]
    frame = pd.DataFrame(rows).reindex(columns=list(COLUMNS))
    frame = frame.assign(arch="ViT-B-32", weights="raw", protocol_id=frame["task"], n=3000)
    return frame.assign(n_units=25, flag=frame["flag"].astype("string").fillna("")).astype(COLUMNS)


def _task_rows(t: float, r: int, tasks: Sequence[str], types: int, categories: Sequence[str]):
    align = 0.5 + 0.25 * math.sin(math.pi * min(t * 1.3, 1)) - 0.05 * r
    clean, flag = 0.01 + 0.6 * t, "at_chance" if t < 0.15 else ""
    if "iqa" in tasks:
        iqa = {"task": "iqa", "dataset": "tid2013", "metric": "srcc", "distance": "cosine"}
        yield _within({**iqa, "subset": "pooled"}, align, 0.06)
        for k in range(types):
            yield _within({**iqa, "distortion": f"type_{k}"}, align * math.cos(k / 12), 0.1)
    if "shape-bias" in tasks:
        cue = {"task": "shape-bias", "dataset": "cue-conflict", "metric": "shape_bias"}
        yield _within({**cue, "flag": flag}, 0.25 + 0.3 * t, 0.05)
        for k, name in enumerate(categories):
            yield _within({**cue, "flag": flag, "category": name}, 0.2 + 0.3 * t + 0.1 * k, 0.1)
    if "robustness" in tasks:
        cifar = {"task": "robustness", "dataset": "cifar100"}
        yield _within({**cifar, "metric": "acc1", "distortion": "none"}, clean, 0.01)
        yield _within({**cifar, **NOISE, "metric": "acc1"}, clean * 0.6, 0.01)
        drop = {**cifar, **NOISE, "metric": "drop_rel_chance"}
        yield _within(drop, 0.8 - 0.4 * t, 0.03) if t else {**drop, "flag": "clean_at_chance"}
    if "embedding-diagnostics" in tasks:
        shape = {"task": "embedding-diagnostics", "dataset": "tid2013"}
        yield {**shape, "metric": "effective_rank", "value": 20 + 100 * t}
        yield {**shape, "metric": "logit_scale", "value": 14 + 80 * t}


def _within(row: dict, value: float, half: float) -> dict:
    return {**row, "value": value, "ci_low": value - half, "ci_high": value + half}


def made_analysis(rows: pd.DataFrame) -> Analysis:
    """Curves of the primary endpoints with bands twice as wide as their intervals."""
    curves = tuple(curve for endpoint in ENDPOINTS.values() for curve in _curves(rows, endpoint))
    run = curves[0].run if curves else ""
    mean = RunsMean(
        "iqa", "tid2013", "samples_seen", ("a", "b", "c"), (1e4, 1e5, 1e6), (0.5, 0.7, 0.6),
        (0.4, 0.6, 0.5), (0.6, 0.8, 0.7), "Three runs rise.",
    )  # fmt: skip
    several = sum(curve.endpoint.key == "iqa" for curve in curves) > 1
    means = (mean,) if several else ()
    return Analysis(
        curves=curves,
        links=(
            Link("iqa", "shape-bias", run, 12, -0.8, -0.3, 0.04, "circular shifts", ""),
            Link("iqa", "robustness", run, 12, 0.7, None, None, "", "fewer than 20 checkpoints"),
        ),
        context=(
            Context("iqa", "PSNR on the same pictures", 0.69, source="RGB", dataset="tid2013"),
            Context("shape-bias", "guessing", 0.5, dataset="cue-conflict"),
            Context("shape-bias", "humans", 0.9587, 0.919, 0.987, "ten observers", "cue-conflict"),
        ),
        types=(TypeFinding((run, "ViT-B-32", "raw"), "tid2013", "type_1", "peak", 0.001, 0.01),),
        means=means,
        sentences=(*(mean.sentence for mean in means), *(curve.sentence for curve in curves)),
        checks={"data": "complete", "failures": "! 2 checkpoints", "canary": "worst 2e-7"},
        comparisons=99,
        notes=("Two checkpoints are left out.",),
        settings={"resamples": 1000, "seed": 0},
    )  # fmt: skip


def _curves(rows: pd.DataFrame, endpoint: Endpoint):
    chosen = rows[(rows["task"] == endpoint.task) & (rows["metric"] == endpoint.metric)]
    for column, wanted in endpoint.factors.items():
        chosen = chosen[chosen[column].isna() if wanted is None else chosen[column] == wanted]
    for (run, dataset), g in chosen.groupby(["run", "dataset"], sort=False):

        def numbers(column: str, g: pd.DataFrame = g) -> tuple[float | None, ...]:
            return tuple(None if v != v else v for v in g[column].astype("float64").tolist())

        value, low, high = (numbers(c) for c in ("value", "ci_low", "ci_high"))
        usable = tuple(
            v is not None and f == "" for v, f in zip(value, g["flag"].fillna(""), strict=True)
        )
        known = [i for i, ok in enumerate(usable) if ok]
        highest = max(known, key=lambda i: value[i], default=None)
        best = tuple(i for i in known if value[highest] - value[i] < 0.04)
        wide = [
            tuple(v - f * (v - e) * 2 if ok else None
                  for v, e, ok in zip(value, end, usable, strict=True))
            for f, end in ((1, low), (1, high))
        ]  # fmt: skip
        yield Curve(
            endpoint, str(run), str(g["arch"].iloc[0]), "raw", str(dataset), endpoint.task,
            tuple(g["checkpoint"]), numbers("samples_seen"), numbers("step"), numbers("epoch"),
            value, low, high, wide[0], wide[1], usable, tuple(g["flag"].fillna("")), 3000, 25,
            "this run, over 25 references",
            Peak("peak" if len(known) > 2 else "too_few", highest, best, None, None, None, 1.0),
            f"{endpoint.title} of {run} rises, then falls ({len(known)} checkpoints).",
        )  # fmt: skip
