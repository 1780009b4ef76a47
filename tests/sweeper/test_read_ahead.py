"""Reading ahead: as far as memories allow, never later than it could, and never too early."""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from make_run import save_checkpoint, tiny_state

import fastclip
from fastclip.checkpoints import describe
from fastclip.checkpoints.base import Checkpoint, Metadata
from fastclip.checkpoints.memory import Arena, Memory, PinnedArena
from fastclip.engines import ENGINES
from fastclip.engines.base import Engine
from fastclip.engines.cuda.weights import as_tensor, upload
from fastclip.engines.torch_engine import TorchEngine
from fastclip.errors import CheckpointError
from fastclip.parity.probe import random_state
from fastclip.sweeper import read_ahead
from fastclip.sweeper.load import Loaded, load
from fastclip.sweeper.read_ahead import MOST_AHEAD, ReadAhead, arena_bytes, memories_for
from fastclip.towers.base import Towers
from fastclip.towers.cache import get_towers
from fastclip.towers.identify import architecture_of

SOON = 5.0


@pytest.fixture(scope="module")
def towers(run_folder: Path, shared_cache: Path) -> Towers:
    architecture = architecture_of(str(run_folder / "open_clip_config.json"))
    return get_towers(architecture, cache_dir=shared_cache, text=False)


def checkpoints(count: int) -> list[Checkpoint]:
    return [Checkpoint(Path(f"epoch_{i}.pt"), "run", "torch", str(i)) for i in range(count)]


def loaded(checkpoint: Checkpoint) -> Loaded:
    return Loaded(checkpoint, None, {"w": 1}, 0, "", "", "", Metadata())  # type: ignore[arg-type]


class Disk:
    """A slow file system that notes when each checkpoint was read."""

    def __init__(self, seconds: float = 0.0, broken: Sequence[int] = ()) -> None:
        self.seconds = seconds
        self.broken = {f"epoch_{i}.pt" for i in broken}
        self.began: dict[Checkpoint, float] = {}
        self.ended: dict[Checkpoint, float] = {}
        self.memories: dict[Checkpoint, Memory] = {}
        self.most_at_once = 0
        self._lock = threading.Lock()

    def read(self, checkpoint: Checkpoint, memory: Memory) -> Loaded:
        with self._lock:
            self.began[checkpoint] = time.perf_counter()
            self.memories[checkpoint] = memory
            self.most_at_once = max(self.most_at_once, len(self.began) - len(self.ended))
        time.sleep(self.seconds)
        with self._lock:
            self.ended[checkpoint] = time.perf_counter()
        if checkpoint.path.name in self.broken:
            raise CheckpointError("broken", where=checkpoint.path)
        return loaded(checkpoint)

    def wait_for(self, count: int) -> None:
        """Until `count` readings have ended; then there was time for one more to begin."""
        deadline = time.perf_counter() + SOON
        while len(self.ended) < count and time.perf_counter() < deadline:
            time.sleep(0.001)
        time.sleep(0.02)


@pytest.mark.parametrize("memories", [1, 2, 5])
def test_reads_as_far_ahead_as_there_are_memories(memories: int) -> None:
    """With one memory: nothing is read while the engine has not taken the weights over."""
    disk, run = Disk(), checkpoints(8)
    with ReadAhead(disk.read, [Memory() for _ in range(memories)]) as ahead:
        ahead.add(run)
        for done, checkpoint in enumerate(run):
            disk.wait_for(min(done + memories, 8))
            assert list(disk.began) == run[: done + memories]
            with ahead.take(checkpoint) as taken:
                time.sleep(0.01)
                assert list(disk.began) == run[: done + memories]
                taken.release()
                assert not taken.tensors
            disk.wait_for(min(done + memories + 1, 8))
            assert list(disk.began) == run[: done + memories + 1]
    assert disk.most_at_once <= read_ahead.READERS


@dataclass
class Swept:
    """What the device saw: when each checkpoint's memory was free again, and how long it waited."""

    began: float
    released: list[float]
    waits: list[float]
    busy: float
    elapsed: float


def sweep_with(disk: Disk, run: list[Checkpoint], memories: int, device: float) -> Swept:
    """Take, swap (at once) and measure for `device` seconds, as the sweep does."""
    began = time.perf_counter()
    swept = Swept(began, [], [], 0.0, 0.0)
    with ReadAhead(disk.read, [Memory() for _ in range(memories)]) as ahead:
        ahead.add(run)
        for checkpoint in run:
            with ahead.take(checkpoint) as one:
                swept.waits.append(one.seconds["wait"])
                swept.released.append(time.perf_counter())
                one.release()
                working = time.perf_counter()
                time.sleep(device)
                swept.busy += time.perf_counter() - working
        swept.elapsed = time.perf_counter() - began
    return swept


@pytest.mark.parametrize("memories", [2, 4])
@pytest.mark.parametrize("device", [0.02, 0.2], ids=["disk slower", "device slower"])
def test_no_file_could_have_been_read_earlier(device: float, memories: int) -> None:
    """Every reading begins as soon as a reader and a memory are free."""
    disk, run, readers = Disk(seconds=0.1), checkpoints(8), read_ahead.READERS
    swept = sweep_with(disk, run, memories, device)
    for i, checkpoint in enumerate(run):
        reader_free = disk.ended[run[i - readers]] if i >= readers else swept.began
        memory_free = swept.released[i - memories] if i >= memories else swept.began
        assert disk.began[checkpoint] - max(reader_free, memory_free) < 0.06
    assert disk.most_at_once == readers
    # What is told as waiting is all the time in which the device had nothing to do.
    assert sum(swept.waits) == pytest.approx(swept.elapsed - swept.busy, abs=0.08)
    if device > disk.seconds:
        assert max(swept.waits[1:]) < 0.06
    else:
        assert swept.elapsed < 0.75 * 8 * (disk.seconds + device)


@pytest.mark.parametrize("memories", [1, 3])
def test_a_failure_is_told_at_its_own_checkpoint(memories: int) -> None:
    disk, run = Disk(broken=[0, 2, 3]), checkpoints(6)
    outcome = []
    with ReadAhead(disk.read, [Memory() for _ in range(memories)]) as ahead:
        ahead.add(run)
        for checkpoint in run:
            try:
                with ahead.take(checkpoint) as taken:
                    outcome.append(taken.checkpoint)
            except CheckpointError as error:
                outcome.append(error.where)
    names = [c.path.name for c in run]
    assert outcome == [names[0], run[1], names[2], names[3], run[4], run[5]]


def test_leaving_cancels_and_leaves_no_thread() -> None:
    """As Ctrl-C does: the reading under way is told, the waiting ones never begin."""
    disk, run = Disk(), checkpoints(9)
    threads = threading.active_count()
    held = threading.Event()

    class Slow(Memory):
        closed = False

        def close(self) -> None:
            self.closed = True

    def read(checkpoint: Checkpoint, memory: Memory) -> Loaded:
        if checkpoint is not run[0]:
            held.set()
            deadline = time.perf_counter() + SOON
            while not memory.cancelled and time.perf_counter() < deadline:
                time.sleep(0.001)
        return disk.read(checkpoint, memory)

    memories = [Slow() for _ in range(5)]
    began = time.perf_counter()
    with pytest.raises(KeyboardInterrupt), ReadAhead(read, memories) as ahead:
        ahead.add(run)
        with ahead.take(run[0]):
            held.wait(SOON)
            raise KeyboardInterrupt
    assert time.perf_counter() - began < SOON
    assert all(memory.closed for memory in memories)
    assert len(disk.began) <= 1 + read_ahead.READERS
    assert threading.active_count() == threads


class Staged(TorchEngine):
    """A CUDA engine on the CPU: stored tensors in, copied by `load`, converted by `upload`."""

    name = family = "staged"

    @property
    def takes_stored(self) -> bool:
        return True

    def upload(self, tensors: Mapping[str, Any]) -> Mapping[str, Any]:
        SEEN.append({name: (t.dtype, t.data_ptr()) for name, t in tensors.items()})
        return upload(tensors, torch.device("cpu"))

    def load(self, packed: Mapping[str, Any]) -> None:
        super().load({name: as_tensor(value).clone() for name, value in packed.items()})


SEEN: list[dict[str, tuple[torch.dtype, int]]] = []
"""By swap: `{tensor: (dtype, address)}` as `Staged.upload` got them."""


def test_memories_by_engine_and_budget(towers: Towers, monkeypatch: pytest.MonkeyPatch) -> None:
    size = arena_bytes(towers)
    weights = sum(array.nbytes for array in random_state(towers, 1).values())
    assert weights <= size < weights + 64 * 1024
    (plain,) = memories_for(TorchEngine(), towers, 300)
    assert type(plain) is Memory

    def count(budget: int, checkpoints: int = 300) -> int:
        memories = memories_for(Staged(), towers, checkpoints, budget=budget)
        assert all(type(m) is Arena and m.block.size == size for m in memories)
        return len(memories)

    assert [count(n * size) for n in (0, 1, 2, 3, 5, 100)] == [2, 2, 2, 3, 5, 5]
    assert MOST_AHEAD == 4
    assert count(100 * size, checkpoints=3) == 3
    monkeypatch.setattr(read_ahead, "available_memory", lambda: 12 * size)
    assert len(memories_for(Staged(), towers, 300)) == 3

    class Cuda(Staged):
        devices = ("cuda",)
        takes_stored = Engine.takes_stored  # type: ignore[assignment]

    pinned = memories_for(Cuda(device="cuda:1"), towers, 300)
    assert all(type(m) is PinnedArena and m.device == "cuda:1" for m in pinned)


class Device:
    """Copies later than it is told to, as a device does."""

    def __init__(self) -> None:
        self.queue: list[tuple[torch.Tensor, torch.Tensor]] = []

    def copy(self, target: torch.Tensor, source: torch.Tensor) -> None:
        self.queue.append((target, source))

    def wait(self) -> None:
        while self.queue:
            target, source = self.queue.pop(0)
            target.copy_(source)


@pytest.mark.parametrize("patient", [True, False])
def test_an_arena_is_written_again_only_when_the_device_is_through(
    patient: bool, towers: Towers, tmp_path: Path
) -> None:
    """And without the wait the device gets the next checkpoint's values: this test can fail."""
    device = Device()

    class Locked(Arena):
        def prepare(self) -> None:
            if patient:
                device.wait()
            super().prepare()

    run = []
    for epoch in range(1, 7):
        path = tmp_path / f"epoch_{epoch}.pt"
        state = {n: torch.from_numpy(a) for n, a in random_state(towers, epoch).items()}
        torch.save(state, path)
        run.append(describe(path))

    def read(checkpoint: Checkpoint, memory: Memory) -> Loaded:
        return load(checkpoint, towers, memory, trust_pickle=False)

    copied = []
    memories = [Locked(arena_bytes(towers)) for _ in range(2)]
    with ReadAhead(read, memories) as ahead:
        ahead.add(run)
        for checkpoint in run:
            with ahead.take(checkpoint) as taken:
                targets = {n: torch.full_like(t, torch.nan) for n, t in taken.tensors.items()}
                for name, target in targets.items():
                    device.copy(target, taken.tensors[name])
                copied.append(targets)
        time.sleep(0.05)
    device.wait()
    right = [
        all(torch.equal(copy[name], stored) for name, stored in torch.load(c.path).items())
        for copy, c in zip(copied, run, strict=True)
    ]
    assert all(right) if patient else not all(right)


def test_a_sweep_through_arenas_gives_the_same_scores(
    sets: tuple[str, ...], shared_cache: Path, run_folder: Path, tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    """Stored in four precisions; one checkpoint holds NaN and fails alone."""
    folder = tmp_path / "run" / "checkpoints"
    folder.mkdir(parents=True)
    config = (run_folder / "open_clip_config.json").read_text()
    (folder / "open_clip_config.json").write_text(config)
    kinds = [torch.float32, torch.float16, torch.bfloat16, torch.float64]
    for epoch in range(1, 10):
        state = {n: t.to(kinds[epoch % 4]) for n, t in tiny_state(epoch).items()}
        if epoch == 4:
            state["visual.proj"][0, 0] = torch.nan
        save_checkpoint(folder / f"epoch_{epoch}.pt", epoch, state)
    monkeypatch.setitem(ENGINES._entries, "staged", f"{__name__}:Staged")
    SEEN.clear()
    rows: dict[str, pd.DataFrame] = {
        engine: fastclip.sweep(
            folder, tmp_path / engine, data=sets[:1], cache_dir=shared_cache, workers=1,
            engine=engine,
        )
        for engine in ("torch", "staged")
    }  # fmt: skip
    for found in rows.values():
        (name,) = found.attrs["failures"]
        assert name.endswith("epoch_4.pt")
        assert found["checkpoint"].nunique() == 8
    np.testing.assert_array_equal(
        rows["torch"]["value"].astype(float), rows["staged"]["value"].astype(float)
    )
    assert [{dtype for dtype, _ in seen.values()} for seen in SEEN] == [
        {kinds[epoch % 4]} for epoch in range(1, 10)
    ]
    # All went through five arenas, but for float64, of which some lies outside.
    within = [seen for seen in SEEN if torch.float64 not in {dtype for dtype, _ in seen.values()}]
    arenas = {min(address for _, address in seen.values()) for seen in within}
    assert 1 < len(arenas) <= MOST_AHEAD + 1 < len(within)
