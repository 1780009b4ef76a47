"""Exports of many files: a folder that can be exported into again."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from fastclip.errors import UsageError
from fastclip.files import digest_of, write_atomic
from fastclip.results.sightings import Sighting

LISTING = ".fastclip-export"
"""Names what an export wrote. No suffix: peers read every .csv or .json of a folder."""


def write_folder(folder: Path, files: Iterable[tuple[str, bytes]]) -> int:
    """Write files by their names below `folder`; returns how many.

    Files of an earlier export that this one does not write are removed; other files stay.

    Raises:
        UsageError: `folder` is a file.
    """
    if folder.is_file():
        raise UsageError("this format is a folder of files", where=folder, mend="name a folder")
    listing = folder / LISTING
    earlier = set(listing.read_text().splitlines()) if listing.is_file() else set()
    written = set()
    for name, data in files:
        write_atomic(folder / name, data)
        written.add(name)
    for gone in (folder / name for name in earlier - written):
        gone.unlink(missing_ok=True)
        if gone.parent != folder and gone.parent.is_dir() and not any(gone.parent.iterdir()):
            gone.parent.rmdir()
    write_atomic(listing, "".join(f"{name}\n" for name in sorted(written)).encode())
    return len(written)


def plain(text: str, kept: str = "") -> str:
    """Text as part of a file name: letters, digits and `kept`; a hyphen for all else."""
    letters = (c if c.isascii() and (c.isalnum() or c in kept) else "-" for c in text)
    return "".join(letters).strip("-")


def unique_name(sighting: Sighting, dataset: str) -> str:
    """A name for one checkpoint on one data set, readable and never another's.

    "ViT-B-32-run-epoch-1-0a1b2c3d": by file names alone, two runs would share theirs.
    """
    stem = sighting.name.rsplit(".", 1)[0]
    words = [sighting.arch, stem, *([] if sighting.weights == "raw" else [sighting.weights])]
    key = [sighting.arch, sighting.run, sighting.name, sighting.weights, sighting.checkpoint_id]
    return f"{plain('-'.join(words))}-{digest_of([*key, dataset], 8)}"
