"""OpenVINO on the CPU: fp32, or bf16 for screening; compiled anew for every checkpoint."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from importlib.util import find_spec
from threading import local
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from fastclip.engines.base import Shapes
from fastclip.engines.graph_engine import GraphEngine, Session
from fastclip.errors import EngineError

if TYPE_CHECKING:
    import openvino as ov

    from fastclip.stimuli.base import Pixels
    from fastclip.towers.base import TowerGraph, Towers

_HINTS = {"fp32": "f32", "bf16": "bf16"}


class OpenVinoEngine(GraphEngine):
    """`open` reads each graph once, its weights as parameters without values; for a checkpoint
    every parameter is replaced by a constant, and what comes out is compiled.

    So no weight of another checkpoint, and none of the file, can be in what is compiled. Weights
    that stay parameters would make a swap free, but are packed again in every batch: ViT-B-32 was
    a third slower.

    Each core has a stream of its own. Batches have one shape, as shapes that vary cost a tenth;
    only prompts vary in length.

    A compiled tower keeps the arrays it was made of beside those it has packed: 780 MiB for a
    ViT-B-32 visual tower (335 MiB of weights) and 1.5 s of one core.
    """

    name = "openvino"
    family = "openvino"
    precisions = ("fp32", "bf16")

    _models: Mapping[str, ov.Model]

    @classmethod
    def unavailable(cls, device: str) -> str | None:
        if find_spec("openvino") is None:
            return "openvino is not installed: pip install 'fastclip[openvino]'"
        return None

    def open(self, towers: Towers, shapes: Shapes) -> None:
        import openvino as ov

        super().open(towers, shapes)
        self._core = ov.Core()
        if self.precision == "bf16" and "BF16" not in self._capabilities():
            # It would compute in fp32 without a word.
            raise EngineError(
                "this processor does not compute in bf16", mend="choose --precision fp32 or int8"
            )
        self._models = {part: self._read(part, graph) for part, graph in towers.graphs.items()}

    def describe(self) -> dict[str, str]:
        return super().describe() | {"openvino": version("openvino")}

    def close(self) -> None:
        self._models = {}
        super().close()

    def _capabilities(self) -> Sequence[str]:
        found: list[str] = self._core.get_property("CPU", "OPTIMIZATION_CAPABILITIES")
        return found

    def _rows_of(self, handle: Pixels) -> int:
        return self._shapes.image_batch

    def _read(self, part: str, graph: TowerGraph) -> ov.Model:
        """The graph with its weights as parameters, in the shapes this engine is open for."""
        import onnx_ir as ir

        from fastclip.towers.lowering import weights_to_inputs

        model = ir.load(graph.path)
        weights_to_inputs(model, graph)
        data = io.BytesIO(ir.to_proto(model).SerializeToString())
        try:
            read = self._core.read_model(data)
            read.reshape({name: self._shape(part, name) for name in graph.inputs})
        except RuntimeError as error:
            raise EngineError(f"openvino refuses the graph: {error}", where=graph.path) from error
        return read

    def _shape(self, part: str, name: str) -> list[int | tuple[int, int]]:
        """An input's shape; a pair is a range."""
        towers, shapes = self._towers, self._shapes
        if part == "visual":
            pixels = towers.architecture.preprocessing.pixels
            return [shapes.image_batch, pixels.height, pixels.width, 3]
        longest = towers.context_length
        length = (1, longest) if towers.dynamic_text else longest
        return [shapes.text_batch, length] if name == "ids" else [shapes.text_batch]

    def _new_session(
        self, part: str, graph: TowerGraph, weights: Mapping[str, np.ndarray]
    ) -> Session:
        from openvino import opset13

        model = self._models[part].clone()
        for parameter in model.get_parameters():
            name = parameter.get_friendly_name()
            if name not in graph.inputs:
                constant = opset13.constant(np.ascontiguousarray(weights[name]), shared_memory=True)
                parameter.output(0).replace(constant.output(0))
                model.remove_parameter(parameter)
        settings = {
            "INFERENCE_PRECISION_HINT": _HINTS[self.precision],
            "NUM_STREAMS": self.threads,
            "INFERENCE_NUM_THREADS": self.threads,
            # Several sweeps may share the machine.
            "ENABLE_CPU_PINNING": False,
        }
        try:
            compiled = self._core.compile_model(model, "CPU", settings)
        except RuntimeError as error:
            raise EngineError(
                f"openvino refuses the graph or its weights: {error}", where=graph.path
            ) from error
        return _Session(compiled)


class _Session:
    """A compiled tower with a request for each thread that asks."""

    def __init__(self, compiled: ov.CompiledModel) -> None:
        self._compiled = compiled
        self._own = local()

    def __call__(self, inputs: Mapping[str, npt.NDArray[Any]]) -> npt.NDArray[np.float32]:
        if not hasattr(self._own, "request"):
            self._own.request = self._compiled.create_infer_request()
        request = self._own.request
        request.infer(dict(inputs), share_inputs=True)
        embeddings: npt.NDArray[np.float32] = request.get_output_tensor(0).data.copy()
        return embeddings
