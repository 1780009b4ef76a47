"""Errors that say what happened, where, and how to mend it.

Every error a user can cause is a `FastclipError`; the command prints it without a traceback and
leaves with its `exit_code`. Exit codes of the command: 0 all done, 1 some checkpoints failed,
2 usage, 3 the environment, the data or an engine refused before any work, 130 interrupted.
"""

from __future__ import annotations

from os import PathLike
from typing import ClassVar


class FastclipError(Exception):
    """An error with its place and its mend.

    Args:
        what: one sentence, what is wrong, with the offending value.
        where: the file, option or tensor it is about.
        mend: what the user can do; lists the valid choices where there are any.
    """

    exit_code: ClassVar[int] = 1

    def __init__(
        self, what: str, *, where: str | PathLike[str] | None = None, mend: str | None = None
    ) -> None:
        self.what = what
        self.where = None if where is None else str(where)
        self.mend = mend
        super().__init__(what)

    def __str__(self) -> str:
        lines = [self.what]
        if self.where is not None:
            lines.append(f"  where: {self.where}")
        if self.mend is not None:
            lines.append(f"  mend:  {self.mend}")
        return "\n".join(lines)


class UsageError(FastclipError):
    """A wrong option or argument, or nothing to do (exit code 2)."""

    exit_code = 2


class RefusalError(FastclipError):
    """The environment, the data or an engine refuses before any work (exit code 3)."""

    exit_code = 3


class DataError(RefusalError):
    """A data set is missing, incomplete, corrupt or inconsistent."""


class EngineError(RefusalError):
    """An engine cannot run here, or failed its probe."""


class StoppedError(FastclipError):
    """The sweep stopped early; what it finished is kept (exit code 1)."""


class CheckpointError(FastclipError):
    """This checkpoint cannot be measured; the sweep records it as failed and goes on."""
