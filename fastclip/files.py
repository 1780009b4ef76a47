"""Writing files so that a reader sees all of a file or none of it, and hashing."""

from __future__ import annotations

import fcntl
import json
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from hashlib import blake2b
from pathlib import Path
from typing import Any


@contextmanager
def atomic_path(path: Path) -> Iterator[Path]:
    """Yield a temporary path in the same folder; rename it to `path` when the block succeeds.

    The file is fsynced before the rename, so that after a crash `path` is whole or absent. The
    temporary file is removed when the block raises. Its name starts with `.tmp-`.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".tmp-{secrets.token_hex(6)}-{path.name}")
    try:
        yield temporary
        with temporary.open("rb") as written:
            os.fsync(written.fileno())
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def write_atomic(path: Path, data: bytes) -> None:
    """Write `data` to `path` through `atomic_path`."""
    with atomic_path(path) as temporary:
        temporary.write_bytes(data)


def readable_json(value: Any) -> bytes:
    """JSON for people and programs: indented, keys sorted, one line end."""
    return (json.dumps(value, indent=1, sort_keys=True) + "\n").encode()


def write_json(path: Path, value: Any) -> None:
    """Write `readable_json` of `value` to `path` through `atomic_path`."""
    write_atomic(path, readable_json(value))


def create_exclusive(path: Path, data: bytes) -> bool:
    """Create `path` whole, unless it exists: of several processes exactly one gets True."""
    temporary = path.with_name(f".tmp-{secrets.token_hex(6)}-{path.name}")
    try:
        temporary.write_bytes(data)
        os.link(temporary, path)
    except FileExistsError:
        return False
    finally:
        temporary.unlink(missing_ok=True)
    return True


@contextmanager
def locked(path: Path, *, wait: bool = True) -> Iterator[bool]:
    """Hold a lock that one process at a time can have; False where another one has it.

    The system lets it go when the process dies. The file is made and stays. On a network file
    system without locks it says nothing and holds nothing: what is written is whole all the same.

    Args:
        wait: until it is free.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("ab") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
            held = True
        except OSError as error:
            held = not isinstance(error, BlockingIOError)
        yield held


def canonical_json(value: Any) -> str:
    """JSON with sorted keys and no spaces: equal values give equal text."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)


def digest_of(value: Any, length: int = 32) -> str:
    """Hex BLAKE2b of the canonical JSON of `value`, cut to `length` hex digits."""
    return blake2b(canonical_json(value).encode(), digest_size=32).hexdigest()[:length]
