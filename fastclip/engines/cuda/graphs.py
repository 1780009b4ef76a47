"""Functions of fixed inputs, recorded once as CUDA graphs and replayed."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

WARM_UP = 2
"""Runs before recording: libraries load, kernels are chosen and workspaces allocated in them."""


class Recorder:
    """Records functions of one device; all recordings share their memory.

    That is safe as long as they run on one stream and each output is copied before the next
    replay. On a CPU nothing is recorded and every call runs the function.
    """

    def __init__(self, device: torch.device) -> None:
        self._device = device
        if device.type == "cuda":
            with torch.cuda.device(device):
                self._pool = torch.cuda.graph_pool_handle()
                self._stream = torch.cuda.Stream()  # type: ignore[no-untyped-call]

    def record(self, function: Callable[..., Tensor], *inputs: Tensor) -> Callable[[], Tensor]:
        """`function(*inputs)` as something that reads the inputs' memory anew at every call.

        What the function reads besides (weights) is read where it lay at recording. A call
        returns the same tensor every time, written on the current stream.
        """
        if self._device.type != "cuda":
            function(*inputs)  # what cannot run fails here, as on a device
            return lambda: function(*inputs)
        with torch.cuda.device(self._device):
            graph, output = self._recorded(function, inputs)

        def replay() -> Tensor:
            graph.replay()
            return output

        return replay

    def _recorded(
        self, function: Callable[..., Tensor], inputs: tuple[Tensor, ...]
    ) -> tuple[torch.cuda.CUDAGraph, Tensor]:
        self._stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(self._stream):
            for _ in range(WARM_UP):
                function(*inputs)
        torch.cuda.current_stream().wait_stream(self._stream)
        graph = torch.cuda.CUDAGraph()
        # By default any thread that allocates pinned memory meanwhile (reading ahead) would
        # spoil the recording.
        with torch.cuda.graph(
            graph, pool=self._pool, stream=self._stream, capture_error_mode="thread_local"
        ):
            output = function(*inputs)
        return graph, output
