"""torch-cuda with the image tower compiled by torch.compile, once for all checkpoints."""

from __future__ import annotations

from collections.abc import Callable
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, ClassVar

import torch
from torch import Tensor

from fastclip.engines.base import Shapes
from fastclip.engines.torch_cuda_engine import TorchCudaEngine

if TYPE_CHECKING:
    from fastclip.towers.base import Towers


class TorchCudaCompiledEngine(TorchCudaEngine):
    """`TorchCudaEngine` with the image tower through torch.compile.

    Parameters are inputs of what is compiled, not constants, so one compilation serves all
    checkpoints. It is recorded as a CUDA graph like the plain tower; the graphs that
    torch.compile could record by itself ("reduce-overhead") would copy their inputs once more.

    To compile once, every set of pictures is padded to the same batch. The text tower runs as in
    `TorchCudaEngine`: its half a dozen lengths would be as many compilations, for a small part of
    the work. Kernels are not chosen by timing where that changes bits, so a resumed sweep repeats
    its results.
    """

    name = "torch-cuda-compiled"
    family = "torch-cuda-compiled"

    backend: ClassVar[str | Callable[..., Any]] = "inductor"

    @classmethod
    def unavailable(cls, device: str) -> str | None:
        if find_spec("triton") is None:
            return "torch.compile needs the package triton, which is not installed"
        return super().unavailable(device)

    def open(self, towers: Towers, shapes: Shapes) -> None:
        super().open(towers, shapes)
        assert self._module is not None
        self._compiled: Callable[[Tensor], Tensor] | None = torch.compile(
            self._module.image,
            fullgraph=True,
            dynamic=False,
            backend=self.backend,
            options={"deterministic": True} if self.backend == "inductor" else None,
        )

    def close(self) -> None:
        if self._settings is not None:
            self._compiled = None
            # Or the next architecture would count as a recompilation of this one, and only
            # eight of these are allowed.
            torch.compiler.reset()
        super().close()

    def _image_rows(self, count: int) -> int:
        return self._shapes.image_batch

    def _tower(self, kind: str) -> Callable[[Tensor], Tensor]:
        if kind != "image":
            return super()._tower(kind)
        assert self._compiled is not None
        return self._compiled
