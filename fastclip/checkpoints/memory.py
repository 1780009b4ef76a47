"""Where a checkpoint's tensors are read to: arrays of their own, or one block used again.

A CPU engine keeps or repacks what it is handed, so it gets float32 arrays of their own. A device
copies it, so one block per checkpoint in flight is enough: page-locked, which lets the device copy
by itself while the host goes on, and expensive to get, so it is kept. Tensors then stay as they are
stored, and the device converts them.
"""

from __future__ import annotations

import mmap
from contextlib import suppress
from threading import Lock
from typing import Any

import numpy as np
import numpy.typing as npt

ALIGNMENT = 64
"""Bytes; torch's and a processor's vector loads want no more."""

_PORTABLE = 1  # cudaHostRegisterPortable: page-locked for every device's context
_FLOATING = {"float64", "float32", "float16", "bfloat16"}


class Memory:
    """Arrays of their own: floating tensors become float32, others stay as they are.

    Its life: `prepare`, one `CheckpointFile.read`, until the caller needs the tensors no more; then
    the same again for the next checkpoint; `close`. One checkpoint uses it at a time.

    Attributes:
        cancelled: a read under way fails before its next range.
        note: what a user should know of it, else "".
    """

    def __init__(self) -> None:
        self.cancelled = False
        self.note = ""

    def prepare(self) -> None:
        """Get ready for the next checkpoint; tensors of the one before may be written over."""

    def allot(self, nbytes: int) -> npt.NDArray[np.uint8]:
        """Memory for one tensor, uint8 `[nbytes]`, not initialised; from several threads."""
        return np.empty(nbytes, np.uint8)

    def tensor(self, values: np.ndarray, dtype: str) -> Any:
        """What a tensor is handed out as; from several threads.

        Args:
            values: as stored and C-contiguous, bfloat16 as its bits in uint16.
            dtype: torch's name of what is stored.
        """
        if dtype == "bfloat16":  # its bits are the upper half of a float32's
            wide = values.astype("<u4")
            wide <<= 16
            return wide.view("<f4")
        return values.astype(np.float32, copy=False) if dtype in _FLOATING else values

    def cancel(self) -> None:
        """Make a read that is under way in another thread fail soon."""
        self.cancelled = True

    def close(self) -> None:
        """Give it back."""


class Arena(Memory):
    """One block that checkpoint after checkpoint is read into, as torch CPU tensors.

    They have the dtype in which they are stored and lie in the block, whose next checkpoint
    writes over them. Tensors that do not fit any more, and those stored with strides, lie in
    memory of their own.

    Args:
        nbytes: of the block; untouched pages cost nothing.
    """

    def __init__(self, nbytes: int) -> None:
        super().__init__()
        block = mmap.mmap(-1, max(nbytes, mmap.PAGESIZE))
        with suppress(OSError):  # a kernel without huge pages
            block.madvise(mmap.MADV_HUGEPAGE)
        self.block = np.frombuffer(block, np.uint8)
        self._used = 0
        self._lock = Lock()

    def prepare(self) -> None:
        self._used = 0

    def allot(self, nbytes: int) -> npt.NDArray[np.uint8]:
        with self._lock:
            begin, end = self._used, self._used + nbytes
            if end > self.block.size:
                return super().allot(nbytes)
            self._used = -(-end // ALIGNMENT) * ALIGNMENT
        return self.block[begin:end]

    def tensor(self, values: np.ndarray, dtype: str) -> Any:
        import torch

        kind = getattr(torch, dtype)
        if values.size == 0:
            return torch.empty(values.shape, dtype=kind)
        return torch.from_numpy(values.reshape(-1).view(np.uint8)).view(kind).reshape(values.shape)


class PinnedArena(Arena):
    """An arena that a CUDA device copies from by itself, asynchronously.

    `prepare` first waits until the device has done everything it was asked, copies from here
    among it. `prepare` and `close` are therefore for the thread that asks the device; reading
    threads never call CUDA, which must not happen while a graph is being captured.

    Attributes:
        pinned: False where the system refuses to lock the pages: copies then are slower, and
            `note` says so.
    """

    def __init__(self, nbytes: int, device: str) -> None:
        super().__init__(nbytes)
        self.device = device
        self.pinned: bool | None = None

    def prepare(self) -> None:
        import torch

        if self.pinned is None:
            self._pin()
        else:
            torch.cuda.synchronize(self.device)
        super().prepare()

    def close(self) -> None:
        import torch

        if self.pinned:
            with suppress(RuntimeError):  # a device that failed is told of elsewhere
                torch.cuda.synchronize(self.device)
            _cudart().cudaHostUnregister(self.block.ctypes.data)
        self.pinned = None

    def _pin(self) -> None:
        # torch's own page-locked allocator would round up to a power of two.
        import torch

        with torch.cuda.device(self.device):
            code = _cudart().cudaHostRegister(self.block.ctypes.data, self.block.size, _PORTABLE)
            self.pinned = int(code) == 0
            if not self.pinned:
                self.note = (
                    f"the system refuses to lock {self.block.size / 2**20:,.0f} MiB of memory "
                    f"(cudaHostRegister: {int(code)}): swaps will be slower (see ulimit -l)"
                )
                # The runtime keeps the refusal and tells it to the next kernel's launch.
                with suppress(RuntimeError):
                    torch.zeros(1, device=self.device).add_(1)


def _cudart() -> Any:
    import torch

    return torch.cuda.cudart()  # type: ignore[no-untyped-call]
