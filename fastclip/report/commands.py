"""The protocol box: how the numbers were made, and the commands that make them again."""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fastclip.report.style import condition_name
from fastclip.results.record import Record

if TYPE_CHECKING:
    import pandas as pd

FLAGS = {"weights": "--ema", "output_dir": "-o", "model": "-m", "tasks": "-t", "batch_size": "-b"}
"""Options that are not called by their field."""


def commands_of(out: Path, settings: Mapping[str, Any]) -> list[str]:
    """The command lines that made this folder and its report, ready to copy.

    Args:
        settings: of the analysis.
    """
    config = out / "config.json"
    options = json.loads(config.read_bytes())["options"] if config.is_file() else {}
    sweep = [sweep_command(options)] if options else []
    choices = [str(out), *_choices(settings)]
    return [*sweep, *(shlex.join(["fastclip", name, *choices]) for name in ("analyze", "report"))]


def _choices(settings: Mapping[str, Any]) -> Iterator[str]:
    """The options of `fastclip analyze` that are not the defaults."""
    chosen = settings.get("chosen", {})
    for name in ("engine", "precision"):
        if chosen.get(name):
            yield from (f"--{name}", str(chosen[name]))
    for protocol in chosen.get("protocols", ()):
        yield from ("--protocol", str(protocol))
    for name, default in (("resamples", 1000), ("seed", 0)):
        if settings.get(name, default) != default:
            yield from (f"--{name}", str(settings[name]))


WHO = ("executor", "processes", "address", "shard")
"""Options that say which processes measure."""


def sweep_command(options: Mapping[str, Any]) -> str:
    """`fastclip sweep ...` with every option that is not the default.

    Who measured is left out: it changes no number, and a share is not the whole.

    Args:
        options: fields of `fastclip.sweeper.config.SweepConfig` as JSON values.
    """
    from fastclip.sweeper.config import SweepConfig

    defaults = SweepConfig(checkpoints=(), output_dir=Path()).as_json()
    words = ["fastclip", "sweep", *options.get("checkpoints", ())]
    for name, value in options.items():
        if name not in ("checkpoints", *WHO) and value != defaults.get(name):
            words.extend(_words(name, value))
    return shlex.join(words)


def _words(name: str, value: Any) -> Iterator[str]:
    flag = FLAGS.get(name, "--" + name.replace("_", "-"))
    if name == "weights":
        yield flag
    elif name == "higher_is_better":
        yield flag if value else "--lower-is-better"
    elif value is True:
        yield flag
    elif name in ("steps", "epochs"):
        yield from (flag, ":".join("" if end is None else str(end) for end in value))
    elif name in ("tasks", "without"):
        yield from (flag, ",".join(value))
    elif isinstance(value, list):
        for item in value:
            yield from (flag, str(item))
    else:
        yield from (flag, str(value))


def protocol_of(out: Path, rows: pd.DataFrame, records: Sequence[Record]) -> list[list[str]]:
    """(task, what the numbers mean): one line per task and data set, and one for the engine.

    Args:
        records: those behind the rows.
    """
    config = out / "config.json"
    settled = json.loads(config.read_bytes()) if config.is_file() else {}
    lines = [
        [
            f"{task}, {dataset}",
            "; ".join(dict.fromkeys(word for p in found for word in _words_of(p))),
        ]
        for (task, dataset), found in _protocols(records).items()
    ]
    if settled:
        kinds = rows[["engine", "precision"]].drop_duplicates().itertuples(index=False, name=None)
        engines = ", ".join(f"{engine} {precision}" for engine, precision in kinds)
        on = settled.get("device", "cpu")
        lines.append(["engine", f"{engines} on {on}; fastclip {settled['fastclip_version']}"])
    ids = ", ".join(sorted(set(map(str, rows["protocol_id"].dropna()))))
    return [*lines, ["protocols", ids]]


def _protocols(records: Sequence[Record]) -> dict[tuple[str, str], list[Mapping[str, Any]]]:
    """The protocols of each task and data set."""
    found: dict[tuple[str, str], dict[str, Mapping[str, Any]]] = {}
    for record in records:
        if record.task != "embedding-diagnostics":
            task = found.setdefault((record.task, record.dataset), {})
            task[record.protocol_id] = record.protocol
    return {key: list(protocols.values()) for key, protocols in found.items()}


def _words_of(protocol: Mapping[str, Any]) -> Iterator[str]:
    """The choices of one protocol that readers ask for."""
    pixels = protocol["pixels"]
    yield f"{pixels['height']} px, {pixels['resize_mode']}, {pixels['interpolation']}"
    if "distances" in protocol:
        yield f"distances {', '.join(protocol['distances'])}"
    if "prompts_name" in protocol:
        yield f"prompts {protocol['prompts_name']}"
    if protocol.get("distortion"):
        distortion = protocol["distortion"]
        name = condition_name(distortion["kind"], distortion["level"])
        yield f"{name} at {protocol['noise_at']} resolution"
