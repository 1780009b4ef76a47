"""Workers on a Ray cluster: long-lived actors, a GPU or a share of the cores each."""

from __future__ import annotations

import logging
import os
import secrets
import socket
import time
from collections.abc import Mapping
from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path
from queue import SimpleQueue
from threading import Thread
from typing import TYPE_CHECKING, Any, Self

from fastclip.errors import RefusalError
from fastclip.machine import usable_cores
from fastclip.sweeper.choose import device_of
from fastclip.sweeper.config import Settled, SweepConfig
from fastclip.sweeper.executors.base import Event, Executor, Job, Lost, Pool, Refused
from fastclip.sweeper.executors.driver import Driver, jobs_of
from fastclip.sweeper.executors.process_pool import ProcessPool, Seat
from fastclip.sweeper.executors.worker import digest_of_settled
from fastclip.sweeper.sweeper import Sweeper

if TYPE_CHECKING:
    from ray.actor import ActorHandle

THREADS = 4
"""Of a CPU worker, where neither `--workers` nor the output folder says."""

LOST_SECONDS = 600.0
"""How long a sweep waits without a single worker before it gives up."""

RESOURCES = {"num_cpus": "CPU", "num_gpus": "GPU"}
"""A share's parts, as a node calls them."""

ANSWER_SECONDS = 5.0
POLL_SECONDS = 5.0
RETRY_SECONDS = 0.2


class RayExecutor(Executor):
    """`--processes` actors, or one for each GPU (each `threads` cores) that the cluster has."""

    def __init__(self, config: SweepConfig) -> None:
        super().__init__(config)
        if find_spec("ray") is None:
            raise RefusalError(
                "ray is not installed", where="--executor", mend="pip install 'fastclip[ray]'"
            )
        if config.address is not None:
            refuse_silence(config.address)

    def threads(self) -> int:
        """A few: as many workers as a node has room for share its cores."""
        return min(THREADS, usable_cores())

    def run(self, sweeper: Sweeper) -> None:
        """Connect, start the actors, and hand out what remains."""
        import ray

        jobs = jobs_of(sweeper)
        if not jobs:
            return
        connected = ray.is_initialized()
        if not connected:
            connect(self.config.address)
        settled = sweeper.books.settled
        try:
            device = device_of(self.config, settled)
            share = {"num_gpus": 1} if device == "cuda" else {"num_cpus": settled.threads}
            count = min(self.config.processes or room_for(share), len(jobs))
            with RayPool(self.config, settled, count, share) as pool:
                Driver(sweeper, jobs, pool).run()
        finally:
            if not connected:
                ray.shutdown()


def connect(address: str | None) -> None:
    """Join a cluster, or begin one of this machine alone.

    Raises:
        RefusalError: there is none at the address.
    """
    import ray

    try:
        ray.init(address=address, log_to_driver=False, logging_level=logging.WARNING)
    except (OSError, RuntimeError, ValueError) as error:
        raise no_cluster(address, str(error)) from error


def no_cluster(address: str | None, why: str) -> RefusalError:
    """What to raise where a cluster cannot be joined."""
    return RefusalError(
        f"no Ray cluster can be joined at '{address}': {why}",
        where="--address",
        mend="auto where this machine is a node of it, else HEAD:6379; without --address a cluster "
        "of this machine alone is begun",
    )


def refuse_silence(address: str) -> None:
    """Raise RefusalError where nothing listens: Ray would try for minutes."""
    host, _, port = address.removeprefix("ray://").rpartition(":")
    if not (host and port.isdecimal()):
        return  # "auto", "local"
    try:
        socket.create_connection((host.strip("[]"), int(port)), timeout=ANSWER_SECONDS).close()
    except OSError as error:
        raise no_cluster(address, str(error)) from error


def room_for(share: Mapping[str, int]) -> int:
    """How many actors with such a share the cluster has room for.

    Raises:
        RefusalError: for none.
    """
    nodes = [node["Resources"] for node in _nodes() if node["Alive"]]
    room = sum(_room_in(resources, share) for resources in nodes)
    if not room:
        there = {name: sum(node.get(name, 0) for node in nodes) for name in RESOURCES.values()}
        raise RefusalError(
            f"no node of the Ray cluster has room for a worker ({dict(share)}): together they "
            f"have {there}",
            where="--executor ray",
            mend="start nodes with GPUs, or fewer --workers (threads) for each",
        )
    return room


def room_here(share: Mapping[str, int]) -> int:
    """How many actors with such a share this node has room for."""
    import ray

    here = ray.get_runtime_context().get_node_id()
    (resources,) = (node["Resources"] for node in _nodes() if node["NodeID"] == here)
    return max(1, _room_in(resources, share))


def _nodes() -> list[dict[str, Any]]:
    import ray

    return ray.nodes()  # type: ignore[no-any-return, no-untyped-call]


def _room_in(resources: Mapping[str, float], share: Mapping[str, int]) -> int:
    return min(int(resources.get(RESOURCES[key], 0) // n) for key, n in share.items() if n)


class Actor:
    """The remote end: minds one process that measures, and passes on what it is told and tells.

    What the process dies of is its own; what ends the actor is Ray, the machine or somebody.
    """

    def __init__(
        self, name: str, config: SweepConfig, settled: str, share: Mapping[str, int], folder: str
    ) -> None:
        with suppress(OSError):  # then the paths have to be whole ones
            os.chdir(folder)
        self._name = name
        self._life = secrets.token_hex(8)
        self._events: SimpleQueue[Event] = SimpleQueue()
        cores = tuple(sorted(os.sched_getaffinity(0)))
        # Ray has set what CUDA device there is to be seen.
        self._pool = ProcessPool(config, settled, {name: Seat({}, cores)}, room_here(share))
        self._pool.__enter__()
        Thread(target=self._listen, daemon=True).start()

    def put(self, life: str, job: Job) -> None:
        """Hand over a checkpoint; `events` tells what became of it."""
        self._pool.send(self._name, life, job)

    def events(self) -> tuple[str, list[Event]]:
        """What happened since the last call, in this life of the actor; waits for something."""
        found = [self._events.get()]
        while not self._events.empty():
            found.append(self._events.get())
        return self._life, found

    def leave(self, life: str) -> None:
        """End this life, for Ray to begin another."""
        if life == self._life:
            os._exit(1)

    def pid(self) -> int:
        """The actor's process."""
        return os.getpid()

    def _listen(self) -> None:
        while True:
            for _, event in self._pool.events():
                self._events.put(event)


class RayPool(Pool):
    """Actors that Ray restarts, on another node where theirs is gone.

    Args:
        share: resources of each (`num_gpus`, `num_cpus`).
    """

    def __init__(
        self, config: SweepConfig, settled: Settled, count: int, share: Mapping[str, int]
    ) -> None:
        import ray

        self.workers = tuple(f"worker-{n}" for n in range(1, count + 1))
        self._gone = (ray.exceptions.RayActorError, ray.exceptions.ActorUnavailableError)
        # One call waits for events while others bring jobs.
        made: Any = ray.remote(Actor).options(
            max_restarts=-1, max_task_retries=0, max_concurrency=4, **dict(share)
        )
        first = (config, digest_of_settled(settled), share, str(Path.cwd()))
        self._actors: dict[str, ActorHandle[Actor]] = {
            name: made.remote(name, *first) for name in self.workers
        }
        self._polls: dict[Any, str] = {}
        self._lives: dict[str, str] = {}
        self._given_up: set[str] = set()
        self._silent_since = time.monotonic()

    def send(self, worker: str, life: str, job: Job) -> None:
        """One that is lost is told by `events`."""
        with suppress(*self._gone):
            self._actors[worker].put.remote(life, job)

    def events(self) -> list[tuple[str, Event]]:
        """Waits for a message or a death.

        Raises:
            RefusalError: no worker has been there for too long.
        """
        import ray

        while True:
            ready, _ = ray.wait(list(self._polls), timeout=POLL_SECONDS)
            found = [event for poll in ready for event in self._answers(poll)]
            if found:
                self._silent_since = time.monotonic()
                return found
            if not self._lives and time.monotonic() - self._silent_since > LOST_SECONDS:
                raise RefusalError(
                    f"no worker of the Ray cluster has come (back) for {LOST_SECONDS:.0f} s",
                    where="--executor ray",
                    mend="see `ray status` for what the cluster lacks; run the same command again "
                    "to go on",
                )
            if ready:
                time.sleep(RETRY_SECONDS)  # an actor that restarts refuses calls for a while

    def _answers(self, poll: Any) -> list[tuple[str, Event]]:
        import ray

        worker = self._polls.pop(poll)
        try:
            life, events = ray.get(poll)
        except self._gone as error:
            events = self._lost(worker, error)
        else:
            if life in self._given_up:
                self._actors[worker].leave.remote(life)
                events = []
            else:
                self._lives[worker] = life
        self._poll(worker)
        return [(worker, event) for event in events]

    def _lost(self, worker: str, error: Exception) -> list[Event]:
        if getattr(error, "actor_init_failed", False):
            mend = "every node needs the same fastclip with the same extras"
            return [Refused(str(error).strip(), mend=mend)]
        if worker not in self._lives:
            return []  # not back yet
        # One that was only out of reach may have sent what got lost: it has to start afresh.
        self._given_up.add(self._lives.pop(worker))
        self._silent_since = time.monotonic()
        return [Lost(type(error).__name__)]

    def _poll(self, worker: str) -> None:
        self._polls[self._actors[worker].events.remote()] = worker

    def __enter__(self) -> Self:
        for worker in self.workers:
            self._poll(worker)
        return self

    def __exit__(self, *_: object) -> None:
        import ray

        for actor in self._actors.values():
            with suppress(*self._gone):
                ray.kill(actor)
