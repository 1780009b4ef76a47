"""Lines to compare curves with: guessing, humans, PSNR, the human ceiling, anchors."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from fastclip.analysis.base import Context, Endpoint, numbers_of
from fastclip.analysis.endpoints import matching
from fastclip.analysis.source import Source

if TYPE_CHECKING:
    import pandas as pd

HUMAN_SHAPE_BIAS = 0.9587
"""Ten observers on the 1,200 published conflict pictures: 9,236 shape, 398 texture decisions
(pooled raw data of rgeirhos/texture-vs-shape)."""

HUMAN_RANGE = (0.919, 0.987)
"""Lowest and highest of the ten observers."""

PSNR = "PSNR"
CEILING = "human ceiling"


def context_of(source: Source, endpoints: Sequence[Endpoint]) -> list[Context]:
    """Every line there is for these endpoints."""
    return [
        line
        for endpoint in endpoints
        for line in (
            *_image_quality(source, endpoint),
            *_shape_bias(source, endpoint),
            *_accuracy(source, endpoint),
            *_anchors(source, endpoint),
        )
    ]


def _image_quality(source: Source, endpoint: Endpoint) -> Iterator[Context]:
    if endpoint.task != "iqa" or endpoint.metric not in ("srcc", "plcc", "krcc"):
        return
    lines = {
        "psnr": (PSNR, "RGB PSNR on the same pictures, in full"),
        "human_ceiling": (CEILING, "what a perfect predictor would reach, from the scores' errors"),
    }
    for distance, (label, text) in lines.items():
        factors = {**endpoint.factors, "distance": distance}
        rows = matching(source.everything, Endpoint("", "iqa", endpoint.metric, factors, "", ""))
        for dataset, group in rows.dropna(subset=["value"]).groupby("dataset", sort=False):
            row = group.iloc[0]
            low, high = numbers_of(row[["ci_low", "ci_high"]])
            yield Context(endpoint.key, label, float(row["value"]), low, high, text, str(dataset))


def _shape_bias(source: Source, endpoint: Endpoint) -> Iterator[Context]:
    if endpoint.task != "shape-bias":
        return
    for dataset, rows in matching(source.everything, endpoint).groupby("dataset", sort=False):
        name = str(dataset)
        if endpoint.metric == "cue_accuracy":
            classes = source.protocols[rows["protocol_id"].iloc[0]]["classes"]
            text = f"2 of {classes} classes are cues"
            yield Context(endpoint.key, "guessing", 2 / classes, source=text, dataset=name)
            continue
        yield Context(endpoint.key, "guessing", 0.5, source="whatever the picture", dataset=name)
        if name.split("[")[0] == "cue-conflict":
            text = "ten observers, pooled and range (Geirhos et al. 2019)"
            yield Context(endpoint.key, "humans", HUMAN_SHAPE_BIAS, *HUMAN_RANGE, text, name)


def _accuracy(source: Source, endpoint: Endpoint) -> Iterator[Context]:
    if endpoint.task != "robustness" or endpoint.metric != "acc1":
        return
    for dataset, rows in matching(source.everything, endpoint).groupby("dataset", sort=False):
        classes = source.protocols[rows["protocol_id"].iloc[0]]["classes"]
        text = f"1 of {classes} classes"
        yield Context(endpoint.key, "guessing", 1 / classes, source=text, dataset=str(dataset))


def _anchors(source: Source, endpoint: Endpoint) -> Iterator[Context]:
    rows: pd.DataFrame = matching(source.anchors, endpoint).dropna(subset=["value"])
    for _, row in rows[~rows["flag"].fillna("").str.contains("at_chance")].iterrows():
        low, high = numbers_of(row[["ci_low", "ci_high"]])
        yield Context(
            endpoint.key,
            str(row["checkpoint"]),
            float(row["value"]),
            low,
            high,
            "published weights",
            str(row["dataset"]),
        )
