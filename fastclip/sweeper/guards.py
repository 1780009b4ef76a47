"""What goes wrong around a sweep, told as refusals: the output folder, the disk, the device."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from errno import EDQUOT, ENOSPC
from pathlib import Path

from fastclip.errors import RefusalError
from fastclip.files import write_atomic


def claim_folder(out: Path) -> None:
    """Make the output folder and prove that it can be written, before any work.

    Raises:
        RefusalError: it cannot.
    """
    try:
        out.mkdir(parents=True, exist_ok=True)
        write_atomic(out / ".fastclip", b"fastclip output folder\n")
    except OSError as error:
        raise RefusalError(
            f"the output folder cannot be written ({error.strerror})",
            where=out,
            mend="name a folder you may write with -o",
        ) from error


@contextmanager
def refuse_full_disk(out: Path) -> Iterator[None]:
    """Turn a failed write into a refusal that names the folder; what is written stays whole."""
    try:
        yield
    except OSError as error:
        first = "free some space" if error.errno in (ENOSPC, EDQUOT) else "see to that file"
        raise RefusalError(
            f"writing failed ({error.strerror or error})",
            where=error.filename or out,
            mend=f"{first} (or choose another -o, --cache-dir) and run the same command again; "
            "every finished record is kept",
        ) from error


@contextmanager
def refuse_lost_device(out: Path) -> Iterator[None]:
    """Turn a CUDA error, after which no call of this process succeeds, into a refusal."""
    try:
        yield
    except RuntimeError as error:
        if "CUDA" not in str(error):
            raise
        raise RefusalError(
            f"the device failed: {str(error).splitlines()[0]}",
            where=out,
            mend="run the same command again (every finished record is kept), with a smaller "
            "--batch-size where memory ran out, or with another --engine",
        ) from error
