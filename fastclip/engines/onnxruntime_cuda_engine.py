"""ONNX Runtime on CUDA: weights as graph inputs, at fixed addresses on the device."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from fastclip.engines.base import Shapes, refuse_misfits
from fastclip.engines.cuda.base import CudaEngine, copy_rows
from fastclip.engines.cuda.device import no_device
from fastclip.engines.cuda.pictures import DevicePictures
from fastclip.engines.cuda.stream import Stream
from fastclip.engines.cuda.weights import refuse_overflow
from fastclip.engines.onnxruntime_session import (
    MEND,
    BoundSession,
    Target,
    library,
    smallest_model,
)
from fastclip.errors import EngineError
from fastclip.towers.lowering import lowered, tidy, weights_to_inputs
from fastclip.towers.module import as_tensor

if TYPE_CHECKING:
    from fastclip.stimuli.base import Pixels
    from fastclip.towers.base import Manifest, TowerGraph, Towers


class OnnxRuntimeCudaEngine(CudaEngine):
    """One session for every tower and shape of batch, made when it is first needed.

    The weights' memory is torch's, allocated once in `open` and bound to each session as inputs;
    `load` copies a checkpoint into it, converting on the device. Precision is that of the graph
    (`fastclip.towers.lowering`); fp32 is without TF32. Shapes are fixed, so that none is
    computed while the device works, and no operation may be placed on the CPU: in a precision
    that lacks a kernel, `open` or the probe raises EngineError, which names the operation.

    No CUDA graphs, though shapes and addresses would allow them: the kernels of a batch of 512
    take longer than their launches, and what onnxruntime does while it records has not been seen
    on a GPU.
    """

    name = "onnxruntime-cuda"
    family = "onnxruntime-cuda"
    provider: ClassVar[str] = "CUDAExecutionProvider"

    _stream: Stream | None = None
    _loaded = False

    @classmethod
    def unavailable(cls, device: str) -> str | None:
        if device.split(":")[0] not in cls.devices:
            return f"it runs on {' or '.join(cls.devices)}, not on {device}"
        if torch.device(device).type == "cuda" and (reason := no_device(device)) is not None:
            return reason
        try:
            onnxruntime = library()
        except Exception as error:  # whatever a broken installation raises
            return f"onnxruntime cannot be imported: {error}"
        if cls.provider not in onnxruntime.get_available_providers():
            return f"this onnxruntime has no {cls.provider}: {MEND}"
        try:
            Target(cls.provider, torch.device(device), 0, 1).new_session(smallest_model(), "a test")
        except EngineError as error:
            return error.what
        return None

    def open(self, towers: Towers, shapes: Shapes) -> None:
        self.close()
        self._towers = towers
        self._shapes = shapes
        self._device = torch.device(self.device)
        self._stream = Stream(self._device)
        self._target = Target(self.provider, self._device, self._stream.handle, self.threads)
        self._graphs = {
            part: lowered(graph, self.precision) for part, graph in towers.graphs.items()
        }
        self._sessions: dict[tuple[str, tuple[int, ...]], BoundSession] = {}
        with self._stream.active():
            self._weights: dict[str, Tensor] = {
                name: torch.zeros(shape, dtype=getattr(torch, dtype), device=self._device)
                for graph in self._graphs.values()
                for name, (shape, dtype) in graph.initializers.items()
            }
            pixels = towers.architecture.preprocessing.pixels
            # Here, because what this machine cannot run is to show before the first checkpoint.
            self._session("visual", (shapes.image_batch, pixels.height, pixels.width, 3))

    def manifest(self, towers: Towers) -> Manifest:
        return towers.manifest

    def place(self, pixels: Pixels) -> DevicePictures:
        with self._active():
            return DevicePictures(pixels, self._device)

    def load(self, packed: Mapping[str, Any]) -> None:
        self._loaded = False
        refuse_misfits(packed, self._towers.manifest)
        with self._active():
            for name, weight in self._weights.items():
                weight.copy_(as_tensor(packed[name]))
            refuse_overflow(self._weights, packed)
        self._loaded = True

    def encode_images(self, handle: DevicePictures, lo: int, hi: int) -> Tensor:
        self._refuse_unloaded()
        rows = min(self._shapes.image_batch, handle.shape[0])
        with self._active():
            session = self._session("visual", (rows, *handle.shape[1:]))
            (pixels,) = session.inputs.values()
            handle.copy_batch(lo, hi, pixels)
            return session.run()[: hi - lo].clone()

    def encode_texts(self, ids: npt.NDArray[np.int64], eot: npt.NDArray[np.int64]) -> Tensor:
        self._refuse_unloaded()
        rows = self._shapes.text_batch
        with self._active():
            session = self._session("text", (rows, ids.shape[1]))
            for name, given in session.inputs.items():
                copy_rows({"ids": ids, "eot": eot}[name], given)
            return session.run()[: len(ids)].clone()

    def describe(self) -> dict[str, str]:
        return super().describe() | {"onnxruntime": library().__version__}

    def close(self) -> None:
        if self._stream is None:
            return
        self._stream.synchronize()
        self._sessions, self._weights = {}, {}
        self._stream.release()
        self._stream = None
        self._loaded = False

    def _active(self) -> AbstractContextManager[None]:
        """The engine's stream, behind and before whatever the caller's is given."""
        if self._stream is None:
            raise EngineError("the engine is not open")
        return self._stream.active()

    def _refuse_unloaded(self) -> None:
        if not self._loaded:
            raise EngineError("no weights are loaded")

    def _session(self, part: str, shape: tuple[int, ...]) -> BoundSession:
        """The session of a tower ("visual" or "text") for a first input of this shape."""
        if (part, shape) not in self._sessions:
            graph = self._graphs[part]
            session = self._target.new_session(_model(graph, shape), f"the {part} tower")
            weights = {name: self._weights[name] for name in graph.initializers}
            self._sessions[part, shape] = BoundSession(session, weights, self._device)
        return self._sessions[part, shape]


def _model(graph: TowerGraph, shape: tuple[int, ...]) -> bytes:
    """The ONNX file for a first input of this shape, the weights as inputs."""
    import onnx_ir as ir

    model = ir.load(graph.path)
    for value, sizes in zip(model.graph.inputs, (shape, shape[:1]), strict=False):
        value.shape = ir.Shape(sizes)
    for node in model.graph:
        for value in node.outputs:
            value.shape = None  # The file has names for what is a number now.
    weights_to_inputs(model, graph)
    tidy(model)
    data: bytes = ir.to_proto(model).SerializeToString()
    return data
