"""From the items behind the points of a curve to resamples that are paired over them."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from fastclip.analysis.base import Endpoint
from fastclip.analysis.replicates import (
    Resampling,
    accuracy_curve,
    correlation_curves,
    drop_curve,
    partial_curve,
    shape_bias_curve,
)
from fastclip.analysis.source import Source
from fastclip.errors import RefusalError
from fastclip.statistics.curves.base import PairedCurve

if TYPE_CHECKING:
    import pandas as pd


def paired_curve(
    source: Source, endpoint: Endpoint, group: pd.DataFrame, how: Resampling
) -> PairedCurve:
    """The paired curve of these rows, one per checkpoint, in their order.

    Raises:
        RefusalError: a record's items are not there, or the clean record that a drop needs.
    """
    return _RESAMPLERS[endpoint.task](source, endpoint, group, how)


def _image_quality(
    source: Source, endpoint: Endpoint, group: pd.DataFrame, how: Resampling
) -> PairedCurve:
    distance = str(endpoint.factors["distance"])
    partial = endpoint.metric == "srcc_partial_psnr"
    scores, items = pair_distances(source, group, distance, psnr=partial)
    if partial:
        return partial_curve(scores, items["score"], items["psnr"], items["reference"], how)
    every = [np.arange(scores.shape[1])]
    (curve,) = correlation_curves(
        endpoint.metric, scores, items["score"], every, items["reference"], how
    )
    return curve


def pair_distances(
    source: Source, group: pd.DataFrame, distance: str, *, psnr: bool = False
) -> tuple[npt.NDArray[np.float64], dict[str, npt.NDArray[Any]]]:
    """Distances `[T, P]`, turned so that they follow the scores, and the pairs' columns."""
    higher = source.protocols[group["protocol_id"].iloc[0]].get("higher_is_better", True)
    columns = ["score", "reference", "type", *(["psnr"] if psnr else [])]
    first = source.items(group.iloc[0], columns)
    scores = np.stack([source.items(row, [distance])[distance] for _, row in group.iterrows()])
    return scores * (-1.0 if higher else 1.0), first


def _shape_bias(
    source: Source, endpoint: Endpoint, group: pd.DataFrame, how: Resampling
) -> PairedCurve:
    first = source.items(group.iloc[0], ["conflict", "shape_exemplar", "texture_exemplar"])
    conflict = first["conflict"].astype(bool)
    found = [source.items(row, ["is_shape", "is_texture"]) for _, row in group.iterrows()]
    return shape_bias_curve(
        endpoint.metric,
        np.stack([items["is_shape"].astype(bool)[conflict] for items in found]),
        np.stack([items["is_texture"].astype(bool)[conflict] for items in found]),
        first["shape_exemplar"][conflict].astype(str),
        first["texture_exemplar"][conflict].astype(str),
        how,
    )


def _robustness(
    source: Source, endpoint: Endpoint, group: pd.DataFrame, how: Resampling
) -> PairedCurve:
    right = _right(source, group)
    if endpoint.metric == "acc1":
        return accuracy_curve(right, how)
    protocol = group["protocol_id"].iloc[0]
    if protocol not in source.clean_of:
        raise RefusalError(
            f"the clean accuracy that {endpoint.title} is a drop from is not on record",
            where=source.out,
            mend="run the sweep again: it measures what is missing",
        )
    clean = _right(source, group.assign(protocol_id=source.clean_of[protocol]))
    return drop_curve(clean, right, 1 / source.protocols[protocol]["classes"], how)


def _right(source: Source, group: pd.DataFrame) -> npt.NDArray[np.bool_]:
    found = [source.items(row, ["label", "decision"]) for _, row in group.iterrows()]
    return np.stack([items["label"] == items["decision"] for items in found])


_RESAMPLERS: dict[str, Callable[[Source, Endpoint, pd.DataFrame, Resampling], PairedCurve]] = {
    "iqa": _image_quality,
    "shape-bias": _shape_bias,
    "robustness": _robustness,
}
"""How each task's items become a paired curve."""
