"""Pictures on the device as uint8: all of them where they fit, else batch by batch."""

from __future__ import annotations

from math import prod

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from fastclip.stimuli.base import DevicePixels, Pixels

RESERVE = 0.3
"""Share of the device's free memory that is left to weights, activations and workspaces."""

_FILL = 1 << 26
"""Bytes that cross at a time while a resident set is filled."""


class DevicePictures:
    """uint8 pictures `[U, H, W, 3]` that a device reads in batches.

    Args:
        pixels: the view's pictures.
        device: where they go.
        limit: bytes that may stay there; by default what is free now, less `RESERVE` of it. A
            larger set stays on the host and crosses batch by batch in pinned memory: the host
            fills one of two buffers while the device takes the other or computes. Pictures that
            are on a device already (`DevicePixels`) cross no bus.

    Everything happens on the device's current stream, so a batch is not overwritten before the
    work that was queued on it is done.
    """

    def __init__(self, pixels: Pixels, device: torch.device, limit: int | None = None) -> None:
        self.shape = tuple(pixels.shape)
        self._pixels = pixels
        self._stages = [_Stage(device), _Stage(device)]
        self._all: Tensor | None = None
        if prod(self.shape) <= (free_bytes(device) if limit is None else limit):
            self._all = torch.empty(self.shape, dtype=torch.uint8, device=device)
            step = max(1, _FILL // prod(self.shape[1:]))
            for lo in range(0, self.shape[0], step):
                self._cross(lo, min(lo + step, self.shape[0]), self._all[lo : lo + step])
            # torch gives pinned memory away again only when the copies from it are through.
            self._stages = []

    @property
    def resident(self) -> bool:
        """Whether all of them are on the device."""
        return self._all is not None

    def copy_batch(self, lo: int, hi: int, out: Tensor) -> None:
        """Copy rows `lo:hi` into `out`, uint8 `[B, H, W, 3]` on the device, on its current stream.

        Rows of `out` beyond `hi - lo` get the last picture again. Returns before the copy is
        done.
        """
        rows = hi - lo
        if self._all is None:
            self._cross(lo, hi, out[:rows])
        else:
            out[:rows].copy_(self._all[lo:hi])
        if rows < len(out):
            out[rows:].copy_(out[rows - 1 : rows].expand_as(out[rows:]))

    def _cross(self, lo: int, hi: int, out: Tensor) -> None:
        if isinstance(self._pixels, DevicePixels):
            self._pixels.copy_batch(lo, hi, out)
            return
        self._stages.reverse()
        self._stages[0].copy(self._pixels[lo:hi], out)


def free_bytes(device: torch.device) -> int:
    """Bytes that pictures may take on the device now; without end on a CPU."""
    if device.type != "cuda":
        return 1 << 62
    return int(torch.cuda.mem_get_info(device)[0] * (1 - RESERVE))


class _Stage:
    """One pinned buffer, written again once its last copy has crossed."""

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._pinned = device.type == "cuda"
        self._crossed = torch.cuda.Event() if self._pinned else None  # type: ignore[no-untyped-call]
        self._buffer = torch.empty(0, dtype=torch.uint8)

    def copy(self, pictures: npt.NDArray[np.uint8], out: Tensor) -> None:
        if self._crossed is not None:
            self._crossed.synchronize()
        if self._buffer.numel() < pictures.size:
            self._buffer = torch.empty(pictures.size, dtype=torch.uint8, pin_memory=self._pinned)
        staged = self._buffer[: pictures.size].view(pictures.shape)
        staged.numpy()[:] = pictures
        out.copy_(staged, non_blocking=True)
        if self._crossed is not None:
            self._crossed.record(torch.cuda.current_stream(self._device))
