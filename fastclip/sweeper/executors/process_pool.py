"""Worker processes on this machine, each at the other end of a pipe."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing import Pipe
from multiprocessing.connection import Connection, wait
from pathlib import Path
from pickle import UnpicklingError
from typing import IO, ClassVar, Self

from fastclip.errors import UsageError
from fastclip.sweeper.config import SweepConfig
from fastclip.sweeper.executors.base import LOGS, Died, Event, Job, Pool

LEAVE_SECONDS = 10.0
"""How long a worker whose driver hung up may take to leave."""


def gpus() -> int:
    """CUDA devices that this process may use."""
    import torch

    return torch.cuda.device_count()


@dataclass(frozen=True)
class Seat:
    """What a worker process has to itself.

    Attributes:
        environment: set before it starts.
        cores: that it may run on.
    """

    environment: Mapping[str, str]
    cores: tuple[int, ...]


def seats(count: int, device: str) -> dict[str, Seat]:
    """A share of the cores for each of so many workers, and on CUDA a GPU; by name.

    Raises:
        UsageError: more processes than GPUs, or one GPU named for several.
    """
    cores = sorted(os.sched_getaffinity(0))
    names = [f"worker-{number}" for number in range(1, count + 1)]
    shares = [tuple(cores[at::count]) or tuple(cores) for at in range(count)]
    if not device.startswith("cuda"):
        return dict(zip(names, (Seat({}, share) for share in shares), strict=True))
    visible = os.environ.get("CUDA_VISIBLE_DEVICES", "")
    devices = [n for n in visible.split(",") if n] or [str(n) for n in range(gpus())]
    if device != "cuda" or count > len(devices):
        raise UsageError(
            f"{count} processes on '{device}': each needs a GPU, and there are {len(devices)}",
            where="--processes",
            mend=f"--processes {len(devices)} --device cuda",
        )
    return {
        name: Seat({"CUDA_VISIBLE_DEVICES": device}, share)
        for name, device, share in zip(names, devices, shares, strict=False)
    }


class ProcessPool(Pool):
    """Worker processes; what they print goes to `OUT/logs`.

    One thread may `send` while another waits for `events`.

    Args:
        settled: digest of the driver's `Settled`.
        seats: by worker.
        neighbours: how many workers this machine has; by default these.
    """

    command: ClassVar[Sequence[str]] = (
        sys.executable, "-P", "-m", "fastclip.sweeper.executors.process",
    )  # fmt: skip

    def __init__(
        self,
        config: SweepConfig,
        settled: str,
        seats: Mapping[str, Seat],
        neighbours: int | None = None,
    ) -> None:
        self._first = (config, settled, neighbours or len(seats))
        self._out = config.output_dir
        self._seats = seats
        self.workers = tuple(seats)
        self._processes: dict[str, subprocess.Popen[bytes]] = {}
        self._pipes: dict[str, Connection] = {}

    def send(self, worker: str, life: str, job: Job) -> None:
        """One that is dead is told by the next `events`."""
        with suppress(OSError):
            self._pipes[worker].send((life, job))

    def events(self) -> list[tuple[str, Event]]:
        """Waits for a message or a death."""
        found: list[tuple[str, Event]] = []
        spoke = wait(self._pipes.values())
        for worker, pipe in self._pipes.items():
            if pipe not in spoke:
                continue
            try:
                found.append((worker, pipe.recv()))
            except (EOFError, OSError, UnpicklingError):
                pipe.close()
                found.append((worker, Died(self._bury(worker))))
                self._start(worker)
        return found

    def pid(self, worker: str) -> int:
        """The worker's process."""
        return self._processes[worker].pid

    def _start(self, worker: str) -> None:
        seat = self._seats[worker]
        ours, theirs = Pipe()
        with self._log(worker) as log, theirs:
            self._processes[worker] = subprocess.Popen(
                [*self.command, str(theirs.fileno())],
                env={**os.environ, **seat.environment},
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,  # Ctrl-C is for the driver, which hangs up
            )
        with suppress(OSError):  # dead already: `events` tells
            ours.send((*self._first, seat.cores))
        self._pipes[worker] = ours

    def _log(self, worker: str) -> IO[bytes]:
        if not self._out.is_dir():  # the worker will refuse
            return Path(os.devnull).open("wb")
        folder = self._out / LOGS
        folder.mkdir(exist_ok=True)
        return (folder / f"{worker}.log").open("ab")

    def _bury(self, worker: str) -> str:
        """What a dead worker died of."""
        code = self._processes[worker].wait()
        return f"signal {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"

    def __enter__(self) -> Self:
        for worker in self.workers:
            self._start(worker)
        return self

    def __exit__(self, *_: object) -> None:
        for pipe in self._pipes.values():
            pipe.close()
        deadline = time.monotonic() + LEAVE_SECONDS
        for process in self._processes.values():
            try:
                process.wait(max(0.0, deadline - time.monotonic()))
            except subprocess.TimeoutExpired:
                process.kill()  # what it was writing is whole or absent
                process.wait()
