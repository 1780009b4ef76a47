"""Programs as whole processes: wall time, processor time, peak memory, when each line came."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any


@dataclass(frozen=True)
class Ran:
    """One finished process and those it waited for.

    Attributes:
        wall, cpu: seconds from start to end, and of all cores (user and system).
        peak_bytes: largest resident memory of the process itself.
        lines: what it printed, stdout and stderr, each with seconds since the start.
    """

    wall: float
    cpu: float
    peak_bytes: int
    lines: list[tuple[float, str]] = field(repr=False)

    def when(self, *marks: str) -> list[float]:
        """Seconds of the lines that contain all `marks`."""
        return [at for at, line in self.lines if all(mark in line for mark in marks)]

    def figures(self) -> dict[str, Any]:
        """The figures without the lines, as JSON values."""
        body = asdict(self)
        del body["lines"]
        return body


def run(command: Sequence[str], environment: Mapping[str, str] | None = None) -> Ran:
    """Run a program to its end.

    Raises:
        RuntimeError: it failed; holds the end of what it printed.
    """
    began = time.monotonic()
    process = subprocess.Popen(
        command,
        env={**os.environ, "PYTHONUNBUFFERED": "1", **(environment or {})},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    assert process.stdout is not None
    lines = [(time.monotonic() - began, line.rstrip("\n")) for line in process.stdout]
    _, status, usage = os.wait4(process.pid, 0)
    wall = time.monotonic() - began
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        said = "\n".join(line for _, line in lines[-30:])
        raise RuntimeError(f"{' '.join(command)}\nended with {process.returncode}:\n{said}")
    return Ran(wall, usage.ru_utime + usage.ru_stime, usage.ru_maxrss * 1024, lines)
