"""`analyze`: everything an output folder allows to say, and its JSON."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from fastclip.analysis.base import Analysis
from fastclip.analysis.checks import checks_of
from fastclip.analysis.context import context_of
from fastclip.analysis.curves import Measured, curves_of
from fastclip.analysis.endpoints import exploratory, primary
from fastclip.analysis.links import links_of
from fastclip.analysis.means import means_of
from fastclip.analysis.replicates import Resampling
from fastclip.analysis.source import Source
from fastclip.analysis.types import type_findings
from fastclip.files import write_json
from fastclip.results.table import AXES
from fastclip.statistics.batched import RESAMPLES_DEFINITION

Say = Callable[[str], None]


def analyze(
    source: Source,
    *,
    resamples: int = 1000,
    seed: int = 0,
    threads: int = 0,
    say: Say = lambda text: None,
) -> Analysis:
    """Judge every curve of a sweep; writes nothing.

    Args:
        source: what of a folder may be compared (`read_source`).
        resamples: of references, exemplars or pictures, the same for all checkpoints.
        seed: of the resamples.
        threads: 0 for every core.
        say: told what is being done.

    Raises:
        RefusalError: a record's items are not there.
    """
    how = Resampling(resamples, seed, threads)
    headline = primary(source.config)
    others = exploratory(source.rows, source.config)
    first: list[Measured] = []
    rest: list[Measured] = []
    for endpoint in (*headline, *others):
        say(endpoint.title)
        (first if endpoint.primary else rest).extend(curves_of(source, endpoint, how))
    curves = tuple(measured.curve for measured in (*first, *rest))
    links = links_of(curves)
    types = [t for e in headline for t in type_findings(source, e, _of(first, e.key), how)]
    means = means_of(curves)
    over_runs = [mean.sentence for mean in means if mean.axis == "samples_seen"]
    return Analysis(
        curves=curves,
        links=tuple(links),
        context=tuple(context_of(source, [*headline, *others])),
        types=tuple(types),
        means=tuple(means),
        sentences=(*over_runs, *(c.sentence for c in curves if c.endpoint.primary)),
        checks=checks_of(source),
        comparisons=len(rest) + len(types) + sum(link.p is not None for link in links),
        notes=tuple(_notes(source)),
        settings={
            "level": 0.95,
            "resamples": resamples,
            "definition": RESAMPLES_DEFINITION,
            "seed": seed,
            "chosen": dict(source.chosen),
            "primary": {e.key: {"metric": e.metric, **e.factors} for e in headline},
        },
    )


def write_analysis(out: Path, analysis: Analysis) -> Path:
    """Write `OUT/analysis.json`; returns its path. Infinite bounds become null."""
    path = out / "analysis.json"
    write_json(path, _finite(asdict(analysis)))
    return path


def _of(curves: Sequence[Measured], key: str) -> list[Measured]:
    return [measured for measured in curves if measured.curve.endpoint.key == key]


def _notes(source: Source) -> list[str]:
    notes = list(source.copies)
    if not source.config.get("primary"):
        notes.append(
            "this folder was settled before primary endpoints were declared in config.json; the "
            "defaults are taken"
        )
    unplaced = source.rows[list(AXES)].isna().all(axis=1)
    for run, of_run in source.rows[unplaced].groupby("run", sort=False):
        count = of_run["checkpoint"].nunique()
        notes.append(
            f"{run}: {count} checkpoint{'s' * (count != 1)} without step, epoch or samples seen; "
            "where none of a run has one, the order is that of names"
        )
    if source.rows.empty:
        notes.append("only anchors were measured: there is no training run to analyse")
    return notes


def _finite(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value
