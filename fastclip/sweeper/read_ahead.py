"""Reading ahead of the engine, as far as memory allows."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from math import prod
from typing import Self

from fastclip.checkpoints.base import Checkpoint
from fastclip.checkpoints.memory import ALIGNMENT, Arena, Memory, PinnedArena
from fastclip.engines.base import Engine
from fastclip.stimuli.budget import available_memory
from fastclip.sweeper.load import Loaded
from fastclip.towers.base import Towers

MOST_AHEAD = 4
"""Checkpoints that may wait for the engine; more would only wait longer."""

SHARE = 4
"""One part in so many of the free memory may hold them."""

READERS = 2
"""Checkpoints read at a time: while one is opened or its last tensor hashed, the other keeps the
disk busy. More would only make the next one late."""


def memories_for(
    engine: Engine,
    towers: Towers,
    checkpoints: int,
    *,
    workers: int = 1,
    budget: int | None = None,
) -> list[Memory]:
    """One memory for each checkpoint that may be held at a time, the one being swapped in too.

    A CPU engine gets one: its next checkpoint is read when the engine has taken this one over,
    so that no third set of weights is ever in memory. An engine that `takes_stored` gets arenas:
    as many as fit into the budget, at least two, at most `MOST_AHEAD` + 1.

    Args:
        checkpoints: how many there are to read.
        workers: how many share this machine.
        budget: bytes; by default a worker's part of `1 / SHARE` of the memory that is free now.
    """
    if not engine.takes_stored:
        return [Memory()]
    if budget is None:
        budget = available_memory() // (SHARE * workers)
    size = arena_bytes(towers)
    count = min(max(budget // size, 2), MOST_AHEAD + 1, max(checkpoints, 1))
    if engine.device.startswith("cuda"):
        return [PinnedArena(size, engine.device) for _ in range(count)]
    return [Arena(size) for _ in range(count)]


def arena_bytes(towers: Towers) -> int:
    """Room for a checkpoint stored in float32 or less, whatever its tensors are called."""
    # Hugging Face stores up to three tensors where a packed one is, each aligned.
    return sum(4 * prod(s) + 4 * ALIGNMENT for s in towers.module_manifest.shapes.values())


def room_to_prepare(towers: Towers, workers: int = 1) -> bool:
    """Whether each worker has memory for two prepared checkpoints, and for the packing of one."""
    return available_memory() > 4 * arena_bytes(towers) * workers


class InTurn:
    """Reads each checkpoint when it is taken: no work is done ahead of the engine.

    Args:
        read: reads one checkpoint into a memory.
        memory: which is read into again once a checkpoint is released.
    """

    def __init__(self, read: Callable[[Checkpoint, Memory], Loaded], memory: Memory) -> None:
        self._read = read
        self._memory = memory

    def add(self, checkpoints: Iterable[Checkpoint]) -> None:
        """Nothing is done before they are taken."""

    def take(self, checkpoint: Checkpoint) -> Loaded:
        """As `ReadAhead.take`."""
        began = time.perf_counter()
        self._memory.prepare()
        loaded = self._read(checkpoint, self._memory)
        loaded.seconds["wait"] = time.perf_counter() - began
        return loaded

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._memory.close()


class ReadAhead:
    """Reads checkpoints in their order, each into a memory, as long as a memory is free.

    A checkpoint holds its memory from when its reading begins until it is released; then the
    next one's reading begins at once. A reading that fails is told when its checkpoint is taken,
    and not before. Leaving the context cancels what is under way and waits for its threads.

    `add`, `take` and `Loaded.release` are for the thread that asks the engine: a page-locked memory
    waits for the device before it is read into again.

    Args:
        read: reads one checkpoint into a memory; called from up to `READERS` threads.
        log: told once what a user should know of the memories.
    """

    def __init__(
        self,
        read: Callable[[Checkpoint, Memory], Loaded],
        memories: Sequence[Memory],
        log: Callable[[str], None] = lambda _: None,
    ) -> None:
        self._waiting: deque[Checkpoint] = deque()
        self._read = read
        self._memories = memories
        self._free = deque(memories)
        self._held: dict[Checkpoint, tuple[Memory, Future[Loaded]]] = {}
        self._log = log
        self._said: set[str] = set()
        self._pool = ThreadPoolExecutor(
            min(READERS, len(memories)), thread_name_prefix="read-ahead"
        )

    def add(self, checkpoints: Iterable[Checkpoint]) -> None:
        """Read these too, after those that were added before."""
        self._waiting.extend(checkpoints)
        self._begin()

    def take(self, checkpoint: Checkpoint) -> Loaded:
        """The next checkpoint's tensors; the caller releases them.

        `seconds["wait"]` is how long this waited for the reader: what reading further ahead, or
        a faster disk, would save.

        Raises:
            CheckpointError: what reading it raised.
        """
        _, reading = self._held[checkpoint]
        began = time.perf_counter()
        try:
            loaded = reading.result()
        except Exception:
            self._release(checkpoint)
            raise
        loaded.seconds["wait"] = time.perf_counter() - began
        loaded.on_release = lambda: self._release(checkpoint)
        return loaded

    def _begin(self) -> None:
        while self._free and self._waiting:
            memory, checkpoint = self._free.popleft(), self._waiting.popleft()
            memory.prepare()
            if memory.note and memory.note not in self._said:
                self._said.add(memory.note)
                self._log(memory.note)
            self._held[checkpoint] = (memory, self._pool.submit(self._read, checkpoint, memory))

    def _release(self, checkpoint: Checkpoint) -> None:
        held = self._held.pop(checkpoint, None)
        if held is not None:
            self._free.append(held[0])
            self._begin()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._waiting.clear()
        for memory in self._memories:
            memory.cancel()
        self._pool.shutdown(wait=True, cancel_futures=True)
        for memory in self._memories:
            memory.close()
