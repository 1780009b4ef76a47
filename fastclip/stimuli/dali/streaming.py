"""A set that is decoded on the GPU for every pass, and never leaves it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from fastclip.stimuli.base import Int64Array, UInt8Array
from fastclip.stimuli.generated import GeneratedPixels


@dataclass(frozen=True)
class _Batch:
    pictures: Tensor
    ready: torch.cuda.Event


class StreamedPixels(GeneratedPixels):
    """Generated pictures on a GPU, made on streams of their own while another batch is encoded.

    Args:
        make: uint8 `[n, H, W, 3]` on the GPU of n rows, queued on the current stream.
        index, shape: as for `GeneratedPixels`.
        device: the GPU.
    """

    def __init__(
        self,
        make: Callable[[Sequence[int]], Tensor],
        index: Int64Array,
        shape: tuple[int, ...],
        device: torch.device,
    ) -> None:
        self._device = device

        def on_own_stream(rows: Sequence[int]) -> _Batch:
            stream = torch.cuda.Stream(device)  # type: ignore[no-untyped-call]  # of torch's pool
            with torch.cuda.stream(stream):
                return _Batch(make(rows), stream.record_event())

        super().__init__(on_own_stream, index, shape)

    def __getitem__(self, rows: slice) -> UInt8Array:
        lo, hi, _ = rows.indices(self.shape[0])
        out = torch.empty((hi - lo, *self.shape[1:]), dtype=torch.uint8, device=self._device)
        self.copy_batch(lo, hi, out)
        return out.cpu().numpy()

    def copy_batch(self, lo: int, hi: int, out: Tensor) -> None:
        """See `fastclip.stimuli.base.DevicePixels`; waits for the host's part of the work alone."""
        batch: _Batch = self.take(lo, hi)
        stream = torch.cuda.current_stream(self._device)
        stream.wait_event(batch.ready)
        out.copy_(batch.pictures, non_blocking=True)
        batch.pictures.record_stream(stream)  # its memory is not given away before the copy
