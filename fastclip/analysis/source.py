"""What an analysis reads of an output folder: rows of one precision, their protocols, items."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy.typing as npt

from fastclip.checkpoints.anchors import PREFIX
from fastclip.errors import UsageError
from fastclip.files import canonical_json
from fastclip.results.protocols import choose, of_one_kind, refuse_outdated, refuse_several
from fastclip.results.record import (
    Record,
    newest_revisions,
    read_items,
    read_records,
    record_path,
)
from fastclip.results.sightings import Sighting, read_sightings
from fastclip.results.table import Measurement, join, read_config, rows_of

if TYPE_CHECKING:
    import pandas as pd

ANCHORS = "anchors"
"""In place of a run's name."""

RunKey = tuple[str, str, str]
"""(run, arch, weights)."""

Items = dict[str, npt.NDArray[Any]]


@dataclass(frozen=True)
class Source:
    """An output folder, read once.

    Attributes:
        rows: the tidy rows of training runs, in order of training.
        anchors: those of open_clip's published weights.
        protocols: protocol id -> everything its numbers depend on.
        config: what `config.json` settled.
        digests: of each record's items.
        copies: what was left out because the same weights are there under another name.
        chosen: the choices that were made among records, as `read_source` takes them.
    """

    out: Path
    rows: pd.DataFrame
    anchors: pd.DataFrame
    protocols: Mapping[str, Mapping[str, Any]]
    config: Mapping[str, Any]
    sightings: Sequence[Sighting]
    digests: Mapping[tuple[str, str, str], str]
    copies: Sequence[str]
    chosen: Mapping[str, Any]

    def items(self, row: pd.Series[Any], columns: Sequence[str]) -> Items:
        """Columns of the per-picture items behind a row.

        Raises:
            RefusalError: the file is not there, or not what the record was written with.
        """
        key = (str(row["checkpoint_id"]), str(row["task"]), str(row["protocol_id"]))
        return read_items(record_path(self.out, *key), columns, self.digests[key])

    @cached_property
    def everything(self) -> pd.DataFrame:
        """Rows of runs and of anchors."""
        import pandas as pd

        return pd.concat([self.rows, self.anchors], ignore_index=True)

    @cached_property
    def clean_of(self) -> Mapping[str, str]:
        """Protocol id of a distorted accuracy -> that of the clean one it is compared with."""
        distorted = ("distortion", "noise_at")

        def rest(protocol: Mapping[str, Any]) -> str:
            kept = {key: value for key, value in protocol.items() if key not in distorted}
            return canonical_json(kept)

        clean = {
            rest(protocol): name
            for name, protocol in self.protocols.items()
            if protocol.get("task") == "robustness" and not protocol.get("distortion")
        }
        return {
            name: clean[rest(protocol)]
            for name, protocol in self.protocols.items()
            if protocol.get("distortion") and rest(protocol) in clean
        }


def read_source(
    out: Path,
    *,
    engine: str | None = None,
    precision: str | None = None,
    protocols: Sequence[str] = (),
) -> Source:
    """Read an output folder.

    Args:
        engine, precision: which records to take, where the folder holds several kinds.
        protocols: protocol ids, or their beginnings, to keep where a task has several.

    Raises:
        UsageError: no sweep, nothing measured, records of several engines, precisions or
            protocols with none chosen, or a choice that fits none.
    """
    config = read_config(out)
    records = list(read_records(out))
    if not records:
        raise UsageError(
            "this folder holds no finished measurement",
            where=out,
            mend="run the sweep again; `OUT/failures` says why checkpoints failed",
        )
    records = newest_revisions(of_one_kind(records, out, engine, precision))
    sightings = read_sightings(out)
    measured = choose(join(sightings, records), protocols)
    measured = refuse_outdated(measured, out)
    if not measured:
        raise UsageError(
            "the records are of checkpoints that the folder does not know",
            where=out / "checkpoints",
            mend="run the sweep again: it measures nothing twice and writes them anew",
        )
    refuse_several(measured, out)
    measured, copies = without_copies(measured)
    rows = rows_of(measured)
    is_anchor = rows["checkpoint"].str.startswith(PREFIX)
    return Source(
        out,
        rows[~is_anchor].reset_index(drop=True),
        rows[is_anchor].reset_index(drop=True),
        {m.record.protocol_id: m.record.protocol for m in measured},
        config,
        sightings,
        {_key(m.record): m.record.items_digest for m in measured},
        copies,
        {"engine": engine, "precision": precision, "protocols": list(protocols)},
    )


def _key(record: Record) -> tuple[str, str, str]:
    return record.checkpoint_id, record.task, record.protocol_id


def without_copies(measured: Sequence[Measurement]) -> tuple[list[Measurement], list[str]]:
    """Each checkpoint of a run once, and no run that is a copy of another.

    The same weights under two names are no second measurement; runs may share where they begin.

    Returns:
        What is kept, and what was left out, in words.
    """
    runs: dict[RunKey, dict[str, Sighting]] = {}
    copies: dict[tuple[RunKey, str], str] = {}
    for m in measured:
        key = _run_of(m.sighting)
        first = runs.setdefault(key, {}).setdefault(m.record.checkpoint_id, m.sighting)
        if first != m.sighting:
            copies[key, m.sighting.name] = f"the same weights as {first.name}"
    originals: list[RunKey] = []
    for key, names in runs.items():
        original = next((o for o in originals if set(names) <= set(runs[o])), None)
        if original is None or key[0] == ANCHORS:
            originals.append(key)
        else:
            why = f"run {key[0]} is a copy of {original[0]}"
            copies |= {(key, sighting.name): why for sighting in names.values()}
    kept = [m for m in measured if (_run_of(m.sighting), m.sighting.name) not in copies]
    said = dict.fromkeys(copies.values())
    return kept, [f"left out: {_some(copies, why)}, {why}" for why in said]


def _some(copies: Mapping[tuple[RunKey, str], str], why: str) -> str:
    names = [name for (_, name), reason in copies.items() if reason == why]
    return names[0] if len(names) == 1 else f"{len(names)} checkpoints"


def _run_of(sighting: Sighting) -> RunKey:
    run = ANCHORS if sighting.name.startswith(PREFIX) else sighting.run
    return run, sighting.arch, sighting.weights
