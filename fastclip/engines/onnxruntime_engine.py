"""The default engine: ONNX Runtime on the CPU, fp32, a new session for every checkpoint."""

from __future__ import annotations

from collections.abc import Mapping
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from fastclip.engines.base import Engine, Shapes, pad_rows, refuse_misfits
from fastclip.engines.memory import release_freed_memory
from fastclip.errors import EngineError

if TYPE_CHECKING:
    from onnxruntime import InferenceSession

    from fastclip.stimuli.base import Pixels
    from fastclip.towers.base import Manifest, TowerGraph, Towers


class OnnxRuntimeEngine(Engine):
    """Weights go in with `add_external_initializers`, before ONNX Runtime optimises anything.

    `add_initializer` would be the shorter way and is silently wrong at the default optimisation
    level: the convolution then keeps the weights that are in the file.

    A session copies what it is given (and repacks matrices for its kernels), so `load` may be
    followed by freeing the arrays. It takes an array of another shape without a word.

    Its creation costs about 0.9 s of one core for a ViT-B-32 visual tower (335 MiB of weights),
    with 555 MiB for the moment and 335 MiB afterwards. The text tower's session is made by the
    first `encode_texts`; until then the engine holds that tower's arrays.

    The same weights, batch sizes and number of threads give the same bytes.
    """

    name = "onnxruntime"
    family = "onnxruntime"

    _towers: Towers
    _shapes: Shapes
    _sessions: dict[str, InferenceSession]
    _waiting: dict[str, dict[str, np.ndarray]]

    @classmethod
    def unavailable(cls, device: str) -> str | None:
        if find_spec("onnxruntime") is None:
            return "onnxruntime is not installed: pip install fastclip[cpu]"
        return None

    def open(self, towers: Towers, shapes: Shapes) -> None:
        self.close()
        self._towers = towers
        self._shapes = shapes

    def manifest(self, towers: Towers) -> Manifest:
        return towers.manifest

    def place(self, pixels: Pixels) -> Pixels:
        return pixels

    def load(self, packed: Mapping[str, Any]) -> None:
        # The last checkpoint's sessions go first: two of them never fit the memory target.
        self._sessions = {}
        refuse_misfits(packed, self._towers.manifest)
        self._waiting = {
            part: {name: packed[name] for name in graph.initializers}
            for part, graph in self._towers.graphs.items()
        }
        self._session("visual")

    def encode_images(self, handle: Pixels, lo: int, hi: int) -> npt.NDArray[np.float32]:
        batch = min(self._shapes.image_batch, handle.shape[0])
        (pixels,) = self._towers.visual.inputs
        return self._run("visual", {pixels: pad_rows(handle[lo:hi], batch)}, hi - lo)

    def encode_texts(
        self, ids: npt.NDArray[np.int64], eot: npt.NDArray[np.int64]
    ) -> npt.NDArray[np.float32]:
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
        self._sessions = {}
        self._waiting = {}
        release_freed_memory()

    def _run(
        self, part: str, inputs: dict[str, npt.NDArray[Any]], rows: int
    ) -> npt.NDArray[np.float32]:
        outputs: npt.NDArray[np.float32]
        (outputs,) = self._session(part).run([self._towers.graphs[part].output], inputs)
        return outputs[:rows]

    def _session(self, part: str) -> InferenceSession:
        """The tower's session with the loaded weights, made when it is first needed."""
        if part not in self._sessions:
            if part not in self._waiting:
                raise EngineError(f"no weights are loaded for the {part} tower")
            weights = self._waiting.pop(part)
            self._sessions[part] = self._new_session(self._towers.graphs[part], weights)
            del weights
            release_freed_memory()
        return self._sessions[part]

    def _new_session(
        self, graph: TowerGraph, weights: Mapping[str, np.ndarray]
    ) -> InferenceSession:
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = self.threads
        # Threads wait actively within a run, never between runs: the visual and the text
        # session, and whoever draws the next batch, share the cores.
        options.add_session_config_entry("session.force_spinning_stop", "1")
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
