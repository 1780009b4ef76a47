"""One tower on the device: engine, context, buffers."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from math import prod
from typing import Any

import torch
from torch import Tensor

from fastclip.engines.cuda.stream import Stream
from fastclip.engines.tensorrt import library
from fastclip.engines.tensorrt.build import MEND, Profile
from fastclip.engines.tensorrt.network import DYNAMIC, Network
from fastclip.engines.tensorrt.refit import refit_of
from fastclip.errors import EngineError


class PlanError(EngineError):
    """TensorRT does not take the plan; another one may do."""


class Tower:
    """A deserialised plan, ready to be refitted and run.

    Inputs, outputs and weights stay where they are, so that a run can be captured and replayed.
    The stream is active in every call.

    Args:
        plan: of this network, profile and machine.
        output: name and width of the embeddings.
        recapture: capture a run again after each refit. Until replaying the old one has been
            seen to give the new weights' results on a GPU, anything else would be a guess.

    Raises:
        PlanError: the plan cannot be deserialised here.
        EngineError: there is no memory to run it, or it cannot be refitted.
    """

    def __init__(
        self,
        plan: bytes,
        network: Network,
        profile: Profile,
        output: tuple[str, int],
        device: torch.device,
        stream: Stream,
        *,
        recapture: bool = True,
    ) -> None:
        self._stream = stream
        self._recapture = recapture
        # The static shapes of one captured run belong to one context: lengths that change are
        # run as they come.
        self._captures = network.is_static
        self._runtime = library.tensorrt().Runtime(library.log())
        self._engine = self._runtime.deserialize_cuda_engine(plan)
        if self._engine is None:
            raise PlanError(f"TensorRT cannot load its own plan{library.because()}", mend=MEND)
        self._refit = refit_of(self._engine, network, device, stream)
        self._context = self._engine.create_execution_context()
        if self._context is None:
            raise EngineError(
                f"TensorRT has no room to run the engine{library.because()}",
                mend="lower --batch-size",
            )
        self._buffers: dict[str, Tensor] = {}
        self._shapes = {name: shape for name, (_, shape) in network.inputs.items()}
        for name, (dtype, shape) in network.inputs.items():
            largest = [profile[-1] if size == DYNAMIC else size for size in shape]
            self._buffers[name] = torch.zeros(prod(largest), dtype=dtype, device=device)
            self._accepted(self._context.set_tensor_address(name, self._buffers[name].data_ptr()))
        name, width = output
        rows = next(iter(network.inputs.values()))[1][0]
        dtype = library.torch_dtype(self._engine.get_tensor_dtype(name))
        self._output = torch.empty((rows, width), dtype=dtype, device=device)
        self._accepted(self._context.set_tensor_address(name, self._output.data_ptr()))
        self._warm = False
        self._replay: Callable[[], None] | None = None

    def refit(self, packed: Mapping[str, Any]) -> None:
        """Take a checkpoint's weights. Raises RefitError: this tower must not be used again."""
        self._refit(packed)
        if self._recapture:
            self._warm, self._replay = False, None

    def input(self, name: str, shape: tuple[int, ...]) -> Tensor:
        """Where the next run reads this input, which has this shape: to be filled."""
        if shape != self._shapes[name]:
            # Only then: a captured run must find its context as it left it.
            self._accepted(self._context.set_input_shape(name, shape))
            self._shapes[name] = shape
        return self._buffers[name][: prod(shape)].view(shape)

    def run(self) -> Tensor:
        """Embeddings of the inputs, float32 `[batch, D]`, a copy."""
        if self._captures and self._warm and self._replay is None:
            self._replay = self._stream.capture(self._enqueue)
        (self._replay or self._enqueue)()
        # TensorRT does what it puts off in the first run, which therefore is not captured.
        self._warm = True
        return self._output.to(torch.float32, copy=True)

    def _enqueue(self) -> None:
        self._accepted(self._context.execute_async_v3(self._stream.handle))

    def _accepted(self, answer: bool) -> None:
        if not answer:
            raise EngineError(f"TensorRT refuses to run the tower{library.because()}", mend=MEND)
