"""Several runs of one architecture as one curve, by samples seen and by clean accuracy."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np
import numpy.typing as npt

from fastclip.analysis.base import Curve, Numbers, RunsMean
from fastclip.analysis.links import CLEAN, common
from fastclip.analysis.sentences import mean_sentence, run_label
from fastclip.statistics.curves.runs import MeanCurve, Run, by_accuracy, by_samples


def means_of(curves: Sequence[Curve]) -> list[RunsMean]:
    """Every primary curve that at least two runs of one architecture have."""
    by_name: dict[tuple[str, ...], list[Curve]] = {}
    for curve in curves:
        if curve.endpoint.primary:
            key = (curve.endpoint.key, curve.dataset, curve.arch, curve.weights)
            by_name.setdefault(key, []).append(curve)
    clean = {curve.group: curve for curve in curves if curve.endpoint.key == CLEAN}
    return [
        mean
        for several in by_name.values()
        if len(several) > 1
        for mean in (*_by_samples(several), *_by_accuracy(several, clean))
    ]


def _by_samples(curves: Sequence[Curve]) -> Iterator[RunsMean]:
    """Of the runs whose usable checkpoints all say what they have seen."""
    known = [
        curve
        for curve in curves
        if all(s is not None for s, ok in zip(curve.samples_seen, curve.usable, strict=True) if ok)
        and any(curve.usable)
    ]
    runs: list[Run] = []
    for curve in known:
        samples, values, _ = common(curve, curve)
        assert samples is not None  # samples seen is the first axis that `common` looks at
        runs.append((samples, values))
    if len(runs) > 1:
        yield from _mean(known, "samples_seen", by_samples(runs))


def _by_accuracy(
    curves: Sequence[Curve], clean: dict[tuple[str, str, str], Curve]
) -> Iterator[RunsMean]:
    matched = [(curve, clean[curve.group]) for curve in curves if curve.group in clean]
    if len(matched) < 2:
        return
    runs: list[Run] = []
    for curve, accuracy in matched:
        _, reached, values = common(accuracy, curve)
        runs.append((reached, values))
    yield from _mean([curve for curve, _ in matched], "acc1", by_accuracy(runs))


def _mean(curves: Sequence[Curve], axis: str, mean: MeanCurve) -> Iterator[RunsMean]:
    if not len(mean.x):
        return  # the runs have no range in common
    found = RunsMean(
        curves[0].endpoint.key,
        curves[0].dataset,
        axis,
        tuple(run_label(curve.group, [other.group for other in curves]) for curve in curves),
        tuple(float(x) for x in mean.x),
        _numbers(mean.mean),
        _numbers(mean.low, len(mean.x)),
        _numbers(mean.high, len(mean.x)),
        "",
    )
    yield replace(found, sentence=mean_sentence(found, curves[0]))


def _numbers(values: npt.NDArray[np.float64] | None, count: int = 0) -> Numbers:
    return (None,) * count if values is None else tuple(float(value) for value in values)
