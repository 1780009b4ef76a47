"""One Weights & Biases run per training run, numbers over samples seen."""

from __future__ import annotations

from collections.abc import Sequence
from importlib import import_module
from itertools import groupby
from pathlib import Path
from types import ModuleType
from typing import Any

from fastclip.errors import RefusalError
from fastclip.exports.base import Export, Options, Selection
from fastclip.exports.wide import WideRow, wide_rows
from fastclip.files import digest_of
from fastclip.results.table import AXES

PROJECT = "fastclip"

NOT_OF_THE_TRAINING = {"disable_git": True, "x_disable_stats": True, "x_disable_meta": True}
"""Wandb would record the folder, the load and the hardware that the export happens to run on."""


def write(selection: Selection, target: Path, options: Options) -> str:
    """Log every checkpoint; each export makes new runs. Offline unless `options.online`."""
    wandb = _import()
    target.mkdir(parents=True, exist_ok=True)
    rows = list(wide_rows(selection))
    names = metric_names([name for row in rows for name in row.numbers])
    count = 0
    for key, group in groupby(rows, key=lambda row: (row.place["run"], *_variant(row))):
        try:
            _log(wandb, key[0], list(group), names, selection.out, target, options)
        except wandb.Error as error:
            raise RefusalError(
                f"Weights & Biases refuses: {error}",
                mend="leave out --online to write files for `wandb sync`"
                if options.online
                else None,
            ) from error
        count += 1
    runs = f"{count} run{'s' * (count != 1)} of {len(rows)} checkpoints"
    if options.online:
        return f"{runs} sent to project '{options.project or PROJECT}'"
    return f"{runs}: {target}; send them with: wandb sync {target}/wandb/offline-run-*"


def metric_names(names: Sequence[str]) -> dict[str, str]:
    """Wide names as the service can sort and filter them: letters, digits, `_`; `task/...`.

    Different names stay different.
    """
    found: dict[str, str] = {}
    for name in dict.fromkeys(names):
        task, rest = (_plain(part) for part in name.split(".", 1))
        plain = f"{task}/{rest}"
        found[name] = plain if plain not in found.values() else f"{plain}_{digest_of(name, 4)}"
    return found


def _import() -> ModuleType:
    try:
        return import_module("wandb")
    except ImportError as error:
        raise RefusalError(
            "the package wandb is not installed", mend="pip install 'fastclip[wandb]'"
        ) from error


def _log(
    wandb: Any,
    run: str,
    rows: Sequence[WideRow],
    names: dict[str, str],
    out: Path,
    target: Path,
    options: Options,
) -> None:
    """One run: its settings, then one step per checkpoint."""
    first = rows[0].records
    config = {
        "arch": rows[0].place["arch"],
        "weights": rows[0].place["weights"],
        "engine": first[0].engine,
        "precision": first[0].precision,
        "fastclip_version": first[0].fastclip_version,
        "protocols": {record.protocol_id: dict(record.protocol) for record in first},
        "names": {names[name]: name for name in rows[0].numbers},
    }
    with wandb.init(
        project=options.project or PROJECT,
        name=run if config["weights"] == "raw" else f"{run} ({config['weights']})",
        group=out.resolve().name,
        job_type="fastclip",
        config=config,
        dir=str(target),
        mode="online" if options.online else "offline",
        settings=wandb.Settings(console="off", silent=True, **NOT_OF_THE_TRAINING),
    ) as logged:
        axis = _axis(rows)
        if axis is not None:
            logged.define_metric("*", step_metric=axis)
        for row in rows:
            place = {a: row.place[a] for a in AXES if row.place[a] is not None}
            known = {names[k]: v for k, v in row.numbers.items() if v is not None}
            logged.log(place | {"checkpoint": row.place["checkpoint"]} | known)


def _variant(row: WideRow) -> tuple[str, str]:
    return row.place["arch"], row.place["weights"]


def _axis(rows: Sequence[WideRow]) -> str | None:
    known = (a for a in AXES if all(row.place[a] is not None for row in rows))
    return next(known, None)


def _plain(text: str) -> str:
    return "".join(c if c.isascii() and c.isalnum() else "_" for c in text)


EXPORT = Export("wandb", write, options=frozenset({"project", "online"}))
