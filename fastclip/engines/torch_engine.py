"""The reference engine: open_clip's own module, fp32, on the CPU."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import torch

from fastclip.engines.base import Engine, Shapes, pad_rows, refuse_misfits
from fastclip.errors import EngineError

if TYPE_CHECKING:
    from fastclip.stimuli.base import Pixels
    from fastclip.towers.base import Manifest, Towers


class TorchEngine(Engine):
    """`load` assigns the arrays without copying: they must not change until the next `load`."""

    name = "torch"
    family = "torch"

    def open(self, towers: Towers, shapes: Shapes) -> None:
        self.close()
        torch.set_num_threads(self.threads)
        self._towers = towers
        self._shapes = shapes
        from fastclip.towers.module import build_module

        self._module: Any = build_module(towers)

    def manifest(self, towers: Towers) -> Manifest:
        return towers.module_manifest

    def place(self, pixels: Pixels) -> Pixels:
        return pixels

    def load(self, packed: Mapping[str, Any]) -> None:
        refuse_misfits(packed, self._towers.module_manifest)
        self._module.load(packed)
        self._loaded = True

    def encode_images(self, handle: Pixels, lo: int, hi: int) -> npt.NDArray[np.float32]:
        batch = min(self._shapes.image_batch, handle.shape[0])
        # A copy: torch takes no read-only memory, which mapped pictures are.
        pixels = np.array(pad_rows(handle[lo:hi], batch))
        return self._run("encode_image", hi - lo, pixels)

    def encode_texts(
        self, ids: npt.NDArray[np.int64], eot: npt.NDArray[np.int64]
    ) -> npt.NDArray[np.float32]:
        batch = self._shapes.text_batch
        return self._run("encode_text", len(ids), pad_rows(ids, batch), pad_rows(eot, batch))

    def describe(self) -> dict[str, str]:
        return super().describe() | {"torch": str(torch.__version__)}

    def close(self) -> None:
        self._module = None
        self._loaded = False

    def _run(self, method: str, rows: int, *inputs: npt.NDArray[Any]) -> npt.NDArray[np.float32]:
        if not self._loaded:
            raise EngineError("no weights are loaded")
        with torch.inference_mode():
            outputs = getattr(self._module, method)(*map(torch.from_numpy, inputs))
        embeddings: npt.NDArray[np.float32] = outputs[:rows].numpy()
        return embeddings
