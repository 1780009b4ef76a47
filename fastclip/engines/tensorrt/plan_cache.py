"""Plans on disk: loaded only where this user wrote them, whole, for exactly this use.

A plan is a program that runs on the GPU with this process's rights. TensorRT checks neither who
wrote it nor whether it is intact.
"""

from __future__ import annotations

import json
import os
import stat
from collections.abc import Mapping
from contextlib import suppress
from hashlib import sha256
from pathlib import Path

from fastclip.errors import EngineError
from fastclip.files import atomic_path, canonical_json, digest_of


class PlanCache:
    """Named blobs in a folder that only its owner can enter.

    Beside `<digest of the key>.<kind>` lies `<...>.<kind>.json` with the key and the SHA-256 of
    key and bytes. Whatever is not as it was saved is not loaded, and the caller makes it anew.

    Args:
        folder: is made where it does not exist. Where others could enter it, what is in it is
            not trusted any more and goes.

    Raises:
        EngineError: the folder is a link or another user's.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.parent.mkdir(parents=True, exist_ok=True)
        with suppress(FileExistsError):
            folder.mkdir(mode=0o700)
        found = folder.lstat()
        if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.geteuid():
            raise EngineError(
                "compiled engines are kept in a folder of one's own, and this one is "
                + ("another user's" if stat.S_ISDIR(found.st_mode) else "a link or a file"),
                where=folder,
                mend="name a cache folder of your own: FASTCLIP_CACHE=FOLDER",
            )
        if found.st_mode & 0o077:
            folder.chmod(0o700)
            for entry in folder.iterdir():
                if not entry.is_dir() or entry.is_symlink():
                    entry.unlink()

    def load(self, kind: str, key: Mapping[str, object]) -> bytes | None:
        """What was saved under this key, or None where there is nothing to be trusted."""
        path = self._path(kind, key)
        data, said = _own(path), _own(path.with_name(f"{path.name}.json"))
        if data is None or said is None:
            return None
        with suppress(ValueError):
            if json.loads(said) == _seal(key, data):
                return data
        return None

    def save(self, kind: str, key: Mapping[str, object], data: bytes) -> None:
        """Keep `data`, readable by nobody else."""
        path = self._path(kind, key)
        seal = canonical_json(_seal(key, data)).encode()
        for target, content in ((path, data), (path.with_name(f"{path.name}.json"), seal)):
            with atomic_path(target) as temporary:
                temporary.touch(mode=0o600)
                temporary.write_bytes(content)

    def _path(self, kind: str, key: Mapping[str, object]) -> Path:
        return self.folder / f"{digest_of(key)}.{kind}"


def _seal(key: Mapping[str, object], data: bytes) -> dict[str, object]:
    digest = sha256(canonical_json(key).encode())
    digest.update(data)
    return {"key": json.loads(canonical_json(key)), "sha256": digest.hexdigest()}


def _own(path: Path) -> bytes | None:
    """The file's bytes, where it is a plain file of this user that no other can write to."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW)
    except OSError:
        return None
    with os.fdopen(descriptor, "rb") as file:
        # Of the open file: what lies at the path may be another one a moment later.
        found = os.fstat(descriptor)
        if not stat.S_ISREG(found.st_mode) or found.st_uid != os.geteuid():
            return None
        return None if found.st_mode & 0o022 else file.read()
