"""open_clip's own module on CUDA: static weights, CUDA graphs, nothing that waits for the host."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import ExitStack, nullcontext
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from fastclip.engines.base import Shapes, refuse_misfits
from fastclip.engines.cuda.base import CudaEngine, copy_rows
from fastclip.engines.cuda.device import (
    exact_products,
    fused_attention,
    no_device,
)
from fastclip.engines.cuda.graphs import Recorder
from fastclip.engines.cuda.half_precision import HALF, lower
from fastclip.engines.cuda.pictures import DevicePictures
from fastclip.engines.cuda.weights import refuse_overflow
from fastclip.errors import EngineError
from fastclip.towers.module import as_tensor

if TYPE_CHECKING:
    from fastclip.stimuli.base import Pixels
    from fastclip.towers.base import Manifest, Towers
    from fastclip.towers.module import TowerModule


class TorchCudaEngine(CudaEngine):
    """open_clip's own module on the device, run as CUDA graphs.

    The weights' memory is allocated once, in `open`; `load` copies a checkpoint into it, so that
    graphs recorded with one checkpoint compute with the next. A graph is recorded when a batch
    size (or length of text) is first seen.

    What is in half precision and what is not: `fastclip.engines.cuda.half_precision`.
    """

    name = "torch-cuda"
    family = "torch-cuda"

    _module: TowerModule | None = None
    _settings: ExitStack | None = None
    _loaded = False

    @classmethod
    def unavailable(cls, device: str) -> str | None:
        return no_device(device)

    def open(self, towers: Towers, shapes: Shapes) -> None:
        from fastclip.towers.module import build_module

        self.close()
        self._device = torch.device(self.device)
        self._settings = ExitStack()
        self._settings.enter_context(exact_products())
        self._settings.enter_context(fused_attention())
        torch.set_num_threads(self.threads)
        self._towers = towers
        self._shapes = shapes
        self._module = build_module(towers).to(self._device)
        states = self._module.model.state_dict(keep_vars=True)
        self._weights: dict[str, Tensor] = {
            name: states[name] for name in towers.module_manifest.recipes
        }
        if self.precision in HALF:
            lower(self._module, HALF[self.precision])
        self._recorder: Recorder | None = Recorder(self._device)
        self._calls: dict[tuple[str, tuple[int, ...]], _Call] = {}

    def manifest(self, towers: Towers) -> Manifest:
        return towers.module_manifest

    def place(self, pixels: Pixels) -> DevicePictures:
        return DevicePictures(pixels, self._device)

    def load(self, packed: Mapping[str, Any]) -> None:
        self._loaded = False
        refuse_misfits(packed, self._towers.module_manifest)
        with torch.no_grad():
            for name, weight in self._weights.items():
                weight.copy_(as_tensor(packed[name]))
        refuse_overflow(self._weights, packed)
        self._loaded = True

    def encode_images(self, handle: DevicePictures, lo: int, hi: int) -> Tensor:
        call = self._call("image", (self._image_rows(handle.shape[0]), *handle.shape[1:]))
        handle.copy_batch(lo, hi, call.inputs)
        return call.run()[: hi - lo].clone()

    def encode_texts(self, ids: npt.NDArray[np.int64], eot: npt.NDArray[np.int64]) -> Tensor:
        call = self._call("text", (self._shapes.text_batch, ids.shape[1]))
        copy_rows(ids, call.inputs)
        return call.run()[: len(ids)].clone()

    def close(self) -> None:
        if self._settings is None:
            return
        self._settings.close()
        self._settings = self._module = None
        self._loaded = False
        self._weights, self._calls, self._recorder = {}, {}, None
        if self._device.type == "cuda":
            torch.cuda.empty_cache()

    def _image_rows(self, count: int) -> int:
        """Pictures in a batch of a set of `count`."""
        return min(self._shapes.image_batch, count)

    def _tower(self, kind: str) -> Callable[[Tensor], Tensor]:
        assert self._module is not None
        return self._module.image if kind == "image" else self._module.text

    def _call(self, kind: str, shape: tuple[int, ...]) -> _Call:
        """The recorded run of a tower ("image" or "text") for inputs of this shape."""
        if not self._loaded:
            raise EngineError("no weights are loaded")
        if (kind, shape) not in self._calls:
            dtype = torch.uint8 if kind == "image" else torch.int64
            assert self._recorder is not None
            inputs = torch.zeros(shape, dtype=dtype, device=self._device)
            try:
                run = self._recorder.record(self._runner(kind), inputs)
            except torch.cuda.OutOfMemoryError as error:
                raise EngineError(
                    f"the device has no room for a batch of {shape[0]}: {error}",
                    mend="choose a smaller one: --batch-size N",
                ) from error
            except Exception as error:
                raise EngineError(
                    f"engine '{self.name}' cannot run the {kind} tower of "
                    f"{self._towers.architecture.name}: {type(error).__name__}: {error}",
                    mend="choose another engine: --engine NAME (fastclip ls engines)",
                ) from error
            self._calls[kind, shape] = _Call(inputs, run)
        return self._calls[kind, shape]

    def _runner(self, kind: str) -> Callable[[Tensor], Tensor]:
        tower = self._tower(kind)
        half = HALF.get(self.precision)

        def run(inputs: Tensor) -> Tensor:
            # A cache of cast tensors would be of the memory of one recording.
            casting = (
                torch.autocast(self._device.type, half, cache_enabled=False)
                if half is not None
                else nullcontext()
            )
            with torch.no_grad(), casting:
                return tower(inputs)

        return run


@dataclass(frozen=True)
class _Call:
    """A recorded run and the memory it reads pictures or token ids from."""

    inputs: Tensor
    run: Callable[[], Tensor]
