"""The one number of each task that a sweep is about, declared before anything is measured.

It is written to `OUT/config.json` when the folder is settled. Every other number of the task is
exploratory: the more of them are looked at, the likelier one of them shows something by chance.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from fastclip.evaluators.options import TaskOptions

Factors = Mapping[str, str | float | None]
"""Column -> value; None is NA."""


def primary_endpoints(options: TaskOptions) -> dict[str, dict[str, Any]]:
    """`{task: {"metric": ..., "factors": {column: value}}}` as JSON values.

    Image quality: SRCC of the cosine distance, pooled over pairs (of the first distance, where
    cosine is not measured). Shape bias: over all conflict pictures. Robustness: the relative drop
    above chance under the first distortion named, with its first seed.
    """
    distance = "cosine" if "cosine" in options.distances else options.distances[0]
    endpoints: dict[str, dict[str, Any]] = {
        "iqa": {"metric": "srcc", "factors": {"subset": "pooled", "distance": distance}},
        "shape-bias": {"metric": "shape_bias", "factors": {"category": None}},
    }
    for headline in list(options.distortions())[:1]:
        endpoints["robustness"] = {
            "metric": "drop_rel_chance",
            "factors": {
                "distortion": headline.kind,
                "level": headline.level,
                "noise_seed": headline.seed if headline.random else None,
            },
        }
    return endpoints
