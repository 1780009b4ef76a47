"""fastclip's TensorRT engine on the stand-in: the same code, on a CPU."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

from fastclip.engines.base import Shapes
from fastclip.engines.tensorrt.engine import TensorRTEngine
from fastclip.towers.base import TowerGraph, Towers
from fastclip.towers.lowering import lowered


class SimulatedTensorRT(TensorRTEngine):
    """Differs from `TensorRTEngine` in its device and in batches that a CPU can do."""

    devices = ("cpu",)
    default_shapes = Shapes(image_batch=16, text_batch=16)

    def __init__(self, *, precision: str = "fp32", threads: int = 1, device: str = "cpu") -> None:
        super().__init__(precision=precision, threads=threads, device=device)


def own_graphs(towers: Towers, folder: Path, precision: str = "fp32") -> Towers:
    """The same towers with their graphs in another folder: plans are kept beside the graphs."""

    def moved(graph: TowerGraph) -> TowerGraph:
        folder.mkdir(exist_ok=True)
        # Lowered where it stays, once for all tests.
        for path in {graph.path, lowered(graph, precision).path}:
            shutil.copy(path, folder)
        return replace(graph, path=folder / graph.path.name)

    return replace(towers, visual=moved(towers.visual), text=towers.text and moved(towers.text))
