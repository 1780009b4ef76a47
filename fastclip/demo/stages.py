"""Folders of the demo: what made them is written inside, so that a second run can go on."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

from fastclip.errors import UsageError
from fastclip.files import write_json

MARK = "demo.json"


def claim(folder: Path, settings: dict[str, Any]) -> bool:
    """Make `folder` the demo's; empty it where other settings made it.

    Args:
        settings: JSON values; everything its content depends on.

    Returns:
        Whether an earlier run with these settings finished it.

    Raises:
        UsageError: the folder holds files of somebody else.
    """
    mark = folder / MARK
    found = json.loads(mark.read_text()) if mark.is_file() else None
    if found is None and folder.is_dir() and any(folder.iterdir()):
        raise UsageError(
            "this folder holds files that no demo wrote",
            where=folder,
            mend="name another folder with -o",
        )
    if found is not None and found["settings"] == _as_json(settings):
        return bool(found["finished"])
    if folder.is_dir():
        shutil.rmtree(folder)
    _write(mark, settings, finished=False)
    return False


def finish(folder: Path, settings: dict[str, Any]) -> None:
    """Note that the content of `folder` is complete."""
    _write(folder / MARK, settings, finished=True)


def _write(mark: Path, settings: dict[str, Any], *, finished: bool) -> None:
    body = {"settings": _as_json(settings), "finished": finished}
    write_json(mark, body)


def _as_json(settings: dict[str, Any]) -> Any:
    """As it comes back from a file: tuples are lists."""
    return json.loads(json.dumps(settings))
