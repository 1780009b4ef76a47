"""Where a checkpoint stands in its training: step, epoch, samples seen, and who says so.

Nothing is guessed: what no file and no option says is None.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from fastclip.checkpoints.base import Checkpoint, Metadata
from fastclip.checkpoints.names import run_folder


class Place(NamedTuple):
    """Optimizer steps, passes over the data as the run counts them, pictures seen."""

    step: int | None
    epoch: int | None
    samples_seen: int | None


class Said(NamedTuple):
    """A number and who said it."""

    value: int | None
    source: str


class RunFiles:
    """What the files that training runs write say of them; each is looked at once.

    So ten thousand checkpoints of a run cost one look, and a later object sees later lines.
    """

    def __init__(self) -> None:
        self._params: dict[str, Mapping[str, str]] = {}
        self._logged: dict[str, Mapping[int, int]] = {}

    def params(self, path: Path) -> Mapping[str, str]:
        """The `key: value` lines of the `params.txt` that open_clip writes for a run; may be empty.

        Args:
            path: a checkpoint; the file is looked for beside it, and in the run's folder.
        """
        folder = os.path.dirname(path)  # noqa: PTH120 (much faster than path.parent)
        if folder not in self._params:
            places = dict.fromkeys((path.absolute().parent, run_folder(path)))
            found = (_read_params(place / "params.txt") for place in places)
            self._params[folder] = next(filter(None, found), {})
        return self._params[folder]

    def logged(self, path: Path) -> Mapping[int, int]:
        """`{epoch: samples seen}` of the `results.jsonl` beside a checkpoint."""
        folder = os.path.dirname(path)  # noqa: PTH120
        if folder not in self._logged:
            self._logged[folder] = _read_results(path.absolute().parent / "results.jsonl")
        return self._logged[folder]


def training_place(
    checkpoint: Checkpoint,
    metadata: Metadata,
    samples_per_epoch: int | None = None,
    files: RunFiles | None = None,
) -> Place:
    """Step, epoch and samples seen of a checkpoint; see `explain` for which source wins.

    Before the file is open, `Metadata()` gives what its name and its run's files say.

    Args:
        files: where many checkpoints are asked for.
    """
    said = explain(checkpoint, metadata, samples_per_epoch, files)
    return Place(*(said[field].value for field in Place._fields))


def explain(
    checkpoint: Checkpoint,
    metadata: Metadata,
    samples_per_epoch: int | None = None,
    files: RunFiles | None = None,
) -> dict[str, Said]:
    """`{"step" | "epoch" | "samples_seen": (value, source)}`.

    Step and epoch: the file's own metadata wins over its name. Samples seen, first found:

    1. the checkpoint's own `samples_seen`;
    2. step x global batch (`batch_size` x `world_size` x `accum_freq` of the run's
       `params.txt`);
    3. `samples_seen` of this epoch's line in the run's `results.jsonl` (open_clip's own lines
       have none: their `num_samples` counts the validation set);
    4. epoch x `train_num_samples` of `params.txt`: the nominal count, which open_clip rounds to
       whole batches; not for csv data, where open_clip ignores that option;
    5. epoch x `samples_per_epoch` (`--samples-per-epoch`).
    """
    step = _file_or_name("step", metadata.step, checkpoint.step)
    epoch = _file_or_name("epoch", metadata.epoch, checkpoint.epoch)
    return {
        "step": step,
        "epoch": epoch,
        "samples_seen": _samples(
            checkpoint, metadata, step.value, epoch.value, samples_per_epoch, files or RunFiles()
        ),
    }


def samples_seen(
    checkpoint: Checkpoint, samples_per_epoch: int | None, files: RunFiles
) -> int | None:
    """Pictures seen, as far as that is known before the file is opened."""
    step, epoch = checkpoint.step, checkpoint.epoch
    return _samples(checkpoint, Metadata(), step, epoch, samples_per_epoch, files).value


def _file_or_name(word: str, in_file: int | None, in_name: int | None) -> Said:
    if in_file is None:
        return Said(in_name, "its name" if in_name is not None else f"nothing says the {word}")
    if in_name is not None and in_name != in_file:
        return Said(in_file, f"the file (its name says {in_name})")
    return Said(in_file, "the file")


def _samples(
    checkpoint: Checkpoint,
    metadata: Metadata,
    step: int | None,
    epoch: int | None,
    samples_per_epoch: int | None,
    files: RunFiles,
) -> Said:
    if metadata.samples_seen is not None:
        return Said(metadata.samples_seen, "the file")
    params = files.params(checkpoint.path) if checkpoint.anchor is None else {}
    batch = _global_batch(params)
    if step is not None and batch is not None:
        return Said(step * batch, f"step x {batch} pictures a step, by params.txt")
    if epoch is not None:
        logged = files.logged(checkpoint.path).get(epoch)
        if logged is not None:
            return Said(logged, "results.jsonl")
        of_epoch = _number(params, "train_num_samples")
        if of_epoch is not None and not _csv(params):
            return Said(epoch * of_epoch, f"epoch x train_num_samples {of_epoch}, by params.txt")
        if samples_per_epoch is not None:
            source = f"epoch x --samples-per-epoch {samples_per_epoch}"
            return Said(epoch * samples_per_epoch, source)
    return Said(None, "nothing says how many; --samples-per-epoch may")


def _global_batch(params: Mapping[str, str]) -> int | None:
    per_device, devices = _number(params, "batch_size"), _number(params, "world_size")
    if per_device is None or devices is None:
        return None
    return per_device * devices * (_number(params, "accum_freq") or 1)


def _csv(params: Mapping[str, str]) -> bool:
    kind, data = params.get("dataset_type", ""), params.get("train_data", "")
    return kind == "csv" or (kind == "auto" and data.endswith((".csv", ".tsv")))


def _number(params: Mapping[str, str], key: str) -> int | None:
    value = params.get(key, "")
    return int(value) if value.isdecimal() else None


def _read_params(file: Path) -> Mapping[str, str]:
    pairs = (line.partition(":") for line in _lines(file))
    return {key.strip(): value.strip() for key, colon, value in pairs if colon}


def _read_results(file: Path) -> Mapping[int, int]:
    found = {}
    for line in _lines(file):
        try:
            said = json.loads(line)
            found[int(said["epoch"])] = int(said["samples_seen"])
        except (ValueError, TypeError, KeyError):
            continue  # a line of something else, or the one being written
    return found


def _lines(file: Path) -> list[str]:
    try:
        return file.read_text(errors="replace").splitlines()
    except OSError:
        return []
