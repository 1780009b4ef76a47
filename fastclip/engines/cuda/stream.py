"""The engine's CUDA stream, and the only place where a CPU differs from a GPU."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch


class Stream:
    """The stream that TensorRT and the copies around it work on.

    TensorRT wants one that is not the default stream. On a CPU (where a stand-in plays
    TensorRT's part) there is none: work is done when a call returns, and the handle is 0.
    """

    def __init__(self, device: torch.device) -> None:
        self._stream: torch.cuda.Stream | None = None
        if device.type == "cuda":
            self._stream = torch.cuda.Stream(device)  # type: ignore[no-untyped-call]

    @property
    def handle(self) -> int:
        """The `cudaStream_t`, as TensorRT takes it."""
        return 0 if self._stream is None else int(self._stream.cuda_stream)

    @contextmanager
    def active(self) -> Iterator[None]:
        """Inside, torch and TensorRT work on this stream and its device.

        It waits for what the caller's stream has been given so far, and the caller's stream for
        it: tensors can be handed over both ways, and freed, without another thought.
        """
        if self._stream is None:
            yield
            return
        caller = torch.cuda.current_stream(self._stream.device)
        self._stream.wait_stream(caller)
        try:
            with torch.cuda.stream(self._stream):
                yield
        finally:
            caller.wait_stream(self._stream)

    def capture(self, enqueue: Callable[[], None]) -> Callable[[], None]:
        """A call that does on the device what `enqueue` does now; `enqueue` itself on a CPU.

        The stream is active. Not `torch.cuda.graph`: that empties the allocators' caches, pinned
        memory among them, and this happens for every checkpoint. Other threads may allocate
        meanwhile (the next checkpoint is being read), therefore "thread_local".
        """
        if self._stream is None:
            return enqueue
        graph = torch.cuda.CUDAGraph()
        graph.capture_begin(capture_error_mode="thread_local")
        try:
            enqueue()
        finally:
            graph.capture_end()
        return graph.replay

    def synchronize(self) -> None:
        """Wait until the device has done all of it."""
        if self._stream is not None:
            self._stream.synchronize()

    def release(self) -> None:
        """Give the device memory that torch keeps for itself back: TensorRT cannot use it."""
        if self._stream is not None:
            torch.cuda.empty_cache()
