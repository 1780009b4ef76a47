"""Facts that are dear to find out and stay true: kept in the cache folder, one file each."""

from __future__ import annotations

import json
import os
import secrets
from collections.abc import Callable
from contextlib import suppress
from functools import lru_cache
from importlib import metadata
from pathlib import Path
from typing import Any

from fastclip.files import digest_of


def known(folder: Path | None, kind: str, identity: Any, find_out: Callable[[], Any]) -> Any:
    """A JSON value from `folder/kind/`, or found out now and put there.

    A file that cannot be read or written costs finding out again and nothing else, so it is not
    fsynced.

    Args:
        folder: the cache folder; None keeps nothing.
        identity: JSON values that the fact depends on, all of them.
    """
    path = None if folder is None else folder / kind / f"{digest_of(identity)}.json"
    if path is not None:
        with suppress(OSError, ValueError):
            return json.loads(path.read_bytes())
    text = json.dumps(find_out())
    if path is not None:
        with suppress(OSError):
            path.parent.mkdir(parents=True, exist_ok=True)
            temporary = path.with_name(f".tmp-{secrets.token_hex(6)}-{path.name}")
            temporary.write_text(text)
            os.replace(temporary, path)  # noqa: PTH105
    return json.loads(text)


@lru_cache(maxsize=32)
def installed(package: str) -> str:
    """Version of an installed package, "" where there is none."""
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return ""
