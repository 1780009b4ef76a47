"""Which data sets there are: found by their folders' names, or named by the user."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from fastclip.errors import UsageError
from fastclip.stimuli import DATASETS
from fastclip.stimuli.base import Dataset
from fastclip.stimuli.info import INFOS

FOLDERS: Mapping[str, tuple[str, ...]] = {
    "tid2013": ("tid2013",),
    "kadid10k": ("kadid-10k",),
    "cue-conflict": ("cue-conflict", "texture-vs-shape", "texture-vs-shape-master"),
    "cifar100": ("cifar-100-python", "cifar-100"),
    "imagenet": ("imagenet", "imagenet-1k", "imagenet-val", "ILSVRC2012", "ILSVRC2012-val"),
}
"""Folder names a set is known by; case, hyphens and underscores do not matter."""

TASKS: Mapping[str, str] = {
    "tid2013": "iqa",
    "kadid10k": "iqa",
    "iqa": "iqa",
    "cue-conflict": "shape-bias",
    "cifar100": "robustness",
    "imagenet": "robustness",
}


@dataclass(frozen=True)
class Location:
    """A data set that was found or named, not yet read.

    Attributes:
        name: name in every row.
        kind: its layout's name in `fastclip.stimuli.DATASETS`.
        path: file or folder.
        options: what this layout's loader needs besides.
    """

    name: str
    kind: str
    path: Path
    options: Mapping[str, Any] = field(default_factory=dict)

    def load(self, *, partial: bool = False, limit: int | None = None) -> Dataset:
        """Read the set.

        Raises:
            DataError: missing, inconsistent, or incomplete without `partial`.
            UsageError: the layout needs an option that was not given.
        """
        load = DATASETS.get(self.kind)
        return load(self.path, name=self.name, partial=partial, limit=limit, **self.options)


def which_task(kind: str) -> str:
    """The task that measures on sets of this layout ("iqa", "shape-bias", "robustness")."""
    return TASKS[kind]


def find_datasets(
    data_dir: Path | None,
    overrides: Sequence[str],
    *,
    higher_is_better: bool | None = None,
    partial: bool = False,
    limit: int | None = None,
    tasks: Collection[str] = (),
) -> dict[str, Dataset]:
    """Find and read data sets, by name, in the order of `DATASETS`.

    Args:
        data_dir, overrides, higher_is_better: as for `locate`.
        partial, limit: as for the loaders.
        tasks: read only what these tasks measure on; everything when empty.

    Raises:
        UsageError: as for `locate`.
        DataError: as for the loaders.
    """
    return {
        name: location.load(partial=partial, limit=limit)
        for name, location in locate(data_dir, overrides, higher_is_better=higher_is_better).items()
        if not tasks or which_task(location.kind) in tasks
    }


def locate(
    data_dir: Path | None, overrides: Sequence[str], *, higher_is_better: bool | None = None
) -> dict[str, Location]:
    """Where the data sets are, by name; nothing is read.

    Args:
        data_dir: folder whose sub-folders are recognised by name, or None.
        overrides: `[KIND:]NAME=PATH`; wins over what is found in `data_dir`.
        higher_is_better: polarity of `iqa` tables.

    Raises:
        UsageError: a malformed override, an unknown kind, a name used twice, a folder that is
            not there, or two folders that could be the same set.
    """
    named: dict[str, Location] = {}
    for text in overrides:
        location = parse_override(text, higher_is_better)
        if location.name in named:
            raise UsageError(
                f"two data sets are called '{location.name}'",
                where="--data",
                mend="give one of them another name: --data KIND:NAME=PATH",
            )
        named[location.name] = location
    found = {} if data_dir is None else _in_folder(data_dir, skip=named)
    merged = {**found, **named}
    kinds = list(DATASETS)
    return dict(sorted(merged.items(), key=lambda item: kinds.index(item[1].kind)))


def parse_override(text: str, higher_is_better: bool | None = None) -> Location:
    """Read `[KIND:]NAME=PATH`; without a kind, the name is the kind.

    Raises:
        UsageError: malformed, unknown kind, or a published set's name for something else.
    """
    left, equals, path = text.partition("=")
    kind, colon, name = left.partition(":")
    name = name if colon else kind
    if not equals or not path or not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._+-]*", name):
        raise UsageError(
            f"'{text}' does not name a data set",
            where="--data",
            mend="write NAME=PATH or KIND:NAME=PATH, the name in letters, digits, '-', '_', '.'",
        )
    if kind not in DATASETS:
        raise UsageError(
            f"unknown data set layout '{kind}'",
            where="--data",
            mend=f"choose one of: {', '.join(DATASETS)}; another set in such a layout is "
            "--data KIND:NAME=PATH, your own table --data iqa:NAME=table.csv",
        )
    if name in INFOS and name != kind:
        raise UsageError(
            f"'{name}' is the name of a published set, and this is one in the layout '{kind}'",
            where="--data",
            mend="give it a name of its own, so that its rows cannot be taken for the other's",
        )
    options = {"higher_is_better": higher_is_better} if kind == "iqa" else {}
    return Location(name, kind, Path(path).expanduser(), options)


def _in_folder(data_dir: Path, skip: Collection[str]) -> dict[str, Location]:
    if not data_dir.is_dir():
        raise UsageError("this folder is not there", where=data_dir, mend="check --data-dir")
    folders = sorted(entry for entry in data_dir.iterdir() if entry.is_dir())
    found: dict[str, Location] = {}
    for kind, names in FOLDERS.items():
        known = {_plain(name) for name in names}
        matches = {f.resolve(): f for f in folders if _plain(f.name) in known}
        if kind in skip or not matches:
            continue
        if len(matches) > 1:
            raise UsageError(
                f"several folders look like the data set '{kind}': "
                f"{', '.join(f.name for f in matches.values())}",
                where=data_dir,
                mend=f"say which: --data {kind}=PATH",
            )
        found[kind] = Location(kind, kind, next(iter(matches.values())))
    return found


def _plain(name: str) -> str:
    return re.sub("[^a-z0-9]", "", name.lower())
