"""The default engine: ONNX Runtime on the CPU, fp32, a new session for every checkpoint."""

from __future__ import annotations

from collections.abc import Mapping
from concurrent.futures import Future
from dataclasses import dataclass
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from fastclip.engines.base import Engine, Outputs, Prepared, Shapes, pad_rows, refuse_misfits
from fastclip.engines.memory import release_freed_memory
from fastclip.engines.side_by_side import SideBySide
from fastclip.errors import EngineError

if TYPE_CHECKING:
    from onnxruntime import InferenceSession

    from fastclip.stimuli.base import Pixels
    from fastclip.towers.base import Manifest, TowerGraph, Towers


@dataclass(frozen=True)
class Sessions:
    """One checkpoint's towers, ready to run: `{part: session}`."""

    by_part: Mapping[str, InferenceSession]


class OnnxRuntimeEngine(Engine):
    """Weights go in with `add_external_initializers`, before ONNX Runtime optimises anything.

    `add_initializer` would be the shorter way and is silently wrong at the default optimisation
    level: a convolution then keeps the weights that are in the file.

    A session copies what it is given (and repacks matrices for its kernels), so `prepare` may be
    followed by freeing the arrays. It takes an array of another shape without a word. Its creation
    costs about 0.9 s of one core for a ViT-B-32 visual tower (335 MiB of weights).

    Sessions have one thread and batches run side by side, so the same weights and batch sizes
    give the same bytes on any number of cores.
    """

    name = "onnxruntime"
    family = "onnxruntime"
    prepares_ahead = True
    # A core's own cache holds the activations of few pictures: ViT-B-32 is 5 to 10 % faster at 8
    # than at 32, and a tiny tower no slower.
    default_shapes = Shapes(image_batch=8)

    _towers: Towers
    _shapes: Shapes
    _sessions: Sessions
    _cores: SideBySide | None = None

    @classmethod
    def unavailable(cls, device: str) -> str | None:
        if find_spec("onnxruntime") is None:
            return "onnxruntime is not installed: pip install fastclip[cpu]"
        return None

    def open(self, towers: Towers, shapes: Shapes) -> None:
        self.close()
        self._towers = towers
        self._shapes = shapes
        self._cores = SideBySide(self.threads)

    def manifest(self, towers: Towers) -> Manifest:
        return towers.manifest

    def place(self, pixels: Pixels) -> Pixels:
        return pixels

    def prepare(self, packed: Mapping[str, Any]) -> Sessions:
        refuse_misfits(packed, self._towers.manifest)
        sessions = {}
        for part, graph in self._towers.graphs.items():
            weights = {name: packed[name] for name in graph.initializers}
            sessions[part] = self._new_session(graph, weights)
            release_freed_memory()
        return Sessions(sessions)

    def load(self, packed: Prepared) -> None:
        # The last checkpoint's sessions go first: where nothing is prepared ahead there may be
        # no memory for two.
        self._sessions = Sessions({})
        self._sessions = packed if isinstance(packed, Sessions) else self.prepare(packed)

    def encode_images(self, handle: Pixels, lo: int, hi: int) -> Outputs:
        batch = min(self._shapes.image_batch, handle.shape[0])
        (pixels,) = self._towers.visual.inputs
        return self._run("visual", {pixels: pad_rows(handle[lo:hi], batch)}, hi - lo)

    def encode_texts(self, ids: npt.NDArray[np.int64], eot: npt.NDArray[np.int64]) -> Outputs:
        graph = self._towers.graphs["text"]
        batch = self._shapes.text_batch
        inputs = dict(
            zip(("ids", "eot"), (pad_rows(ids, batch), pad_rows(eot, batch)), strict=True)
        )
        return self._run("text", {name: inputs[name] for name in graph.inputs}, len(ids))

    def describe(self) -> dict[str, str]:
        import onnxruntime

        return super().describe() | {"onnxruntime": onnxruntime.__version__}

    def close(self) -> None:
        if self._cores is not None:
            self._cores.close()
            self._cores = None
        self._sessions = Sessions({})
        release_freed_memory()

    def _run(self, part: str, inputs: dict[str, npt.NDArray[Any]], rows: int) -> Outputs:
        """A promise of the first `rows` embeddings."""
        session = self._sessions.by_part.get(part)
        if session is None or self._cores is None:
            raise EngineError(f"no weights are loaded for the {part} tower")
        output = self._towers.graphs[part].output

        def run() -> npt.NDArray[np.float32]:
            embeddings: npt.NDArray[np.float32]
            (embeddings,) = session.run([output], inputs)
            return embeddings[:rows]

        promise: Future[npt.NDArray[np.float32]] = self._cores.submit(run)
        return promise

    def _new_session(
        self, graph: TowerGraph, weights: Mapping[str, np.ndarray]
    ) -> InferenceSession:
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
            return onnxruntime.InferenceSession(
                str(graph.path), options, providers=["CPUExecutionProvider"]
            )
        except Exception as error:
            raise EngineError(
                f"onnxruntime refuses the graph or its weights: {error}", where=graph.path
            ) from error
