"""Which protocol a number is of, where an output folder holds several."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from fastclip.errors import UsageError
from fastclip.evaluators.revisions import newest_revision
from fastclip.files import canonical_json
from fastclip.results.record import Record
from fastclip.results.table import Measurement

NOT_STRENGTH = ("kind", "level", "definition")


def condition(record: Record) -> str:
    """What was done to the pictures: "clean", "gaussian_noise@0.1", "saturate@2,shift=0.1".

    Seeds and other parameters follow where they are not 0. "" for tasks that distort nothing.
    """
    return condition_of(record.protocol)


def condition_of(protocol: Mapping[str, Any]) -> str:
    """`condition` of the records of a protocol."""
    if "distortion" not in protocol:
        return ""
    distortion = protocol["distortion"]
    if distortion is None:
        return "clean"
    others = [
        f",{key}={value:g}"
        for key, value in distortion.items()
        if key not in NOT_STRENGTH and value
    ]
    return f"{distortion['kind']}@{distortion['level']:g}{''.join(others)}"


def of_one_kind(
    records: Sequence[Record], out: Path, engine: str | None = None, precision: str | None = None
) -> list[Record]:
    """The records of one engine and precision.

    Args:
        out: the folder, for messages.
        engine, precision: None takes any.

    Raises:
        UsageError: no record is of these, or records of several kinds are.
    """
    kinds = sorted({(record.engine, record.precision) for record in records})
    words = ", ".join(f"{e} {p} ({_checkpoints(records, (e, p))})" for e, p in kinds)
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


def _checkpoints(records: Sequence[Record], kind: tuple[str, str]) -> str:
    ids = {r.checkpoint_id for r in records if (r.engine, r.precision) == kind}
    return f"{len(ids)} checkpoint{'s' * (len(ids) != 1)}"


def refuse_outdated(measured: Sequence[Measurement], out: Path) -> list[Measurement]:
    """Without records of an older evaluator revision that newer ones of the same number replace.

    Raises:
        UsageError: a checkpoint has a number by an older revision only: it was made by other rules.
    """
    current = [m for m in measured if _is_current(m.record)]
    replaced = {(m.record.checkpoint_id, *_number(m.record)) for m in current}
    outdated = [
        m.record
        for m in measured
        if not _is_current(m.record)
        and (m.record.checkpoint_id, *_number(m.record)) not in replaced
    ]
    if outdated:
        checkpoints = len({record.checkpoint_id for record in outdated})
        tasks = ", ".join(dict.fromkeys(record.task for record in outdated))
        raise UsageError(
            f"{tasks} of {checkpoints} checkpoint{'s' * (checkpoints != 1)} was measured by the "
            "rules of an older version",
            where=out,
            mend="run the same sweep again: it measures just these anew",
        )
    return current


def _is_current(record: Record) -> bool:
    return int(record.protocol["revision"]) >= newest_revision(record.task)


def choose(measured: Sequence[Measurement], prefixes: Sequence[str]) -> list[Measurement]:
    """Keep the chosen protocols wherever they compete with others; keep all that do not compete.

    Args:
        prefixes: beginnings of protocol ids.

    Raises:
        UsageError: a prefix fits no protocol; lists those there are.
    """
    known = {m.record.protocol_id: m.record for m in measured}
    for prefix in prefixes:
        if not any(name.startswith(prefix) for name in known):
            there = ", ".join(f"{name} ({_title(record)})" for name, record in known.items())
            raise UsageError(
                f"no protocol '{prefix}'", where="--protocol", mend=f"choose one of: {there}"
            )
    chosen = {name for name in known if name.startswith(tuple(prefixes))}
    settled = {_number(known[name]) for name in chosen}
    return [
        m for m in measured if m.record.protocol_id in chosen or _number(m.record) not in settled
    ]


def refuse_several(measured: Sequence[Measurement], out: Path, mend: str = "") -> None:
    """Refuse numbers of one name that were measured by several protocols.

    Architectures may differ in protocol (input size, mean, tokenizer); checkpoints of one
    architecture may not.

    Args:
        out: the folder, for messages.
        mend: what else a user may do.

    Raises:
        UsageError: names the protocols, what they differ in, and how to choose.
    """
    found: dict[tuple[str, ...], dict[str, Record]] = {}
    for m in measured:
        found.setdefault(_number(m.record), {})[m.record.protocol_id] = m.record
    several = [protocols for protocols in found.values() if len(protocols) > 1]
    if several:
        protocols = several[0]
        more = f" (and {len(several) - 1} more such numbers)" if len(several) > 1 else ""
        raise UsageError(
            f"{_title(next(iter(protocols.values())))} was measured by {len(protocols)} "
            f"protocols{more}: {_differences(protocols)}",
            where=out,
            mend=f"choose with --protocol ID{mend}",
        )


def _number(record: Record) -> tuple[str, ...]:
    return (record.arch, record.task, record.dataset, condition(record))


def _title(record: Record) -> str:
    return " ".join(word for word in (record.task, record.dataset, condition(record)) if word)


def _differences(protocols: Mapping[str, Record]) -> str:
    flat = {name: dict(_flatten(record.protocol)) for name, record in protocols.items()}
    keys = dict.fromkeys(key for values in flat.values() for key in values)
    differing = [k for k in keys if len({canonical_json(v.get(k)) for v in flat.values()}) > 1]
    return "; ".join(
        f"{name} ({', '.join(f'{key} {values.get(key)}' for key in differing)})"
        for name, values in flat.items()
    )


def _flatten(protocol: Mapping[str, Any], before: str = "") -> list[tuple[str, Any]]:
    pairs: list[tuple[str, Any]] = []
    for key, value in protocol.items():
        if isinstance(value, Mapping):
            pairs += _flatten(value, f"{before}{key}.")
        else:
            pairs.append((f"{before}{key}", value))
    return pairs
