"""An ONNX graph whose weights are arguments, run by ONNX Runtime on the CPU."""

from __future__ import annotations

import ctypes
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import onnx
import onnxruntime
from onnx import numpy_helper

Shape = tuple[int, ...]


@dataclass(frozen=True)
class Tensor:
    """An input or output of the graph; -1 where a dimension is dynamic."""

    name: str
    dtype: np.dtype
    shape: Shape
    is_input: bool


class Graph:
    """A parsed network: floating constants are weights that can be changed, all by name.

    Constants that are initializers and constants that are nodes are alike here, as they are in
    TensorRT's network; integers are part of the graph.
    """

    def __init__(self, model: bytes, weights: Mapping[str, np.ndarray]) -> None:
        self.model = model
        self.weights = dict(weights)

    @classmethod
    def parse(cls, proto: onnx.ModelProto) -> Graph:
        """Take the weights out of a model, in place; they become inputs."""
        graph = proto.graph
        _fold_batch_normalizations(graph)
        lifted = {i.name: i for i in graph.initializer if _floating(i.data_type)}
        nodes = [n for n in graph.node if n.op_type == "Constant" and _is_float_node(n)]
        lifted |= {node.output[0]: node.attribute[0].t for node in nodes}
        _keep(graph.initializer, [i for i in graph.initializer if i.name not in lifted])
        _keep(graph.node, [n for n in graph.node if n.op_type != "Constant" or n not in nodes])
        declared = {value.name for value in graph.input}
        for name, tensor in lifted.items():
            if name not in declared:
                value = onnx.helper.make_tensor_value_info(name, tensor.data_type, tensor.dims)
                graph.input.append(value)
        weights = {name: numpy_helper.to_array(tensor) for name, tensor in lifted.items()}
        return cls(proto.SerializeToString(), weights)

    @cached_property
    def tensors(self) -> dict[str, Tensor]:
        """Inputs that are no weights, then outputs, by name."""
        graph = onnx.load_from_string(self.model).graph
        inputs = [value for value in graph.input if value.name not in self.weights]
        return {
            value.name: _described(value, is_input)
            for values, is_input in ((inputs, True), (graph.output, False))
            for value in values
        }

    @cached_property
    def session(self) -> onnxruntime.InferenceSession:
        """One session for all weights."""
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        options.log_severity_level = 3
        return onnxruntime.InferenceSession(self.model, options, providers=["CPUExecutionProvider"])

    def run(
        self, inputs: Mapping[str, np.ndarray], weights: Mapping[str, np.ndarray]
    ) -> dict[str, np.ndarray]:
        """Outputs by name."""
        names = [name for name, tensor in self.tensors.items() if not tensor.is_input]
        used = {value.name for value in self.session.get_inputs()}
        feeds = {name: array for name, array in (inputs | weights).items() if name in used}
        return dict(zip(names, self.session.run(names, feeds), strict=True))


def read(address: int, dtype: np.dtype, shape: Shape) -> np.ndarray:
    """A copy of what lies at an address now."""
    size = int(np.prod(shape)) * dtype.itemsize
    return np.frombuffer(ctypes.string_at(address, size), dtype).reshape(shape).copy()


def write(address: int, array: np.ndarray) -> None:
    """Put an array at an address."""
    data = np.ascontiguousarray(array)
    ctypes.memmove(address, data.ctypes.data, data.nbytes)


def _fold_batch_normalizations(graph: onnx.GraphProto) -> None:
    """Four weights become two under names of the parser's own, as in TensorRT's parser."""
    by_name = {initializer.name: initializer for initializer in graph.initializer}
    for node in graph.node:
        if node.op_type != "BatchNormalization" or not all(n in by_name for n in node.input[1:]):
            continue
        stored = [by_name[name] for name in node.input[1:]]
        scale, bias, mean, variance = (numpy_helper.to_array(i).astype("float64") for i in stored)
        epsilon = next((a.f for a in node.attribute if a.name == "epsilon"), 1e-5)
        factor = scale / np.sqrt(variance + epsilon)
        parts = {
            "scale": factor,
            "shift": bias - mean * factor,
            "mean": np.zeros_like(mean),
            "variance": np.full_like(variance, 1 - epsilon),
        }
        for index, (part, array) in enumerate(parts.items(), 1):
            made = numpy_helper.from_array(
                array.astype(numpy_helper.to_array(stored[0]).dtype),
                name=f"{node.output[0]}/folded_{part}",
            )
            graph.initializer.append(made)
            node.input[index] = made.name
    used = {name for node in graph.node for name in node.input}
    _keep(graph.initializer, [i for i in graph.initializer if i.name in used])


def _floating(data_type: int) -> bool:
    return data_type in (onnx.TensorProto.FLOAT, onnx.TensorProto.FLOAT16)


def _is_float_node(node: onnx.NodeProto) -> bool:
    (attribute,) = node.attribute
    return attribute.name == "value" and _floating(attribute.t.data_type)


def _keep(field: object, items: Iterable[object]) -> None:
    kept = list(items)
    del field[:]  # type: ignore[attr-defined]
    field.extend(kept)  # type: ignore[attr-defined]


def _described(value: onnx.ValueInfoProto, is_input: bool) -> Tensor:
    kind = value.type.tensor_type
    shape = tuple(dim.dim_value if dim.HasField("dim_value") else -1 for dim in kind.shape.dim)
    dtype = np.dtype(onnx.helper.tensor_dtype_to_np_dtype(kind.elem_type))
    return Tensor(value.name, dtype, shape, is_input)
