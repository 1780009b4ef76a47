"""Weights to int8, as `onnxruntime.quantization` does it, but per checkpoint and at once."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt

from fastclip.engines.int8.graph import QuantisedGraph

Int8Array = npt.NDArray[np.int8]
Float32Array = npt.NDArray[np.float32]

_STRIP = 1 << 16
"""Values worked on at a time: they stay in a core's own cache from step to step."""


def quantise_weights(
    graph: QuantisedGraph, weights: Mapping[str, np.ndarray]
) -> dict[str, np.ndarray]:
    """The initializers of a quantised graph, made of a checkpoint's packed float32 arrays."""
    made = {name: weights[name] for name in graph.kept}
    for matrix in graph.matrices:
        source = weights[matrix.source]
        straight = np.ascontiguousarray(source.T) if matrix.transposed else source
        made[matrix.weights], made[matrix.scale] = quantise_matrix(straight)
    return made


def quantise_matrix(matrix: Float32Array) -> tuple[Int8Array, Float32Array]:
    """A matrix `[K, N]` as int8 of the same shape and one scale per column, float32 `[N]`.

    Symmetric: a scale is its column's largest magnitude / 127 (divided in float64, then rounded),
    1 where that is below float32's normal numbers; values are divided in float32 and rounded to
    the nearest, ties to even. To the bit what `onnxruntime.quantization.quantize_dynamic` makes
    with `weight_type=QInt8, per_channel=True`.
    """
    largest = np.zeros(matrix.shape[1], np.float32)
    rows = max(1, _STRIP // max(1, matrix.shape[1]))
    strips = range(0, len(matrix), rows)
    for low in strips:
        np.maximum(largest, np.abs(matrix[low : low + rows]).max(axis=0), out=largest)
    wide = largest.astype(np.float64) / 127
    scale = np.where(wide < np.finfo(np.float32).tiny, 1.0, wide).astype(np.float32)
    quantised = np.empty(matrix.shape, np.int8)
    work = np.empty((rows, matrix.shape[1]), np.float32)
    for low in strips:
        part = matrix[low : low + rows]
        divided = np.divide(part, scale, out=work[: len(part)])
        np.rint(divided, out=divided)
        quantised[low : low + rows] = divided
    return quantised, scale
