"""What an analysis reads of an output folder: rows of one precision, their protocols, items."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy.typing as npt

from fastclip.checkpoints.anchors import PREFIX
from fastclip.errors import UsageError
from fastclip.files import canonical_json
from fastclip.results.protocols import choose, of_one_kind, refuse_several
from fastclip.results.record import newest_revisions, read_items, read_records, record_path
from fastclip.results.sightings import Sighting, read_sightings
from fastclip.results.table import join, rows_of

if TYPE_CHECKING:
    import pandas as pd

Items = dict[str, npt.NDArray[Any]]


@dataclass(frozen=True)
class Source:
    """An output folder, read once.

    Attributes:
        rows: the tidy rows of training runs, in order of training.
        anchors: those of open_clip's published weights.
        protocols: protocol id -> everything its numbers depend on.
        config: what `config.json` settled.
        chosen: the choices that were made among records, as `read_source` takes them.
    """

    out: Path
    rows: pd.DataFrame
    anchors: pd.DataFrame
    protocols: Mapping[str, Mapping[str, Any]]
    config: Mapping[str, Any]
    sightings: Sequence[Sighting]
    chosen: Mapping[str, Any]

    def items(self, row: pd.Series[Any], columns: Sequence[str]) -> Items:
        """Columns of the per-picture items behind a row.

        Raises:
            RefusalError: the file is not there.
        """
        path = record_path(self.out, row["checkpoint_id"], row["task"], row["protocol_id"])
        return read_items(path, columns)

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
    config = out / "config.json"
    if not config.is_file():
        raise UsageError("this folder holds no sweep", where=out, mend="name a sweep's -o folder")
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
    refuse_several(measured, out)
    rows = rows_of(measured)
    is_anchor = rows["checkpoint"].str.startswith(PREFIX)
    return Source(
        out,
        rows[~is_anchor].reset_index(drop=True),
        rows[is_anchor].reset_index(drop=True),
        {m.record.protocol_id: m.record.protocol for m in measured},
        json.loads(config.read_bytes()),
        sightings,
        {"engine": engine, "precision": precision, "protocols": list(protocols)},
    )
