"""Logger and parser: from an ONNX model to a network."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
from engines.tensorrt_standin.graph import Graph, read
from engines.tensorrt_standin.pybind import Bound, BoundEnum
from typing_extensions import Buffer


class ILogger(Bound):
    class Severity(BoundEnum):
        INTERNAL_ERROR = 0
        ERROR = 1
        WARNING = 2
        INFO = 3
        VERBOSE = 4

    INTERNAL_ERROR = Severity.INTERNAL_ERROR
    ERROR = Severity.ERROR
    WARNING = Severity.WARNING
    INFO = Severity.INFO
    VERBOSE = Severity.VERBOSE

    def __init__(self) -> None:
        self._made = True

    def log(self, severity: ILogger.Severity, msg: str) -> None:
        raise RuntimeError('Tried to call pure virtual function "nvinfer1::ILogger::log"')


class Logger(ILogger):
    def __init__(self, min_severity: ILogger.Severity = ILogger.WARNING) -> None:
        super().__init__()
        self._min_severity = min_severity

    @property
    def min_severity(self) -> ILogger.Severity:
        return self._min_severity

    @min_severity.setter
    def min_severity(self, severity: ILogger.Severity) -> None:
        self._min_severity = severity

    def log(self, severity: ILogger.Severity, msg: str) -> None:
        if severity.value <= self._min_severity.value:
            print(f"[TRT] [{severity.name[0]}] {msg}")


def checked(logger: ILogger) -> ILogger:
    """A logger as pybind11 takes it.

    Raises:
        TypeError: its class forgot to call `ILogger.__init__`.
    """
    if not getattr(logger, "_made", False):
        raise TypeError("ILogger.__init__() must be called when overriding __init__")
    return logger


class INetworkDefinition(Bound):
    def __init__(self, flags: int) -> None:
        self._flags = flags
        self._graph: Graph | None = None


class ParserError(Bound):
    def __init__(self, text: str) -> None:
        self._text = text

    def desc(self) -> str:
        return self._text


class ModelReader(Bound):
    """What parser and parser refitter do alike: a model, and initializers given by address."""

    def __init__(self) -> None:
        self._errors: list[str] = []
        self._model: onnx.ModelProto | None = None
        self._folder: Path | None = None
        self._given: dict[str, tuple[int, int]] = {}

    @property
    def num_errors(self) -> int:
        return len(self._errors)

    def get_error(self, index: int) -> ParserError:
        return ParserError(self._errors[index])

    def load_model_proto(self, model: Buffer, path: str | None = None) -> bool:
        if self._model is not None:
            return self._failed("a model is loaded already")
        try:
            self._model = onnx.load_from_string(bytes(model))
        except Exception as error:
            return self._failed(f"no ONNX model: {error}")
        self._folder = None if path is None else Path(path).parent
        return True

    def load_initializer(self, name: str, data: int, size: int) -> bool:
        initializers = {i.name: i for i in self._model.graph.initializer} if self._model else {}
        if name not in initializers:
            return self._failed(f"the model has no initializer {name}")
        if size != _nbytes(initializers[name]):
            return self._failed(f"{name} has {_nbytes(initializers[name])} bytes, not {size}")
        self._given[name] = (data, size)
        return True

    def _completed(self) -> Graph | None:
        """The model with all initializers, those given by address read now."""
        assert self._model is not None, "load_model_proto comes first"
        model, self._model = self._model, None
        try:
            for initializer in model.graph.initializer:
                if initializer.name in self._given:
                    address, size = self._given[initializer.name]
                    data = read(address, np.dtype(np.uint8), (size,))
                    initializer.ClearField("external_data")
                    initializer.data_location = onnx.TensorProto.DEFAULT
                    initializer.raw_data = data.tobytes()
            folder = self._folder or Path("/nowhere")
            onnx.external_data_helper.load_external_data_for_model(model, str(folder))
            onnx.checker.check_model(model)
            graph = Graph.parse(model)
            _ = graph.session
        except Exception as error:
            self._failed(str(error))
            return None
        return graph

    def _failed(self, text: str) -> bool:
        self._errors.append(text)
        return False


class OnnxParser(ModelReader):
    def __init__(self, network: INetworkDefinition, logger: ILogger) -> None:
        super().__init__()
        self._network = network
        self._logger = checked(logger)

    def parse(self, model: Buffer, path: str | None = None) -> bool:
        return self.load_model_proto(model, path) and self.parse_model_proto()

    def parse_from_file(self, model: str) -> bool:
        return self.parse(Path(model).read_bytes(), model)

    def parse_model_proto(self) -> bool:
        self._network._graph = self._completed()
        return self._network._graph is not None


def _nbytes(initializer: onnx.TensorProto) -> int:
    dtype = np.dtype(onnx.helper.tensor_dtype_to_np_dtype(initializer.data_type))
    return int(np.prod(initializer.dims)) * dtype.itemsize
