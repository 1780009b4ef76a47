"""How fast checkpoints are read, by number of threads, beside torch.load and safetensors.

    python bench/loading.py [--architecture ViT-B-32] [--folder DIR] [--threads 1,2] > loading.json

Writes checkpoints with random weights into DIR (3 GB for ViT-B-32; a temporary folder by default):
weights alone in float32 and float16, a training checkpoint with Adam's moments, and a safetensors
file where that package is installed.
Each is read with a cold page cache (dropped with posix_fadvise; a network file server's or the
hypervisor's own cache stays) and a warm one. A row of the result:

    file, cache     what was read
    method          "arrays": as a CPU engine gets them, float32 arrays
                    "arena": as a CUDA engine gets them, stored dtype in memory used again,
                    page-locked where there is a CUDA device
                    "upload": from there to float32 on the device (only with a CUDA device)
                    "torch.load", "torch.load mmap", "safetensors": the usual ways
    threads         of the read
    seconds         median; from opening the file until every byte of the model's weights was
                    touched; arrays and arena also hash every byte (SHA-256)
    gb_per_s        bytes of the model's weights / seconds / 1e9; the optimizer does not count

"sha256_gb_per_s" is what hashing alone reaches on one core: what bounds arrays and arena on few.
"""

from __future__ import annotations

import argparse
import gc
import json
import os
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from functools import partial
from hashlib import sha256
from importlib.util import find_spec
from pathlib import Path
from statistics import median
from typing import Any

import torch

from fastclip.checkpoints import describe, open_checkpoint, ranges
from fastclip.checkpoints.memory import Arena, Memory, PinnedArena
from fastclip.machine import usable_cores

FILES = ("weights fp32.pt", "weights fp16.pt", "training fp32.pt", "weights fp32.safetensors")


def main() -> int:
    """Write the files, read them, print JSON."""
    from fastclip.sweeper.environment import machine, versions

    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--architecture", default="ViT-B-32")
    parser.add_argument("--folder", type=Path)
    parser.add_argument("--threads", default="", help="by default 1, 2, 4 ... all cores, 16")
    parser.add_argument("--repeats", type=int, default=3)
    args = parser.parse_args()
    threads = sorted({int(n) for n in args.threads.split(",") if n}) or usual_threads()
    with tempfile.TemporaryDirectory(dir=args.folder) as folder:
        nbytes = write_files(Path(folder), args.architecture)
        rows = []
        for name, size in nbytes.items():
            path = Path(folder) / name
            for row in measure(path, size, threads, args.repeats):
                rows.append(row)
                print(json.dumps(row), file=sys.stderr)
    result = {
        "architecture": args.architecture,
        "device": torch.cuda.get_device_name() if torch.cuda.is_available() else None,
        "machine": machine(),
        "rows": rows,
        "sha256_gb_per_s": hash_rate(),
        "versions": versions(),
        "weights_bytes": nbytes,
    }
    print(json.dumps(result, indent=1, sort_keys=True))
    return 0


def usual_threads() -> list[int]:
    """Powers of two up to the cores, and what a sweep uses."""
    powers = (2**n for n in range(5))
    return sorted({*(n for n in powers if n <= usable_cores()), ranges.THREADS})


def write_files(folder: Path, architecture: str) -> dict[str, int]:
    """`{file: bytes of the model's weights in it}`."""
    import open_clip

    state = open_clip.create_model(architecture).state_dict()
    half = {name: tensor.half() for name, tensor in state.items()}
    moments = {i: {"exp_avg": t * 0.1, "exp_avg_sq": t * t} for i, t in enumerate(state.values())}
    training = {"epoch": 1, "state_dict": state, "optimizer": {"state": moments}}
    torch.save(state, folder / FILES[0])
    torch.save(half, folder / FILES[1])
    torch.save(training, folder / FILES[2])
    if find_spec("safetensors") is not None:
        from safetensors.torch import save_file

        save_file(state, folder / FILES[3])
    os.sync()  # dirty pages cannot be dropped
    sizes = [sum(t.nbytes for t in tensors.values()) for tensors in (state, half, state, state)]
    written = zip(FILES, sizes, strict=True)
    return {name: size for name, size in written if (folder / name).is_file()}


def measure(path: Path, size: int, threads: list[int], repeats: int) -> Iterator[dict[str, Any]]:
    """Rows of one file."""

    def row(method: str, cache: str, seconds: float, used: int | None = None) -> dict[str, Any]:
        return {
            "file": path.name,
            "cache": cache,
            "method": method,
            "threads": used,
            "seconds": round(seconds, 4),
            "gb_per_s": round(size / seconds / 1e9, 3),
        }

    arena = (PinnedArena if torch.cuda.is_available() else Arena)(*arena_arguments(size))
    arena.prepare()
    for cache in ("cold", "warm"):
        for count in threads:
            ranges.THREADS = count
            for method, memory in (("arrays", Memory()), ("arena", arena)):
                seconds = timed(partial(read, path, memory), path, cache, repeats)
                yield row(method, cache, seconds, count)
        for method, usual in others(path).items():
            yield row(method, cache, timed(usual, path, cache, repeats))
    if torch.cuda.is_available():
        from fastclip.engines.cuda.weights import upload

        arena.prepare()
        tensors = read(path, arena)
        device = torch.device("cuda")

        def to_device() -> None:
            upload(tensors, device)
            torch.cuda.synchronize()

        yield row("upload", "warm", timed(to_device, path, "warm", repeats))
    arena.close()


def hash_rate() -> float:
    """SHA-256 on one core, GB/s, of memory that is in no cache."""
    content = bytes(1 << 28)
    seconds = []
    for _ in range(3):
        began = time.perf_counter()
        sha256(content)
        seconds.append(time.perf_counter() - began)
    return round(len(content) / min(seconds) / 1e9, 3)


def arena_arguments(size: int) -> tuple[Any, ...]:
    """Room for the weights and what aligning takes."""
    room = size + (1 << 20)
    return (room, "cuda") if torch.cuda.is_available() else (room,)


def read(path: Path, memory: Memory) -> dict[str, Any]:
    """As `fastclip.sweeper.load` does."""
    memory.prepare()
    with open_checkpoint(describe(path)) as file:
        tensors = file.read(file.tensors, memory)
        file.digest(file.tensors)
    return tensors


def others(path: Path) -> dict[str, Callable[[], object]]:
    """The usual ways to read this file, each until every weight was touched."""

    def weights(saved: dict[str, Any]) -> dict[str, torch.Tensor]:
        model: dict[str, torch.Tensor] = saved.get("state_dict", saved)
        return model

    def mapped() -> list[torch.Tensor]:
        saved = torch.load(path, weights_only=True, map_location="cpu", mmap=True)
        return [tensor.clone() for tensor in weights(saved).values()]

    def safe() -> list[torch.Tensor]:
        from safetensors.torch import load_file

        return [tensor.clone() for tensor in load_file(path).values()]

    if path.suffix == ".safetensors":
        return {"safetensors": safe}
    return {
        "torch.load": lambda: torch.load(path, weights_only=True, map_location="cpu"),
        "torch.load mmap": mapped,
    }


def timed(work: Callable[[], object], path: Path, cache: str, repeats: int) -> float:
    """Median seconds of `work` with that page cache."""
    seconds = []
    if cache == "warm":
        work()
    for _ in range(repeats):
        gc.collect()
        if cache == "cold":
            drop_from_cache(path)
        began = time.perf_counter()
        held = work()
        seconds.append(time.perf_counter() - began)
        del held
    return median(seconds)


def drop_from_cache(path: Path) -> None:
    """Make the next read of this file come from the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
    finally:
        os.close(descriptor)


if __name__ == "__main__":
    sys.exit(main())
