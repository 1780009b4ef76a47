"""Sessions of ONNX Runtime that run on the provider they were told, or not at all."""

from __future__ import annotations

import ctypes
import warnings
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from fastclip.errors import EngineError

if TYPE_CHECKING:
    from onnxruntime import InferenceSession

CPU = "CPUExecutionProvider"

OTHERWISE = "choose another --precision, or --engine torch-cuda"

MEND = (
    "install onnxruntime-gpu in place of onnxruntime (they share one folder: never both), for "
    "the CUDA major version of this torch; or choose --engine torch-cuda"
)


@dataclass(frozen=True)
class Target:
    """Where sessions run.

    Attributes:
        provider: as onnxruntime calls it.
        device: "cuda:1" is the second one.
        stream: the `cudaStream_t` to work on; 0 for one of onnxruntime's own.
        threads: for what runs on the CPU.
    """

    provider: str
    device: torch.device
    stream: int
    threads: int

    def new_session(self, model: bytes, what: str) -> InferenceSession:
        """A session in which every operation runs on `provider`.

        Args:
            model: an ONNX file.
            what: the model's name in an error.

        Raises:
            EngineError: onnxruntime refuses the model, would run any of it on the CPU, or does
                not find the provider's libraries.
        """
        if self.provider == CPU:
            return self._checked_session(model, what, {})
        try:
            return self._checked_session(model, what, {"session.disable_cpu_ep_fallback": "1"})
        except EngineError:
            recorded = {"session.record_ep_graph_assignment_info": "1"}
            lenient = self._checked_session(model, what, recorded)
            if found := operations_on_cpu(lenient):
                raise EngineError(
                    f"onnxruntime has no {self.provider} kernel for {what}'s {found}",
                    mend=OTHERWISE,
                ) from None
            raise

    def _checked_session(
        self, model: bytes, what: str, settings: Mapping[str, str]
    ) -> InferenceSession:
        onnxruntime = library()
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = self.threads
        options.log_severity_level = 3
        for key, value in settings.items():
            options.add_session_config_entry(key, value)
        try:
            with warnings.catch_warnings():
                # It only warns of a provider that it does not have.
                warnings.filterwarnings("ignore", message="Specified provider")
                session = onnxruntime.InferenceSession(
                    model, options, providers=[(self.provider, self._options())], enable_fallback=0
                )
        except Exception as error:
            raise EngineError(f"onnxruntime refuses {what}: {error}", mend=OTHERWISE) from error
        if self.provider not in session.get_providers():
            raise EngineError(
                f"onnxruntime runs {what} on the CPU, though it was told {self.provider}"
                f"{_missing_library()}",
                mend=MEND,
            )
        return session

    def _options(self) -> dict[str, str]:
        if self.device.type != "cuda":
            return {}
        options = {
            "device_id": str(self.device.index or 0),
            "use_tf32": "0",
            # Trying algorithms out would choose others from run to run, with other roundings.
            "cudnn_conv_algo_search": "HEURISTIC",
            # Doubling, the default, may take as much again as the largest batch needs.
            "arena_extend_strategy": "kSameAsRequested",
        }
        return options | ({"user_compute_stream": str(self.stream)} if self.stream else {})


class BoundSession:
    """A session whose inputs and output lie where they lie: one shape, fixed addresses.

    Args:
        session: every shape in it is a number.
        weights: `{input: tensor}` on the device; a copy into one of them is all that a swap is.
        device: of the other inputs and of the output.

    Attributes:
        inputs: `{name: tensor}` of the other inputs, to be written before a run.
    """

    def __init__(
        self, session: InferenceSession, weights: Mapping[str, Tensor], device: torch.device
    ) -> None:
        self._session = session
        self._weights = weights  # The session knows their addresses only.
        self._binding = session.io_binding()
        self._options = library().RunOptions()
        # What comes next is on the same stream: the host need not wait.
        self._options.add_run_config_entry("disable_synchronize_execution_providers", "1")
        self.inputs = {
            value.name: torch.zeros(value.shape, dtype=_TYPES[value.type], device=device)
            for value in session.get_inputs()
            if value.name not in weights
        }
        (output,) = session.get_outputs()
        self._output = torch.zeros(output.shape, dtype=_TYPES[output.type], device=device)
        for name, tensor in {**self.inputs, **weights}.items():
            self._binding.bind_input(name, *_buffer(tensor))
        self._binding.bind_output(output.name, *_buffer(self._output))

    def run(self) -> Tensor:
        """The output for what the inputs hold, in memory that the next run writes again.

        Raises:
            EngineError: onnxruntime failed.
        """
        try:
            self._session.run_with_iobinding(self._binding, self._options)
        except Exception as error:
            raise EngineError(f"onnxruntime failed: {error}") from error
        return self._output


_TYPES = {
    "tensor(uint8)": torch.uint8,
    "tensor(int64)": torch.int64,
    "tensor(float)": torch.float32,
}

_BFLOAT16 = 16
"""`onnx.TensorProto.BFLOAT16`, which numpy does not have."""

_ELEMENTS: Mapping[torch.dtype, Any] = {
    torch.bfloat16: _BFLOAT16,
    torch.float16: np.float16,
    torch.float32: np.float32,
    torch.int64: np.int64,
    torch.uint8: np.uint8,
}


def _buffer(tensor: Tensor) -> tuple[str, int, Any, tuple[int, ...], int]:
    """A tensor's memory as `IOBinding` takes it."""
    device = tensor.device
    shape = tuple(tensor.shape)
    return device.type, device.index or 0, _ELEMENTS[tensor.dtype], shape, tensor.data_ptr()


def operations_on_cpu(session: InferenceSession) -> str:
    """What runs on the CPU, as in "2 Gelu, 1 Range"; "" where onnxruntime cannot say.

    The session was made with `session.record_ep_graph_assignment_info`.
    """
    if not hasattr(session, "get_provider_graph_assignment_info"):  # before 1.24
        return ""
    kinds = Counter(
        node.op_type
        for part in session.get_provider_graph_assignment_info()
        if part.ep_name == CPU
        for node in part.get_nodes()
    )
    return ", ".join(f"{count} {kind}" for kind, count in sorted(kinds.items()))


def smallest_model() -> bytes:
    """An ONNX file of one Add: for finding out whether anything runs."""
    from onnx import TensorProto, helper

    x, y = (helper.make_tensor_value_info(name, TensorProto.FLOAT, [1]) for name in "xy")
    graph = helper.make_graph([helper.make_node("Add", ["x", "x"], ["y"])], "smallest", [x], [y])
    opset = helper.make_opsetid("", 20)
    data: bytes = helper.make_model(graph, opset_imports=[opset], ir_version=10).SerializeToString()
    return data


@lru_cache
def library() -> Any:
    """onnxruntime, with CUDA's and cuDNN's libraries loaded before it looks for them.

    Raises:
        ImportError: it is not installed.
    """
    import onnxruntime

    # torch, imported above, has loaded its own; this finds those of the nvidia-* packages.
    if hasattr(onnxruntime, "preload_dlls"):
        onnxruntime.preload_dlls()
    return onnxruntime


def _missing_library() -> str:
    """What the system says when asked for the provider's library, in brackets; or ""."""
    path = Path(library().__file__).parent / "capi" / "libonnxruntime_providers_cuda.so"
    try:
        ctypes.CDLL(str(path))
    except OSError as error:
        return f" ({error})"
    return ""
