"""The reference engine: open_clip's own module on the CPU in fp32, or in bf16 for screening."""

from __future__ import annotations

from collections.abc import Mapping
from concurrent.futures import Future
from dataclasses import dataclass
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from fastclip.engines.base import Engine, Outputs, Prepared, Shapes, pad_rows, refuse_misfits
from fastclip.engines.side_by_side import SideBySide
from fastclip.errors import EngineError

if TYPE_CHECKING:
    from torch import Tensor, nn

    from fastclip.stimuli.base import Pixels
    from fastclip.towers.base import Manifest, Towers
    from fastclip.towers.module import TowerModule


@dataclass(frozen=True)
class Weights:
    """One checkpoint's tensors by state-dict name, in the engine's precision."""

    tensors: Mapping[str, Tensor]


class TorchEngine(Engine):
    """Batches run side by side, a thread each, on one module.

    At fp32 `load` assigns the arrays without copying: they must not change until the next `load`.
    At bf16 everything behind the pixels' normalisation is bfloat16.
    """

    name = "torch"
    family = "torch"
    precisions = ("fp32", "bf16")
    prepares_ahead = True
    default_shapes = Shapes(image_batch=8)

    _module: TowerModule
    _cores: SideBySide | None = None
    _loaded = False

    def open(self, towers: Towers, shapes: Shapes) -> None:
        self.close()
        import torch

        self._threads_before = torch.get_num_threads()
        self._cores = SideBySide(self.threads, start=_one_thread)
        self._towers = towers
        self._shapes = shapes
        from fastclip.towers.module import build_module

        self._module = build_module(towers)
        if self.precision == "bf16":
            _lower(self._module)

    def manifest(self, towers: Towers) -> Manifest:
        return towers.module_manifest

    def place(self, pixels: Pixels) -> Pixels:
        return pixels

    def prepare(self, packed: Mapping[str, Any]) -> Weights:
        import torch

        from fastclip.towers.module import as_tensor

        refuse_misfits(packed, self._towers.module_manifest)
        dtype = torch.bfloat16 if self.precision == "bf16" else torch.float32
        return Weights({name: as_tensor(array).to(dtype) for name, array in packed.items()})

    def load(self, packed: Prepared) -> None:
        weights = packed if isinstance(packed, Weights) else self.prepare(packed)
        self._module.load(weights.tensors)
        self._loaded = True

    def encode_images(self, handle: Pixels, lo: int, hi: int) -> Outputs:
        batch = min(self._shapes.image_batch, handle.shape[0])
        # A copy: torch takes no read-only memory, which mapped pictures are.
        pixels = np.array(pad_rows(handle[lo:hi], batch))
        return self._run("encode_image", hi - lo, pixels)

    def encode_texts(self, ids: npt.NDArray[np.int64], eot: npt.NDArray[np.int64]) -> Outputs:
        batch = self._shapes.text_batch
        return self._run("encode_text", len(ids), pad_rows(ids, batch), pad_rows(eot, batch))

    def describe(self) -> dict[str, str]:
        return super().describe() | {"torch": version("torch")}

    def close(self) -> None:
        if self._cores is not None:
            self._cores.close()
            self._cores = None
            import torch

            # What a thread says of itself holds for MKL everywhere.
            torch.set_num_threads(self._threads_before)
            del self._module
        self._loaded = False

    def _run(self, method: str, rows: int, *inputs: npt.NDArray[Any]) -> Outputs:
        """A promise of the first `rows` embeddings."""
        import torch

        if not self._loaded or self._cores is None:
            raise EngineError("no weights are loaded")
        encode = getattr(self._module, method)

        def run() -> npt.NDArray[np.float32]:
            with torch.inference_mode():
                outputs: Tensor = encode(*map(torch.from_numpy, inputs))
                embeddings: npt.NDArray[np.float32] = outputs[:rows].float().numpy()
            return embeddings

        promise: Future[npt.NDArray[np.float32]] = self._cores.submit(run)
        return promise


def _one_thread() -> None:
    import torch

    torch.set_num_threads(1)


def _lower(module: TowerModule) -> None:
    """Put a module into bfloat16 but for the normalisation of pixels."""
    tower = module.image
    mean, std = tower.pixel_mean, tower.pixel_std
    module.bfloat16()
    tower.pixel_mean, tower.pixel_std = mean, std

    def lower_pixels(_: nn.Module, arguments: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        return tuple(argument.bfloat16() for argument in arguments)

    tower.visual.register_forward_pre_hook(lower_pixels)
