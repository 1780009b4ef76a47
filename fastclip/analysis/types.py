"""Distortion types of an image-quality set: which of them peak, with false discoveries bounded."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from fastclip.analysis.base import Endpoint, TypeFinding
from fastclip.analysis.curves import RUN, Measured, pair_distances
from fastclip.analysis.endpoints import matching
from fastclip.analysis.replicates import Resampling, correlation_curves
from fastclip.analysis.source import Source
from fastclip.statistics.curves.bands import benjamini_hochberg
from fastclip.statistics.curves.peak import judge

FEWEST = 3
"""Usable checkpoints that a peak needs."""


def type_findings(
    source: Source, endpoint: Endpoint, curves: list[Measured], how: Resampling
) -> Iterator[TypeFinding]:
    """A verdict per distortion type of each image-quality curve, with q over its types.

    Exploratory: p is that of a peak, corrected over the types of one run and set by Benjamini
    and Hochberg.
    """
    for measured in curves:
        curve = measured.curve
        names = {n for n, usable in zip(curve.checkpoints, curve.usable, strict=True) if usable}
        if endpoint.task != "iqa" or len(names) < FEWEST:
            continue
        rows = matching(source.rows, endpoint)
        same = rows[[*RUN, "dataset"]] == [curve.run, curve.arch, curve.weights, curve.dataset]
        group = rows[same.all(axis=1) & rows["checkpoint"].isin(names)]
        scores, items = pair_distances(source, group, str(endpoint.factors["distance"]))
        types = [str(name) for name in np.unique(items["type"].astype(str)) if name]
        if not types:
            continue
        groups = [np.flatnonzero(items["type"].astype(str) == name) for name in types]
        found = [
            judge(paired, with_set=False)
            for paired in correlation_curves(
                endpoint.metric, scores, items["score"], groups, items["reference"], how
            )
        ]
        q = benjamini_hochberg([peak.p for peak in found])
        for name, peak, rate in zip(types, found, q, strict=True):
            yield TypeFinding(curve.run, curve.dataset, name, peak.kind, peak.p, float(rate))
