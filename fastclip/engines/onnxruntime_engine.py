"""The default engine: ONNX Runtime on the CPU in fp32, or in int8 for screening."""

from __future__ import annotations

from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from fastclip.engines.base import Shapes
from fastclip.engines.graph_engine import GraphEngine, Session
from fastclip.errors import EngineError

if TYPE_CHECKING:
    from fastclip.engines.int8.graph import QuantisedGraph
    from fastclip.towers.base import TowerGraph, Towers


class OnnxRuntimeEngine(GraphEngine):
    """Weights go in with `add_external_initializers`, before ONNX Runtime optimises anything.

    `add_initializer` would be the shorter way and is silently wrong at the default optimisation
    level: a convolution then keeps the weights that are in the file.

    A session copies what it is given (and repacks matrices for its kernels), so `prepare` may be
    followed by freeing the arrays. It takes an array of another shape without a word. Its creation
    costs about 0.9 s of one core for a ViT-B-32 visual tower (335 MiB of weights).

    At int8 matrices are quantised anew for every checkpoint, and what they are multiplied with
    while it runs, with one scale for all of a tensor. So a batch is computed row by row: a picture
    among others would be rounded as the others have it.
    """

    name = "onnxruntime"
    family = "onnxruntime"
    precisions = ("fp32", "int8")

    _quantised: Mapping[str, QuantisedGraph]
    _fused: Mapping[str, TowerGraph]

    @classmethod
    def unavailable(cls, device: str) -> str | None:
        if find_spec("onnxruntime") is None:
            return "onnxruntime is not installed: pip install fastclip[cpu]"
        return None

    def open(self, towers: Towers, shapes: Shapes) -> None:
        super().open(towers, shapes)
        self._fused = {part: _fuse(graph) for part, graph in towers.graphs.items()}
        if self.precision == "int8":
            from fastclip.engines.int8.graph import quantised

            self._quantised = {part: quantised(graph) for part, graph in self._fused.items()}

    def describe(self) -> dict[str, str]:
        import onnxruntime

        from fastclip.towers.fusing import FUSING_REVISION

        made = f"fused {FUSING_REVISION}"
        if self.precision == "int8":
            from fastclip.engines.int8.graph import REVISION

            made += f", int8 {REVISION}"
        return super().describe() | {"onnxruntime": onnxruntime.__version__, "graph": made}

    def _filled(self, array: npt.NDArray[Any], rows: int) -> npt.NDArray[Any]:
        return array if self.precision == "int8" else super()._filled(array, rows)

    def _new_session(
        self, part: str, graph: TowerGraph, weights: Mapping[str, np.ndarray]
    ) -> Session:
        if self.precision == "int8":
            from fastclip.engines.int8.quantise import quantise_weights

            quantised = self._quantised[part]
            weights = quantise_weights(quantised, weights)
            return _row_by_row(new_session(quantised.path, graph.output, weights))
        return new_session(self._fused[part].path, graph.output, weights)


def _fuse(graph: TowerGraph) -> TowerGraph:
    from fastclip.towers.fusing import fused

    try:
        return fused(graph)
    except Exception as error:
        raise EngineError(f"the graph cannot be read: {error}", where=graph.path) from error


def _row_by_row(session: Session) -> Session:
    """The session, each row of its inputs a batch of its own."""

    def run(inputs: Mapping[str, npt.NDArray[Any]]) -> npt.NDArray[np.float32]:
        rows = range(len(next(iter(inputs.values()))))
        return np.concatenate(
            [
                session({name: array[row : row + 1] for name, array in inputs.items()})
                for row in rows
            ]
        )

    return run


def new_session(path: Path, output: str, weights: Mapping[str, np.ndarray]) -> Session:
    """An ONNX file as a session of one thread, its external initializers supplied.

    Raises:
        EngineError: onnxruntime refuses the graph or the weights.
    """
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 3
    options.add_external_initializers(
        list(weights),
        [
            onnxruntime.OrtValue.ortvalue_from_numpy(np.ascontiguousarray(array))
            for array in weights.values()
        ],
    )
    try:
        session = onnxruntime.InferenceSession(
            str(path), options, providers=["CPUExecutionProvider"]
        )
    except Exception as error:
        raise EngineError(
            f"onnxruntime refuses the graph or its weights: {error}", where=path
        ) from error

    def run(inputs: Mapping[str, npt.NDArray[Any]]) -> npt.NDArray[np.float32]:
        embeddings: npt.NDArray[np.float32]
        (embeddings,) = session.run([output], dict(inputs))
        return embeddings

    return run
