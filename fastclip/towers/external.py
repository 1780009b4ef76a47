"""Weights declared in an ONNX graph, whose data is nowhere until an engine supplies it."""

from __future__ import annotations

from collections.abc import Iterable
from math import prod

import onnx_ir as ir


def declare_external(weights: Iterable[ir.Value], location: str = "weights") -> None:
    """Say that the weights lie in the file `location`, one behind the other; write nothing."""
    offset = 0
    for weight in weights:
        assert weight.dtype is not None and weight.shape is not None  # as the export left them
        shape = weight.shape.numpy()
        length = int(prod(shape) * weight.dtype.itemsize)
        weight.const_value = ir.ExternalTensor(
            location, offset, length, weight.dtype, shape=ir.Shape(shape), name=str(weight.name)
        )
        offset += length
