"""Textures of the toy world: how much of the second colour lies at each point."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.floating[Any]]

TAU = np.float32(2 * np.pi)


def _edge(wave: FloatArray, softness: float = 0.35) -> FloatArray:
    """A smooth step at 0: drawn without jagged edges at any resolution."""
    return np.asarray(0.5 + 0.5 * np.tanh(wave / softness), dtype=np.float32)


def _cell(value: FloatArray) -> FloatArray:
    """Signed distance to the middle of the unit cell, in [-0.5, 0.5]."""
    return value - np.floor(value) - 0.5


def _hash(i: FloatArray, j: FloatArray) -> FloatArray:
    """A fixed scatter of [0, 1] over integer cells."""
    value = np.sin(i * np.float32(12.9898) + j * np.float32(78.233)) * np.float32(437.5453)
    return np.asarray(value - np.floor(value), dtype=np.float32)


def value_noise(u: FloatArray, v: FloatArray) -> FloatArray:
    """Smooth random blobs in [0, 1], about one per unit cell; the same wherever it is drawn."""
    i, j = np.floor(u), np.floor(v)
    a, b = u - i, v - j
    a, b = a * a * (3 - 2 * a), b * b * (3 - 2 * b)
    low = _hash(i, j) * (1 - a) + _hash(i + 1, j) * a
    high = _hash(i, j + 1) * (1 - a) + _hash(i + 1, j + 1) * a
    return low * (1 - b) + high * b


def _bricks(u: FloatArray, v: FloatArray) -> FloatArray:
    row = np.floor(v)
    joint = np.minimum(0.5 - np.abs(_cell(u / 2 + row / 2)), (0.5 - np.abs(_cell(v))) / 2)
    return _edge(0.11 - joint, 0.04)


def _zigzag(u: FloatArray, v: FloatArray) -> FloatArray:
    return _edge(np.sin(TAU * (v + np.abs(_cell(u / 2)) * 2)))


def _plus(u: FloatArray, v: FloatArray) -> FloatArray:
    a, b = np.abs(_cell(u / 1.5)), np.abs(_cell(v / 1.5))
    return _edge(0.13 - np.maximum(np.minimum(a, b), np.maximum(a, b) - 0.28), 0.05)


def _scales(u: FloatArray, v: FloatArray) -> FloatArray:
    row = np.floor(v)
    return (v - row) * 0.5 + 0.5 * _edge(np.hypot(_cell(u + row / 2), (v - row) * 0.6) - 0.42, 0.06)


# `u` and `v` are coordinates on the object in units of one period, `[N, H, W]`.
TEXTURES: dict[str, Callable[[FloatArray, FloatArray], FloatArray]] = {
    "rows": lambda u, v: _edge(np.sin(TAU * v)),
    "columns": lambda u, v: _edge(np.sin(TAU * u)),
    "rising": lambda u, v: _edge(np.sin(TAU * (u + v) * np.float32(0.7))),
    "falling": lambda u, v: _edge(np.sin(TAU * (u - v) * np.float32(0.7))),
    "checks": lambda u, v: _edge(np.sin(TAU * u / 2) * np.sin(TAU * v / 2), 0.2),
    "dots": lambda u, v: _edge(0.27 - np.hypot(_cell(u), _cell(v)), 0.07),
    "grid": lambda u, v: _edge(np.maximum(np.abs(_cell(u)), np.abs(_cell(v))) - 0.36, 0.05),
    "waves": lambda u, v: _edge(np.sin(TAU * (v + np.float32(0.45) * np.sin(TAU * u / 2)))),
    "zigzag": _zigzag,
    "rings": lambda u, v: _edge(np.sin(TAU * np.hypot(u, v))),
    "rays": lambda u, v: _edge(np.sin(9 * np.arctan2(v, u))),
    "bricks": _bricks,
    "grain": lambda u, v: _hash(np.floor(u * 3), np.floor(v * 3)),
    "blotches": lambda u, v: _edge(value_noise(u * 0.8, v * 0.8) - 0.5, 0.1),
    "pluses": _plus,
    "scales": _scales,
}
