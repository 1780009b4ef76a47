"""fastclip's TensorRT engine on the stand-in: the same code, on a CPU."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from fastclip.engines.base import Shapes
from fastclip.engines.tensorrt import engine as engine_module
from fastclip.engines.tensorrt.engine import TensorRTEngine
from fastclip.engines.tensorrt.network import Network, network_of
from fastclip.parity.probe import random_state
from fastclip.towers.base import TowerGraph, Towers
from fastclip.towers.lowering import lowered
from fastclip.towers.recipes import pack

SHAPES = Shapes(image_batch=4, text_batch=4)
PICTURES = np.random.default_rng(0).integers(0, 256, (7, 32, 32, 3), dtype=np.uint8)
IDS = np.random.default_rng(1).integers(1, 80, (3, 20))
EOT = np.array([19, 5, 11])
IDS[np.arange(3), EOT] = 89


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


def fold_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a graph be made into a network once for all tests: a quarter of a second each."""

    def folded(graph: TowerGraph, batch: int) -> Network:
        key = graph.digest, batch
        if key not in _NETWORKS:
            _NETWORKS[key] = network_of(graph, batch)
        return _NETWORKS[key]

    monkeypatch.setattr(engine_module, "network_of", folded)


_NETWORKS: dict[tuple[str, int], Network] = {}


def opened(towers: Towers, precision: str = "fp32") -> SimulatedTensorRT:
    """An engine for batches of `SHAPES`, without weights."""
    engine = SimulatedTensorRT(precision=precision)
    engine.open(towers, SHAPES)
    return engine


def load(engine: TensorRTEngine, towers: Towers, seed: int) -> None:
    """Swap in random weights."""
    state = engine.upload(random_state(towers, seed))
    engine.load(pack(engine.manifest(towers), state))


def images(engine: TensorRTEngine) -> np.ndarray:
    """Embeddings of `PICTURES`, `[7, D]`; the last batch is short."""
    handle = engine.place(PICTURES)
    return engine.fetch(*(engine.encode_images(handle, lo, min(lo + 4, 7)) for lo in (0, 4)))


def texts(engine: TensorRTEngine) -> np.ndarray:
    """Embeddings of the prompts `IDS`, `[3, D]`."""
    return engine.fetch(engine.encode_texts(IDS, EOT))
