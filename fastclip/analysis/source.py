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
from fastclip.results.record import Record, newest_revisions, read_items, read_records, record_path
from fastclip.results.sightings import Sighting, read_sightings
from fastclip.results.table import build_rows

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
    """

    out: Path
    rows: pd.DataFrame
    anchors: pd.DataFrame
    protocols: Mapping[str, Mapping[str, Any]]
    config: Mapping[str, Any]
    sightings: Sequence[Sighting]
    timings: Sequence[Mapping[str, float]]

    def items(self, row: pd.Series[Any], columns: Sequence[str]) -> Items:
        """Columns of the per-picture items behind a row.

        Raises:
            RefusalError: the file is not there.
        """
        path = record_path(self.out, row["checkpoint_id"], row["task"], row["protocol_id"])
        return read_items(path, columns)

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
        UsageError: no sweep, nothing measured, records of several engines or precisions with
            none chosen, or a choice that fits none.
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
    records = newest_revisions(_one_kind(records, out, engine, precision))
    known = {record.protocol_id: dict(record.protocol) for record in records}
    kept = _kept_protocols(known, protocols, out)
    sightings = read_sightings(out)
    rows = build_rows(sightings, [r for r in records if r.protocol_id in kept])
    is_anchor = rows["checkpoint"].str.startswith(PREFIX)
    return Source(
        out,
        rows[~is_anchor].reset_index(drop=True),
        rows[is_anchor].reset_index(drop=True),
        {name: known[name] for name in kept},
        json.loads(config.read_bytes()),
        sightings,
        [record.timings for record in records],
    )


def _one_kind(
    records: list[Record], out: Path, engine: str | None, precision: str | None
) -> list[Record]:
    """The records of the engine and the precision asked for; refuses a mixture."""
    kinds = sorted({(record.engine, record.precision) for record in records})
    words = ", ".join(f"{e} {p} ({_count(records, (e, p))})" for e, p in kinds)
    wanted = [k for k in kinds if engine in (None, k[0]) and precision in (None, k[1])]
    if not wanted:
        raise UsageError(
            f"no record is of {engine or 'any engine'}, {precision or 'any precision'}",
            where=out,
            mend=f"there are: {words}",
        )
    if len(wanted) > 1:
        raise UsageError(
            f"this folder holds records of several kinds, which must not be compared: {words}",
            where=out,
            mend="choose with --precision or --engine",
        )
    return [record for record in records if (record.engine, record.precision) == wanted[0]]


def _count(records: Sequence[Record], kind: tuple[str, str]) -> str:
    ids = {r.checkpoint_id for r in records if (r.engine, r.precision) == kind}
    return f"{len(ids)} checkpoint{'s' * (len(ids) != 1)}"


def _kept_protocols(
    known: Mapping[str, Mapping[str, Any]], chosen: Sequence[str], out: Path
) -> list[str]:
    """All protocols, but of a curve with a chosen one only those chosen."""
    for prefix in chosen:
        if not any(name.startswith(prefix) for name in known):
            there = ", ".join(f"{name} ({body['task']})" for name, body in known.items())
            raise UsageError(
                f"no record has a protocol '{prefix}'", where=out, mend=f"there are: {there}"
            )
    curve = {name: _curve_of(body) for name, body in known.items()}
    picked = {name for name in known if any(name.startswith(prefix) for prefix in chosen)}
    settled = {curve[name] for name in picked}
    return [name for name in known if name in picked or curve[name] not in settled]


def _curve_of(protocol: Mapping[str, Any]) -> str:
    """What two protocols share whose rows would stand in one curve."""
    keys = ("task", "dataset", "distortion")
    return canonical_json([protocol.get(key) for key in keys])


def one_protocol(rows: pd.DataFrame, source: Source) -> None:
    """Refuse rows of one curve that were measured by several protocols.

    Raises:
        UsageError: says which, and in what they differ.
    """
    ids = list(rows["protocol_id"].unique())
    if len(ids) < 2:
        return
    first = source.protocols[ids[0]]
    differing = sorted(
        key
        for other in ids[1:]
        for key in {*first, *source.protocols[other]}
        if first.get(key) != source.protocols[other].get(key)
    )
    words = "; ".join(
        f"{name} ({', '.join(f'{k} {_short(source.protocols[name].get(k))}' for k in differing)}; "
        f"{int((rows['protocol_id'] == name).sum())} checkpoints)"
        for name in ids
    )
    task, dataset = rows["task"].iloc[0], rows["dataset"].iloc[0]
    raise UsageError(
        f"{task} on {dataset} was measured by {len(ids)} protocols, which must not be compared: "
        f"{words}",
        where=source.out,
        mend="choose with --protocol ID",
    )


def _short(value: Any) -> str:
    text = canonical_json(value)
    return text if len(text) <= 60 else text[:57] + "..."
