"""The check strip: is what is shown complete, and was it measured right?"""

from __future__ import annotations

import json
from pathlib import Path

from fastclip.analysis.source import Source
from fastclip.parity.base import TOLERANCE, screening_note
from fastclip.parity.canary import SLACK

WARNING = "! "


def checks_of(source: Source) -> dict[str, str]:
    """`{name: text}`; text that begins with "!" is a warning."""
    return {
        "checkpoints": _checkpoints(source),
        "data": _data(source),
        "canary": _canary(source),
        "failures": _failures(source),
        "measured as": _measured_as(source),
    }


def _checkpoints(source: Source) -> str:
    names = source.rows[["run", "arch", "weights", "checkpoint"]].drop_duplicates()
    runs = names["run"].nunique()
    text = f"{len(names)} of {runs} run{'s' * (runs != 1)}"
    keys = ["run", "arch", "weights"]
    fewer = [
        f"{task} on {dataset} at {of_task['checkpoint'].nunique()}"
        for _, of_run in source.rows.groupby(keys, sort=False)
        for (task, dataset), of_task in of_run.groupby(["task", "dataset"], sort=False)
        if of_task["checkpoint"].nunique() < of_run["checkpoint"].nunique()
    ]
    return f"{WARNING}{text}, but {'; '.join(fewer)} only" if fewer else text


def _data(source: Source) -> str:
    rows = source.everything
    partial = rows[rows["partial"].notna()]["dataset"].unique()
    return f"{WARNING}incomplete: {', '.join(partial)}" if len(partial) else "complete"


def _canary(source: Source) -> str:
    """The worst of all swaps, as a relative L2 distance to open_clip's module."""
    ids = set(source.everything["checkpoint_id"])
    worst = max(
        (
            (value, sighting.name)
            for sighting in source.sightings
            if sighting.checkpoint_id in ids
            for figure, value in sighting.canary.items()
            if figure.endswith("relative_l2")
        ),
        default=None,
    )
    if worst is None:
        return f"{WARNING}no figures on record"
    bound = SLACK * TOLERANCE[str(source.everything["precision"].iloc[0])]
    return f"worst {worst[0]:.1e} of {bound:.0e} allowed (relative L2, {worst[1]})"


def _failures(source: Source) -> str:
    paths = sorted((source.out / "failures").glob("*.json"))
    if not paths:
        return "none"
    names = [_name_of(path) for path in paths]
    shown = ", ".join(names[:3]) + (", ..." if len(names) > 3 else "")
    return f"{WARNING}{len(names)} checkpoint{'s' * (len(names) != 1)}: {shown}"


def _name_of(failure: Path) -> str:
    try:
        return str(json.loads(failure.read_bytes())["name"])
    except (ValueError, KeyError):
        return f"{failure.name}, which cannot be read"


def _measured_as(source: Source) -> str:
    kinds = source.everything[["engine", "precision"]].drop_duplicates()
    text = ", ".join(f"{e} {p}" for e, p in kinds.itertuples(index=False, name=None))
    note = screening_note(str(kinds["precision"].iloc[0]))  # a source has one precision
    return f"{WARNING}{text}; {note}" if note else text
