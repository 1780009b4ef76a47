"""Ranged reads into memory of any kind: the same values and the same digest, whatever the cut."""

from __future__ import annotations

import contextlib
import os
import random
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from fastclip.checkpoints import ranges
from fastclip.checkpoints.memory import ALIGNMENT, Arena, Memory, PinnedArena
from fastclip.checkpoints.safetensors_file import SafetensorsReader
from fastclip.checkpoints.tensor_file import PreadFile
from fastclip.checkpoints.torch_zip import TorchReader
from fastclip.errors import CheckpointError

Save = Callable[..., Path]
State = dict[str, torch.Tensor]


@pytest.fixture
def mixed(state: State) -> State:
    """Every dtype that is read, no elements, no dimensions, and a tensor of many ranges."""
    generator = torch.Generator().manual_seed(3)
    return {
        **state,
        "half": torch.randn(33, 7, generator=generator).half(),
        "brain": torch.randn(5, 11, generator=generator).bfloat16(),
        "double": torch.randn(13, generator=generator).double(),
        "flags": torch.tensor([True, False, True]),
        "bytes": torch.arange(7, dtype=torch.uint8),
        "empty": torch.zeros(0, 3),
        "long": torch.randn(60_000, generator=generator),
    }


def expected_digest(state: State) -> str:
    """As `CheckpointFile.digest` is documented, from torch's own bytes."""
    whole = sha256()
    for name, tensor in sorted(state.items()):
        dtype = str(tensor.dtype).removeprefix("torch.")
        whole.update(f"{name}\0{dtype}\0{list(tensor.shape)}\0".encode())
        stored = tensor.contiguous().reshape(-1).view(torch.uint8).numpy().tobytes()
        whole.update(sha256(stored).digest())
    return whole.hexdigest()


def assert_stored(read: dict[str, Any], state: State) -> None:
    assert list(read) == list(state)
    for name, tensor in state.items():
        assert read[name].dtype == tensor.dtype, name
        assert read[name].is_contiguous(), name
        assert torch.equal(read[name], tensor), name


@pytest.mark.parametrize("threads", [1, 8])
@pytest.mark.parametrize("gap", [0, 4096])
@pytest.mark.parametrize("size", [1001, 4096, 16 << 20])
def test_the_cut_changes_nothing(
    size: int, gap: int, threads: int, save: Save, mixed: State, tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    for name, value in (("RANGE", size), ("GAP", gap), ("THREADS", threads)):
        monkeypatch.setattr(ranges, name, value)
    path = save(tmp_path / "a.pt", tensors=mixed)
    arena = Arena(1 << 20)
    with TorchReader.open(path) as file:
        assert_stored(file.read(file.tensors, arena), mixed)
        assert file.digest(file.tensors) == expected_digest(mixed)
    with TorchReader.open(path) as file:
        for name, array in file.read(file.tensors).items():
            floating = mixed[name].is_floating_point()
            want = mixed[name].float() if floating else mixed[name]
            assert array.dtype == want.numpy().dtype, name
            np.testing.assert_array_equal(array, want.numpy(), err_msg=name)
        assert file.digest(file.tensors) == expected_digest(mixed)


def test_neighbours_share_a_read_and_large_tensors_are_cut(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ranges, "RANGE", 1 << 20)
    tensors = {f"b{i:03}": torch.full((100,), float(i)) for i in range(200)}
    tensors["large"] = torch.randn(1_000_000)
    torch.save(tensors, tmp_path / "a.pt")
    save_file(tensors, tmp_path / "a.safetensors")
    calls: list[int] = []
    preadv = os.preadv

    def counted(descriptor: int, buffers: Any, offset: int) -> int:
        calls.append(sum(len(buffer) for buffer in buffers))
        return preadv(descriptor, buffers, offset)

    monkeypatch.setattr(os, "preadv", counted)
    for reader, name in ((TorchReader, "a.pt"), (SafetensorsReader, "a.safetensors")):
        with reader.open(tmp_path / name) as file:
            calls.clear()
            read = file.read(file.tensors)
        assert all(np.array_equal(read[n], t.numpy()) for n, t in tensors.items())
        assert 4 <= len(calls) <= 6
        assert max(calls) <= 1 << 20
        assert sum(calls) < 4_080_000 + 64_000  # the gaps between zip entries


def test_short_reads_and_a_short_file(
    save: Save, state: State, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = save(tmp_path / "a.pt")
    preadv = os.preadv

    def few(descriptor: int, buffers: list[memoryview], offset: int) -> int:
        return preadv(descriptor, [buffers[0][:77]], offset)

    with TorchReader.open(path) as file:
        monkeypatch.setattr(os, "preadv", few)
        assert_stored(file.read(state, Arena(1 << 20)), state)
        os.truncate(path, path.stat().st_size // 4)
        with pytest.raises(CheckpointError, match="cut short"):
            file.read(state)


def test_tensors_with_strides_lie_outside(tmp_path: Path) -> None:
    base = torch.arange(60, dtype=torch.float16).reshape(6, 10)
    state = {"base": base, "tied": base, "transposed": base.T, "column": base[:, 3]}
    torch.save(state, tmp_path / "a.pt")
    with TorchReader.open(tmp_path / "a.pt") as file:
        arena = Arena(1 << 16)
        read = file.read(state, arena)
        assert file.digest(state) == expected_digest(state)
    assert_stored(read, {name: tensor.contiguous() for name, tensor in state.items()})
    assert [lies_in(read[name], arena) for name in state] == [True, True, False, False]


def lies_in(tensor: torch.Tensor, arena: Arena) -> bool:
    start: int = arena.block.ctypes.data
    return start <= tensor.data_ptr() < start + arena.block.size


def test_an_arena_is_used_again(save: Save, mixed: State, tmp_path: Path) -> None:
    other = {n: t * 2 if t.is_floating_point() else t for n, t in mixed.items()}
    paths = [save(tmp_path / "a.pt", tensors=mixed), save(tmp_path / "b.pt", tensors=other)]
    arena = Arena(1 << 20)
    with TorchReader.open(paths[0]) as file:
        first = file.read(file.tensors, arena)
    # A vector load wants no more, and no two tensors share a cache line.
    assert all(t.data_ptr() % ALIGNMENT == 0 for t in first.values() if t.numel())
    assert all(lies_in(t, arena) for t in first.values() if t.numel())
    kept = {name: tensor.clone() for name, tensor in first.items()}
    arena.prepare()
    with TorchReader.open(paths[1]) as file:
        assert_stored(file.read(file.tensors, arena), other)
    assert not torch.equal(first["long"], kept["long"])
    assert_stored(kept, mixed)


def test_what_does_not_fit_lies_outside(save: Save, mixed: State, tmp_path: Path) -> None:
    arena = Arena(8192)
    with TorchReader.open(save(tmp_path / "a.pt", tensors=mixed)) as file:
        read = file.read(file.tensors, arena)
    assert_stored(read, mixed)
    assert not lies_in(read["long"], arena)
    assert lies_in(read["logit_scale"], arena)


def test_ranges_may_arrive_in_any_order(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ranges, "RANGE", 1000)
    rng = random.Random(5)
    for _ in range(20):
        content = rng.randbytes(rng.randrange(1, 20_000))
        incoming = ranges.Incoming(len(content), lambda n: np.empty(n, np.uint8))
        order = list(range(len(incoming.starts)))
        rng.shuffle(order)
        whole: list[Any] = []

        def deliver(
            indices: list[int], incoming: ranges.Incoming = incoming,
            content: bytes = content, whole: list[Any] = whole,
        ) -> None:  # fmt: skip
            for index in indices:
                start = incoming.starts[index]
                incoming.buffer(index)[:] = content[start : start + incoming.size(index)]
                whole.append(incoming.arrived(index))

        threads = [threading.Thread(target=deliver, args=(order[i::4],)) for i in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        ((raw, digest),) = [found for found in whole if found is not None]
        assert raw.tobytes() == content
        assert digest == sha256(content).digest()


@pytest.fixture
def slow_disk(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[int]]:
    """Every read takes 20 ms; the list counts them."""
    begun: list[int] = []
    preadv = os.preadv

    def slow(descriptor: int, buffers: Any, offset: int) -> int:
        begun.append(offset)
        time.sleep(0.02)
        return preadv(descriptor, buffers, offset)

    monkeypatch.setattr(os, "preadv", slow)
    yield begun


def many_ranges(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> PreadFile:
    monkeypatch.setattr(ranges, "RANGE", 1000)
    monkeypatch.setattr(ranges, "THREADS", 4)
    torch.save({"w": torch.randn(50_000)}, tmp_path / "a.pt")
    file = TorchReader.open(tmp_path / "a.pt")
    assert isinstance(file, PreadFile)
    return file


def test_several_reads_are_under_way_at_once(
    tmp_path: Path, slow_disk: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    with many_ranges(tmp_path, monkeypatch) as file:
        began = time.perf_counter()
        file.read(["w"])
    assert len(slow_disk) == 201  # 200 ranges and the entry's header
    assert time.perf_counter() - began < 201 * 0.02 / 2


def test_cancelling_ends_a_read(
    tmp_path: Path, slow_disk: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    threads = threading.active_count()
    memory = Memory()
    with many_ranges(tmp_path, monkeypatch) as file:
        threading.Timer(0.05, memory.cancel).start()
        with pytest.raises(CheckpointError, match="cancelled"):
            file.read(["w"], memory)
    assert len(slow_disk) < 100
    assert threading.active_count() <= threads


def test_a_failed_range_ends_a_read(
    tmp_path: Path, slow_disk: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    with many_ranges(tmp_path, monkeypatch) as file:
        os.truncate(tmp_path / "a.pt", 20_000)
        with pytest.raises(CheckpointError, match="cut short"):
            file.read(["w"])
    assert len(slow_disk) < 100


class Runtime:
    """Stands in for the CUDA runtime: notes what it is asked."""

    def __init__(self, code: int) -> None:
        self.code = code
        self.asked: list[tuple[Any, ...]] = []

    def cudaHostRegister(self, address: int, size: int, flags: int) -> int:
        self.asked.append(("register", address, size, flags))
        return self.code

    def cudaHostUnregister(self, address: int) -> int:
        self.asked.append(("unregister", address))
        return 0


def with_runtime(monkeypatch: pytest.MonkeyPatch, runtime: Any, asked: list[Any]) -> None:
    monkeypatch.setattr(torch.cuda, "cudart", lambda: runtime)
    monkeypatch.setattr(torch.cuda, "device", lambda _: nullcontext())
    monkeypatch.setattr(torch.cuda, "synchronize", lambda device: asked.append(("wait", device)))


def test_pages_are_locked_once_and_the_device_is_waited_for(
    save: Save, mixed: State, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    runtime = Runtime(code=0)
    with_runtime(monkeypatch, runtime, runtime.asked)
    arena = PinnedArena(1 << 20, "cuda:1")
    assert runtime.asked == []
    path = save(tmp_path / "a.pt", tensors=mixed)
    for _ in range(2):
        arena.prepare()
        with TorchReader.open(path) as file:
            assert_stored(file.read(file.tensors, arena), mixed)
    arena.close()
    address = arena.block.ctypes.data
    assert address % os.sysconf("SC_PAGE_SIZE") == 0
    assert runtime.asked == [
        ("register", address, 1 << 20, 1),
        ("wait", "cuda:1"),
        ("wait", "cuda:1"),
        ("unregister", address),
    ]


def test_pages_that_cannot_be_locked_are_used_all_the_same(
    save: Save, mixed: State, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The real binding of this torch, which has no device here: names, arguments, its answer."""
    runtime = getattr(torch._C, "_cudart", None)
    if runtime is None or torch.cuda.is_available():
        pytest.skip("needs a torch with CUDA on a machine without")
    assert callable(runtime.cudaHostUnregister)
    with_runtime(monkeypatch, runtime, [])
    arena = PinnedArena(1 << 20, "cuda")
    arena.prepare()
    assert arena.pinned is False
    assert "cudaHostRegister" in arena.note
    with TorchReader.open(save(tmp_path / "a.pt", tensors=mixed)) as file:
        assert_stored(file.read(file.tensors, arena), mixed)
    arena.close()


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_a_device_copies_from_locked_pages_by_itself(save: Save, tmp_path: Path) -> None:
    arena = PinnedArena(1 << 20, "cuda")
    state = {"w": torch.randn(500, 500).half()}
    with contextlib.closing(arena):
        arena.prepare()
        assert arena.pinned
        with TorchReader.open(save(tmp_path / "a.pt", tensors=state)) as file:
            read = file.read(state, arena)
        assert read["w"].is_pinned()
        assert torch.equal(
            read["w"].to("cuda", non_blocking=True).float().cpu(), state["w"].float()
        )
        arena.prepare()
