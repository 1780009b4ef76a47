"""What each checkpoint file turned out to be: the way from a stamp to records without weights."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from fastclip.checkpoints.base import Checkpoint
from fastclip.errors import RefusalError
from fastclip.files import digest_of, write_json


@dataclass(frozen=True)
class Sighting:
    """A checkpoint file once opened: its stamp, its digest, its place in training.

    `request` digests the options that decide what the file is taken for (`--model`,
    `--tokenizer`): under another request the file is opened again. `needed` digests the names of
    the tensors that `digest` covers. `said` is what the file itself says of its place in
    training; `step`, `epoch` and `samples_seen` add what its name and its run's files say.
    `canary` has the figures of the last swap's check; empty where nothing had to be measured.
    """

    name: str
    run: str
    path: str
    weights: str
    stamp: str
    request: str
    checkpoint_id: str
    digest: str
    needed: str
    arch: str
    arch_digest: str
    arch_source: str
    guessed: tuple[str, ...]
    preprocessing: Mapping[str, Any]
    said: Mapping[str, Any]
    step: int | None
    epoch: int | None
    samples_seen: int | None
    canary: Mapping[str, float] = field(default_factory=dict)


def file_key(checkpoint: Checkpoint) -> str:
    """Name of the checkpoint's file in `OUT/checkpoints` and `OUT/failures`."""
    place = checkpoint.anchor or str(checkpoint.path.absolute())
    return digest_of([place, checkpoint.weights], 24)


def write_sighting(out: Path, checkpoint: Checkpoint, sighting: Sighting) -> None:
    """Write (or replace) what is known of this checkpoint file."""
    path = out / "checkpoints" / f"{file_key(checkpoint)}.json"
    write_json(path, asdict(sighting))


def read_sightings(out: Path, *, strict: bool = True) -> list[Sighting]:
    """Every checkpoint file this output folder knows, in path order.

    Raises:
        RefusalError: a file is not this version's (with `strict`; else it is passed over).
    """
    sightings = []
    for path in _entries(out / "checkpoints"):
        try:
            with open(path, "rb") as file:  # noqa: PTH123 (there may be ten thousand)
                body = json.loads(file.read())
            sightings.append(Sighting(**{**body, "guessed": tuple(body["guessed"])}))
        except (ValueError, TypeError, KeyError) as error:
            if strict:
                raise RefusalError(
                    f"not a checkpoint's entry of this version of fastclip ({error})",
                    where=path,
                    mend="run the sweep again: it measures nothing twice and writes this anew",
                ) from error
    return sightings


def _entries(folder: Path) -> list[str]:
    """Finished files, sorted; the names of a killed writer's temporary files begin with a dot."""
    names = os.listdir(folder) if folder.is_dir() else ()  # noqa: PTH208
    return [f"{folder}/{n}" for n in sorted(names) if n.endswith(".json") and n[0] != "."]


class SightingIndex:
    """Look up checkpoint files by (file name, stamp, request).

    So a folder that was moved, and a run that is called otherwise now, are found again.
    """

    def __init__(self, out: Path) -> None:
        self._by_stamp = {
            (s.path.rpartition("/")[2], s.weights, s.stamp, s.request): s
            for s in read_sightings(out, strict=False)
        }

    def find(self, checkpoint: Checkpoint, request: str) -> Sighting | None:
        """The sighting of exactly this file under exactly this request, or None."""
        name, weights = checkpoint.path.name, checkpoint.weights
        return self._by_stamp.get((name, weights, checkpoint.stamp, request))


def forget_other_content(out: Path, checkpoint: Checkpoint) -> None:
    """Forget what this file was if it has another stamp now: its rows leave the table."""
    path = out / "checkpoints" / f"{file_key(checkpoint)}.json"
    if path.is_file() and json.loads(path.read_bytes())["stamp"] != checkpoint.stamp:
        path.unlink()


@dataclass(frozen=True)
class Failure:
    """Why a checkpoint could not be measured; replaced at each attempt, gone after success."""

    name: str
    run: str
    stage: str
    error: str
    figures: Mapping[str, float]


def write_failure(out: Path, checkpoint: Checkpoint, failure: Failure) -> None:
    """Record a failure in a file of its own."""
    path = out / "failures" / f"{file_key(checkpoint)}.json"
    write_json(path, asdict(failure))


def clear_failure(out: Path, checkpoint: Checkpoint) -> None:
    """Forget an earlier failure of this checkpoint."""
    (out / "failures" / f"{file_key(checkpoint)}.json").unlink(missing_ok=True)
