"""Distortion types of an image-quality set: which of them peak, with false discoveries bounded."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from fastclip.analysis.base import Endpoint, TypeFinding
from fastclip.analysis.curves import Measured, has_spread
from fastclip.analysis.paired import pair_distances
from fastclip.analysis.replicates import Resampling, correlation_curves
from fastclip.analysis.source import Source
from fastclip.statistics.curves.bands import benjamini_hochberg
from fastclip.statistics.curves.peak import CHECKPOINTS, judge


def type_findings(
    source: Source, endpoint: Endpoint, curves: list[Measured], how: Resampling
) -> Iterator[TypeFinding]:
    """A verdict per distortion type of each image-quality curve, with q over its types.

    Exploratory: p is that of a peak, corrected over the types of one run and set by Benjamini
    and Hochberg.
    """
    for measured in curves:
        curve = measured.curve
        if endpoint.task != "iqa" or len(measured.rows) < CHECKPOINTS:
            continue
        scores, items = pair_distances(source, measured.rows, str(endpoint.factors["distance"]))
        kinds = items["type"].astype(str)
        types = [str(name) for name in np.unique(kinds) if name]
        groups = [np.flatnonzero(kinds == name) for name in types]
        paired = correlation_curves(
            endpoint.metric, scores, items["score"], groups, items["reference"], how
        )
        known = (one.subset(np.flatnonzero(has_spread(one))) for one in paired)
        found = [judge(one, with_set=False) for one in known]
        q = benjamini_hochberg([peak.p for peak in found])
        for name, peak, rate in zip(types, found, q, strict=True):
            yield TypeFinding(curve.group, curve.dataset, name, peak.kind, peak.p, float(rate))
