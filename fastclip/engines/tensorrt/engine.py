"""TensorRT: engines built once per architecture, refitted for every checkpoint."""

from __future__ import annotations

from collections.abc import Mapping
from hashlib import sha256
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from fastclip.engines.base import Shapes, refuse_misfits
from fastclip.engines.cuda.base import CudaEngine, copy_rows
from fastclip.engines.cuda.device import device_identity, no_device
from fastclip.engines.cuda.pictures import DevicePictures
from fastclip.engines.cuda.stream import Stream
from fastclip.engines.tensorrt import library
from fastclip.engines.tensorrt.build import Profile, build_plan, plan_key
from fastclip.engines.tensorrt.network import Network, network_of
from fastclip.engines.tensorrt.plan_cache import PlanCache
from fastclip.engines.tensorrt.refit import MEND, RefitError
from fastclip.engines.tensorrt.tower import PlanError, Tower
from fastclip.engines.text_batches import LENGTHS
from fastclip.errors import EngineError
from fastclip.towers.lowering import lowered

if TYPE_CHECKING:
    from fastclip.stimuli.base import Pixels
    from fastclip.towers.base import Manifest, TowerGraph, Towers

USUAL = 16
"""Tokens that kernels of the text tower are chosen for: of ImageNet's 80,000 prompts, 99 % have
no more than 15."""


class TensorRTEngine(CudaEngine):
    """Precision is that of the graph (`towers.lowering`); TensorRT is given no say in it.

    Picture batches have one size; a set that is smaller is padded to it. Prompts have one batch
    size and any length up to the context in one engine, so that one refit serves all lengths.

    `load` copies the weights and enqueues the refit; nothing waits for the device but `fetch`.
    Where TensorRT fails to refit, the tower's engine is made anew from its plan and asked once
    more.
    """

    name = "tensorrt"
    family = "tensorrt"
    recapture: ClassVar[bool] = True
    """See `Tower`."""

    @classmethod
    def unavailable(cls, device: str) -> str | None:
        if device.split(":")[0] not in cls.devices:
            return f"TensorRT runs on {' or '.join(cls.devices)}, not on {device}"
        if (reason := library.not_installed()) is not None:
            return reason
        if torch.device(device).type != "cuda":
            return None
        return no_device(device) or library.does_not_work(device)

    def __init__(self, *, precision: str = "fp16", threads: int = 0, device: str = "cuda") -> None:
        super().__init__(precision=precision, threads=threads, device=device)
        self._device = torch.device(device)
        self._parts: dict[str, _Part] = {}
        self._built: dict[str, Tower] = {}
        self._plans: dict[str, str] = {}
        self._loaded = False

    def open(self, towers: Towers, shapes: Shapes) -> None:
        self.close()
        self._towers = towers
        self._shapes = shapes
        self._stream = Stream(self._device)
        self._machine = device_identity(self._device)
        batches = {"visual": shapes.image_batch, "text": shapes.text_batch}
        with self._stream.active():
            for part, graph in towers.graphs.items():
                self._parts[part] = _Part(graph, batches[part], towers, self.precision)
                self._tower(part)

    def manifest(self, towers: Towers) -> Manifest:
        return towers.manifest

    def place(self, pixels: Pixels) -> DevicePictures:
        with self._stream.active():
            return DevicePictures(pixels, self._device)

    def load(self, packed: Mapping[str, Any]) -> None:
        self._loaded = False
        refuse_misfits(packed, self._towers.manifest)
        with self._stream.active():
            for part in self._parts:
                self._refit(part, packed)
        self._loaded = True

    def encode_images(self, handle: DevicePictures, lo: int, hi: int) -> Tensor:
        with self._stream.active():
            tower = self._ready("visual")
            (name,) = self._parts["visual"].network.inputs
            pixels = tower.input(name, (self._shapes.image_batch, *handle.shape[1:]))
            handle.copy_batch(lo, hi, pixels)
            return tower.run()[: hi - lo]

    def encode_texts(self, ids: npt.NDArray[np.int64], eot: npt.NDArray[np.int64]) -> Tensor:
        with self._stream.active():
            tower, part = self._ready("text"), self._parts["text"]
            # What stands behind the end of text changes nothing in a tower that may be cut.
            short = max(0, part.profile[0] - ids.shape[1])
            rows = {"ids": np.pad(ids, ((0, 0), (0, short))), "eot": eot}
            for name in part.network.inputs:
                shape = (self._shapes.text_batch, *rows[name].shape[1:])
                copy_rows(rows[name], tower.input(name, shape))
            return tower.run()[: len(ids)]

    def fetch(self, *outputs: Tensor) -> npt.NDArray[np.float32]:
        with self._stream.active():
            return super().fetch(*outputs)

    def describe(self) -> dict[str, str]:
        """Once open, the plans are among it: a plan that is built again is another engine, and
        is to be probed again."""
        return super().describe() | {"tensorrt": library.version()} | self._plans

    def close(self) -> None:
        if self._built:
            self._stream.synchronize()
            self._built = {}
            self._stream.release()
        self._parts = {}
        self._plans = {}
        self._loaded = False

    def _ready(self, part: str) -> Tower:
        if not self._loaded:
            raise EngineError("no weights are loaded")
        return self._tower(part)

    def _refit(self, part: str, packed: Mapping[str, Any]) -> None:
        for _ in range(2):
            try:
                return self._tower(part).refit(packed)
            except RefitError as error:
                # It holds some of these weights and some of the last ones.
                failure = str(error)
                self._stream.synchronize()
                del self._built[part]
        raise EngineError(
            f"the {part} tower's engine failed to take new weights, was made anew, and failed "
            f"again: {failure}",
            mend=MEND,
        )

    def _tower(self, part: str) -> Tower:
        """The tower, from its plan; the plan from the cache, or built where none is good."""
        if part not in self._built:
            made = self._parts[part]
            cache = PlanCache(made.graph.path.parent / "plans")
            key = plan_key(made.network, made.profile, self._machine)
            plan = cache.load("plan", key)
            tower = None if plan is None else self._deserialised(made, plan)
            if plan is None or tower is None:
                plan = build_plan(made.network, made.profile, cache, self._machine)
                cache.save("plan", key, plan)
                tower = made.tower(plan, self._device, self._stream, self.recapture)
            self._plans[f"{part} plan"] = sha256(plan).hexdigest()[:16]
            self._built[part] = tower
        return self._built[part]

    def _deserialised(self, part: _Part, plan: bytes) -> Tower | None:
        try:
            return part.tower(plan, self._device, self._stream, self.recapture)
        except PlanError:
            return None


class _Part:
    """One tower's network, and how its plan is made into a `Tower`."""

    def __init__(self, graph: TowerGraph, batch: int, towers: Towers, precision: str) -> None:
        self.graph = lowered(graph, precision)
        self.network: Network = network_of(self.graph, batch)
        context = towers.context_length
        self.profile: Profile = (min(LENGTHS[0], context), min(USUAL, context), context)
        self._output = (graph.output, towers.embed_dim)

    def tower(self, plan: bytes, device: torch.device, stream: Stream, recapture: bool) -> Tower:
        """Raises PlanError where TensorRT does not take the plan."""
        return Tower(
            plan, self.network, self.profile, self._output, device, stream, recapture=recapture
        )
