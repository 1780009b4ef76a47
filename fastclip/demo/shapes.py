"""Outlines of the toy world's shapes, drawn as smooth masks."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw

FloatArray = npt.NDArray[np.float32]
Points = npt.NDArray[np.float64]  # [V, 2]: x to the right, y down, in [-1, 1]

OVERSAMPLING = 4


def _points(*pairs: tuple[float, float]) -> Points:
    return np.array(pairs, dtype=np.float64)


def _polar(radius: Callable[[Points], Points], corners: int = 64) -> Points:
    angle = np.linspace(0, 2 * np.pi, corners, endpoint=False)
    r = np.broadcast_to(radius(angle), angle.shape)
    return np.stack([r * np.sin(angle), -r * np.cos(angle)], axis=1)


def _star(points: int, inner: float) -> Points:
    radius = np.where(np.arange(2 * points) % 2, inner, 1.0)
    return _polar(lambda _: radius, 2 * points)


def _heart() -> Points:
    t = np.linspace(0, 2 * np.pi, 64, endpoint=False)
    y = 13 * np.cos(t) - 5 * np.cos(2 * t) - 2 * np.cos(3 * t) - np.cos(4 * t)
    return np.stack([16 * np.sin(t) ** 3 / 17, -(y + 2.5) / 17], axis=1)


def _moon() -> Points:
    t = np.linspace(np.radians(50), np.radians(310), 48)
    outer = np.stack([np.cos(t), np.sin(t)], axis=1)
    s = np.linspace(np.radians(295), np.radians(65), 48)
    inner = np.stack([0.4 + 0.8 * np.cos(s), 0.85 * np.sin(s)], axis=1)
    return np.concatenate([outer, inner])


def _drop() -> Points:
    t = np.linspace(0, 2 * np.pi, 64, endpoint=False)
    return np.stack([0.75 * np.sin(t) * np.sin(t / 2) ** 1.5, -np.cos(t)], axis=1)


# Each shape is one filled outline and the holes in it.
OUTLINES: dict[str, tuple[Points, ...]] = {
    "disc": (_polar(lambda a: 0 * a + 0.9),),
    "square": (_points((-0.8, -0.8), (0.8, -0.8), (0.8, 0.8), (-0.8, 0.8)),),
    "triangle": (_points((0, -0.9), (0.95, 0.8), (-0.95, 0.8)),),
    "star": (_star(5, 0.42),),
    "cross": (
        _points(
            (-0.32, -0.95), (0.32, -0.95), (0.32, -0.32), (0.95, -0.32), (0.95, 0.32), (0.32, 0.32),
            (0.32, 0.95), (-0.32, 0.95), (-0.32, 0.32), (-0.95, 0.32), (-0.95, -0.32),
            (-0.32, -0.32),
        ),
    ),
    "ring": (_polar(lambda a: 0 * a + 0.98), _polar(lambda a: 0 * a + 0.5)),
    "heart": (_heart(),),
    "crescent": (_moon(),),
    "kite": (_points((0, -1), (0.6, -0.25), (0, 1), (-0.6, -0.25)),),
    "arrow": (
        _points(
            (-0.95, -0.3), (0.1, -0.3), (0.1, -0.8), (1, 0), (0.1, 0.8), (0.1, 0.3), (-0.95, 0.3)
        ),
    ),
    "house": (
        _points((0, -1), (0.95, -0.1), (0.65, -0.1), (0.65, 0.9), (-0.65, 0.9), (-0.65, -0.1),
                (-0.95, -0.1)),
    ),
    "bow": (_points((-1, -0.7), (0, -0.15), (1, -0.7), (1, 0.7), (0, 0.15), (-1, 0.7)),),
    "flower": (_polar(lambda a: 0.68 + 0.32 * np.cos(6 * a)),),
    "drop": (_drop(),),
    "bolt": (
        _points((0.15, -1), (-0.7, 0.15), (-0.1, 0.15), (-0.25, 1), (0.7, -0.25), (0.1, -0.25),
                (0.55, -1)),
    ),
    "chair": (
        _points((-0.75, -1), (-0.35, -1), (-0.35, -0.15), (0.75, -0.15), (0.75, 1), (0.4, 1),
                (0.4, 0.3), (-0.35, 0.3), (-0.35, 1), (-0.75, 1)),
    ),
}  # fmt: skip


def draw_mask(
    shape: str, centre: tuple[float, float], radius: float, angle: float, size: tuple[int, int]
) -> FloatArray:
    """How much of each pixel a shape covers.

    Args:
        shape: a name of `OUTLINES`.
        centre, radius: in pixels; the outline's unit square is scaled by `radius`.
        angle: rotation in radians, clockwise.
        size: (height, width) in pixels.

    Returns:
        float32 `[height, width]` in [0, 1].
    """
    height, width = size
    canvas = Image.new("L", (width * OVERSAMPLING, height * OVERSAMPLING))
    painter = ImageDraw.Draw(canvas)
    turn = np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])
    for number, outline in enumerate(OUTLINES[shape]):
        corners = (outline @ turn * radius + np.array(centre)) * OVERSAMPLING
        painter.polygon([(x, y) for x, y in corners.tolist()], fill=0 if number else 255)
    covered = canvas.resize((width, height), Image.Resampling.BOX)
    return np.asarray(covered, dtype=np.float32) / np.float32(255)
