"""Which numbers are curves: the primary ones as the folder declares them, then the others."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from fastclip.analysis.base import Endpoint
from fastclip.evaluators.options import TaskOptions
from fastclip.evaluators.primary import primary_endpoints

if TYPE_CHECKING:
    import pandas as pd

TITLES = {
    "iqa": "Image-quality alignment",
    "shape-bias": "Shape bias",
    "robustness": "Normalised drop",
}
UNITS = {"iqa": "reference picture", "shape-bias": "shape exemplar", "robustness": "picture"}
NOT_DISTANCES = ("psnr", "human_ceiling")
"""Values of the `distance` column that are no distance of embeddings."""


def declared(config: Mapping[str, Any]) -> Mapping[str, Mapping[str, Any]]:
    """The primary endpoints that `config.json` declares, else the defaults."""
    return config.get("primary") or primary_endpoints(TaskOptions())


def primary(config: Mapping[str, Any]) -> list[Endpoint]:
    """One endpoint per task."""
    return [
        Endpoint(
            key=task,
            task=task,
            metric=body["metric"],
            factors=body["factors"],
            title=_title(task, body["metric"], body["factors"]),
            unit=UNITS[task],
            primary=True,
        )
        for task, body in sorted(declared(config).items(), key=lambda item: _rank(item[0]))
    ]


def _rank(task: str) -> int:
    return list(TITLES).index(task)


def exploratory(rows: pd.DataFrame, config: Mapping[str, Any]) -> list[Endpoint]:
    """Every other curve that the rows have, in a fixed order."""
    known = {(e.metric, *sorted(e.factors.items(), key=str)) for e in primary(config)}
    return [
        endpoint
        for endpoint in (*_image_quality(rows), *_shape_bias(rows), *_robustness(rows))
        if (endpoint.metric, *sorted(endpoint.factors.items(), key=str)) not in known
    ]


def matching(rows: pd.DataFrame, endpoint: Endpoint) -> pd.DataFrame:
    """The rows of one endpoint."""
    chosen = rows[(rows["task"] == endpoint.task) & (rows["metric"] == endpoint.metric)]
    for column, wanted in endpoint.factors.items():
        chosen = chosen[chosen[column].isna() if wanted is None else chosen[column] == wanted]
    return chosen


def _image_quality(rows: pd.DataFrame) -> Iterator[Endpoint]:
    pooled = rows[(rows["task"] == "iqa") & (rows["subset"] == "pooled")]
    for metric in ("srcc", "plcc", "krcc", "srcc_partial_psnr"):
        for distance in pooled[pooled["metric"] == metric]["distance"].dropna().unique():
            if distance in NOT_DISTANCES:
                continue
            factors = {"subset": "pooled", "distance": str(distance)}
            yield _other("iqa", metric, factors, f"iqa/{metric}/{distance}")


def _shape_bias(rows: pd.DataFrame) -> Iterator[Endpoint]:
    if ((rows["task"] == "shape-bias") & (rows["metric"] == "cue_accuracy")).any():
        yield _other("shape-bias", "cue_accuracy", {"category": None}, "shape-bias/cue_accuracy")


def _robustness(rows: pd.DataFrame) -> Iterator[Endpoint]:
    import pandas as pd

    of_task = rows[(rows["task"] == "robustness") & rows["metric"].isin(["acc1"])]
    keys = of_task[["distortion", "level", "noise_seed"]].drop_duplicates()
    for kind, level, seed in keys.itertuples(index=False, name=None):
        if kind == "none":
            yield _other("robustness", "acc1", {"distortion": "none"}, "robustness/acc1/clean")
            continue
        factors = {
            "distortion": str(kind),
            "level": float(level),
            "noise_seed": None if pd.isna(seed) else int(seed),
        }
        tail = f"{kind}@{level:g}" + (f"#{factors['noise_seed']}" if factors["noise_seed"] else "")
        yield _other("robustness", "acc1", factors, f"robustness/acc1/{tail}")
        yield _other("robustness", "drop_rel_chance", factors, f"robustness/drop/{tail}")


def _other(task: str, metric: str, factors: Mapping[str, Any], key: str) -> Endpoint:
    return Endpoint(key, task, metric, factors, _title(task, metric, factors), UNITS[task])


def _title(task: str, metric: str, factors: Mapping[str, Any]) -> str:
    """What people call it, with the choices that tell it from its siblings."""
    if task == "iqa":
        name = "SRCC beyond PSNR" if metric == "srcc_partial_psnr" else metric.upper()
        return f"{TITLES[task]} ({name}, {factors['distance']})"
    if task == "shape-bias":
        return TITLES[task] if metric == "shape_bias" else "Cue accuracy"
    if factors.get("distortion") == "none":
        return "Clean accuracy"
    condition = condition_words(factors)
    return (
        f"Accuracy under {condition}" if metric == "acc1" else f"Normalised drop under {condition}"
    )


def condition_words(factors: Mapping[str, Any]) -> str:
    """`Gaussian noise 0.1`, `contrast 0.4`."""
    name = str(factors["distortion"]).replace("_", " ").replace("gaussian", "Gaussian")
    return f"{name} {factors['level']:g}"
