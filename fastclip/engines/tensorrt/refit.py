"""Other weights for an engine that stays."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any

import torch

from fastclip.engines.cuda.stream import Stream
from fastclip.engines.cuda.weights import refuse_overflow
from fastclip.engines.tensorrt import library
from fastclip.engines.tensorrt.network import Network, with_weights
from fastclip.errors import EngineError
from fastclip.towers.module import as_tensor

MEND = "use --engine torch-cuda, and please report this with TensorRT's version"


class RefitError(Exception):
    """TensorRT refused to refit: some weights are new, some are not, the engine is lost."""


class Refit(ABC):
    """Changes all weights of one engine, every time."""

    def __init__(self, refitter: Any, network: Network, stream: Stream) -> None:
        self._refitter = refitter
        self._network = network
        self._stream = stream

    def __call__(self, packed: Mapping[str, Any]) -> None:
        """Set every weight and enqueue the refit on the engine's stream, which is active.

        Raises:
            RefitError: the engine must not be used again.
            EngineError: the engine wants weights that the graph does not have.
        """
        self._set(packed)
        missing = self._refitter.get_missing_weights()
        if missing:
            raise EngineError(
                f"TensorRT misses {len(missing)} weights after all were set: {_some(missing)}",
                mend=MEND,
            )
        if not self._refitter.refit_cuda_engine_async(self._stream.handle):
            raise RefitError(f"TensorRT failed to refit the engine{library.because()}")

    @abstractmethod
    def _set(self, packed: Mapping[str, Any]) -> None:
        """Tell the refitter every weight's new values."""


def refit_of(engine: Any, network: Network, device: torch.device, stream: Stream) -> Refit:
    """The way to refit this engine: from device memory, or where that cannot be, from ONNX.

    Raises:
        EngineError: weights of the graph are not among those that the engine lets change. This is
            how a dropped bias (TensorRT 11.3) and merged tensors show.
    """
    refitter = library.tensorrt().Refitter(engine, library.log())
    # Numbers that the parser made up are nobody's weights and have no name.
    exposed = set(refitter.get_all_weights()) - {""}
    lost = network.weights.keys() - exposed - network.folded
    if lost:
        raise EngineError(
            f"{len(lost)} of {len(network.weights)} weights cannot be changed in the engine that "
            f"TensorRT built: {_some(lost)}; it has dropped them or merged them with others, and "
            "would compute with what it was built with",
            mend=MEND,
        )
    if exposed <= network.weights.keys() | network.constants.keys():
        return _FromDevice(refitter, network, stream, sorted(exposed), device)
    return _FromOnnx(refitter, network, stream)


class _FromDevice(Refit):
    """From buffers that stay: a checkpoint is copied into them, converted on the way.

    The copies, the refit and what runs afterwards are in order on one stream.
    """

    def __init__(
        self,
        refitter: Any,
        network: Network,
        stream: Stream,
        exposed: list[str],
        device: torch.device,
    ) -> None:
        super().__init__(refitter, network, stream)
        self._buffers: dict[str, torch.Tensor] = {}
        self._types: dict[str, Any] = {}
        for name in exposed:
            if name in network.weights:
                dtype, shape = network.weights[name]
                buffer = torch.empty(shape, dtype=dtype, device=device)
            else:
                # What the parser made of a constant; it has to be given back with the rest.
                buffer = network.constants[name].to(device)
            prototype = refitter.get_weights_prototype(name)
            found = library.torch_dtype(prototype.dtype)
            if (found, prototype.size) != (buffer.dtype, buffer.numel()):
                raise EngineError(
                    f"the engine wants '{name}' as {prototype.size} values of {found}, the graph "
                    f"has {buffer.numel()} of {buffer.dtype}",
                    mend=MEND,
                )
            self._buffers[name] = buffer
            self._types[name] = prototype.dtype

    def _set(self, packed: Mapping[str, Any]) -> None:
        trt = library.tensorrt()
        copies = {name: self._buffers[name] for name in self._network.weights}
        for name, buffer in copies.items():
            buffer.copy_(as_tensor(packed[name]))
        refuse_overflow(copies, packed)
        for name, buffer in self._buffers.items():
            weights = trt.Weights(self._types[name], buffer.data_ptr(), buffer.numel())
            if not self._refitter.set_named_weights(name, weights, trt.TensorLocation.DEVICE):
                raise RefitError(f"TensorRT refuses new values for '{name}'{library.because()}")


class _FromOnnx(Refit):
    """From an ONNX file with the checkpoint's weights, in host memory: slower, always possible.

    For engines whose weights are not the graph's own, as the parser folds BatchNormalization's
    four into two. The same parser folds them again.
    """

    def _set(self, packed: Mapping[str, Any]) -> None:
        trt = library.tensorrt()
        own = {name: as_tensor(packed[name]) for name in self._network.weights}
        try:
            # TensorRT holds on to the weights until they are refitted.
            self._model = with_weights(self._network, own)
        except ValueError as error:
            raise EngineError(
                f"the tower is too large to be refitted from an ONNX file: {error}", mend=MEND
            ) from error
        self._parser = trt.OnnxParserRefitter(self._refitter, library.log())
        if not self._parser.refit_from_bytes(self._model):
            said = [self._parser.get_error(i).desc() for i in range(self._parser.num_errors)]
            raise RefitError(f"TensorRT refuses the new weights: {'; '.join(said[:3])}")


def _some(names: Any) -> str:
    return ", ".join(sorted(names)[:5])
