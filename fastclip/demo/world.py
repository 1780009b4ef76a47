"""A small world of objects: every class has a shape and a texture of its own.

Both cues predict the caption. A scene is numbers only; `draw` makes its picture at any size, the
same bytes for the same numbers.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any, NamedTuple, Self

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageFilter

from fastclip.demo.shapes import draw_mask
from fastclip.demo.textures import TEXTURES, value_noise

FloatArray = npt.NDArray[np.floating[Any]]
IntArray = npt.NDArray[np.int64]


class ObjectClass(NamedTuple):
    """A class: the word of its captions, its outline and its texture."""

    word: str
    shape: str
    texture: str


# Sorted by word. Which texture a shape has is arbitrary.
CLASSES = (
    ObjectClass("arrow", "arrow", "checks"),
    ObjectClass("ball", "disc", "zigzag"),
    ObjectClass("bolt", "bolt", "dots"),
    ObjectClass("bow", "bow", "rows"),
    ObjectClass("box", "square", "rays"),
    ObjectClass("chair", "chair", "grain"),
    ObjectClass("cross", "cross", "blotches"),
    ObjectClass("drop", "drop", "columns"),
    ObjectClass("flower", "flower", "grid"),
    ObjectClass("heart", "heart", "bricks"),
    ObjectClass("house", "house", "waves"),
    ObjectClass("kite", "kite", "scales"),
    ObjectClass("moon", "crescent", "rising"),
    ObjectClass("ring", "ring", "pluses"),
    ObjectClass("star", "star", "falling"),
    ObjectClass("tent", "triangle", "rings"),
)
WORDS = tuple(entry.word for entry in CLASSES)

COLOURS = {
    "red": (0.80, 0.16, 0.14), "orange": (0.93, 0.54, 0.14), "yellow": (0.92, 0.82, 0.22),
    "green": (0.20, 0.58, 0.25), "blue": (0.16, 0.34, 0.74), "purple": (0.50, 0.24, 0.62),
    "pink": (0.94, 0.60, 0.72), "brown": (0.45, 0.30, 0.18), "white": (0.92, 0.92, 0.90),
    "black": (0.10, 0.10, 0.11), "gray": (0.50, 0.50, 0.51),
}  # fmt: skip
COLOUR_NAMES = tuple(COLOURS)
DETAILED = 0.3  # share of captions that say more than the class
_PALETTE = np.array(list(COLOURS.values()), dtype=np.float32)


@dataclass(frozen=True)
class Scenes:
    """`N` scenes, one number (or one short vector) per scene and property.

    Lengths are fractions of the picture's height, colours are RGB in [0, 1], angles radians.

    Attributes:
        shape: `[N]` index into `CLASSES`, or -1: a close-up, the texture fills the picture.
        texture: `[N]` index into `CLASSES`, or -1: the object is plain.
        centre, radius, angle: place and size of the object, `[N, 2]`, `[N]`, `[N]`.
        period, phase, turn: scale, offset and rotation of the texture, `[N]`, `[N, 2]`, `[N]`.
        colour, ground: `[N]` index into `COLOURS`, of object and background.
        first, second: `[N, 3]` the object's two colours.
        near, far: `[N, 3]` the background's two colours.
        blobs: `[N, 2]` where on the plane of blobs the background is cut out.
        light: `[N, 3]` gain, and how it changes over the width and the height.
        blur, noise: `[N]` standard deviations, of the lens and of the sensor.
        key: `[N]` seed of the sensor's noise.
    """

    shape: IntArray
    texture: IntArray
    centre: FloatArray
    radius: FloatArray
    angle: FloatArray
    period: FloatArray
    phase: FloatArray
    turn: FloatArray
    colour: IntArray
    ground: IntArray
    first: FloatArray
    second: FloatArray
    near: FloatArray
    far: FloatArray
    blobs: FloatArray
    light: FloatArray
    blur: FloatArray
    noise: FloatArray
    key: IntArray

    def __len__(self) -> int:
        return len(self.shape)

    def take(self, rows: IntArray | slice) -> Self:
        """The scenes of these rows."""
        return type(self)(**{f.name: getattr(self, f.name)[rows] for f in fields(self)})


def sample(rng: np.random.Generator, shape: IntArray, texture: IntArray) -> Scenes:
    """Scenes with these cues and everything else at random.

    Args:
        shape, texture: `[N]`, as in `Scenes`.
    """
    count = len(shape)

    def uniform(low: float, high: float, *more: int) -> FloatArray:
        return rng.uniform(low, high, (count, *more)).astype(np.float32)

    colour = rng.integers(0, len(COLOURS), count)
    ground = (colour + rng.integers(1, len(COLOURS), count)) % len(COLOURS)
    first = _PALETTE[colour] + uniform(-0.06, 0.06, 3)
    bright = first.mean(axis=1, keepdims=True) > 0.42
    towards = np.where(bright, np.float32(0.05), np.float32(0.95))
    share = uniform(0.55, 0.8, 1)
    near = _PALETTE[ground] + uniform(-0.1, 0.1, 3)
    return Scenes(
        shape=shape,
        texture=texture,
        centre=uniform(0.4, 0.6, 2),
        radius=uniform(0.28, 0.46),
        angle=uniform(-0.25, 0.25),
        period=uniform(0.13, 0.2),
        phase=uniform(-0.5, 0.5, 2),
        turn=uniform(-0.15, 0.15),
        colour=colour,
        ground=ground,
        first=first,
        second=first * (1 - share) + towards * share,
        near=near,
        far=near + uniform(-0.3, 0.3, 3),
        blobs=uniform(0, 50, 2),
        light=uniform(-0.3, 0.3, 3),
        blur=np.maximum(uniform(-0.03, 0.035), 0),
        noise=uniform(0, 0.03),
        key=rng.integers(0, 2**62, count),
    )


def everyday(rng: np.random.Generator, labels: IntArray) -> Scenes:
    """Scenes as the toy model's training sees them, of these classes.

    Four of five show the class's shape with its texture, one of ten a plain object, one of ten
    a close-up of the texture. No scene shows the shape of one class with the texture of another.

    Args:
        labels: `[N]` index into `CLASSES`.
    """
    kind = rng.random(len(labels))
    return sample(
        rng,
        shape=np.where(kind < 0.1, -1, labels),
        texture=np.where(kind >= 0.9, -1, labels),
    )


def draw(scenes: Scenes, size: tuple[int, int] = (32, 32)) -> npt.NDArray[np.uint8]:
    """Make the pictures.

    Args:
        size: (height, width) in pixels.

    Returns:
        uint8 RGB `[N, height, width, 3]`.
    """
    pictures = [
        _draw_chunk(scenes.take(slice(lo, lo + 256)), size) for lo in range(0, len(scenes), 256)
    ]
    return np.concatenate(pictures)


def _draw_chunk(scenes: Scenes, size: tuple[int, int]) -> npt.NDArray[np.uint8]:
    height, width = size
    aspect = width / height
    y = ((np.arange(height, dtype=np.float32) + 0.5) / height)[None, :, None]
    x = ((np.arange(width, dtype=np.float32) + 0.5) / height)[None, None, :]

    def each(values: FloatArray) -> FloatArray:
        return values.astype(np.float32)[:, None, None]

    dx = x - each(scenes.centre[:, 0]) * np.float32(aspect)
    dy = y - each(scenes.centre[:, 1])
    cos, sin = each(np.cos(scenes.turn)), each(np.sin(scenes.turn))
    u = (cos * dx + sin * dy) / each(scenes.period) + each(scenes.phase[:, 0])
    v = (cos * dy - sin * dx) / each(scenes.period) + each(scenes.phase[:, 1])
    paint = np.zeros((len(scenes), height, width), np.float32)
    for index, entry in enumerate(CLASSES):
        rows = np.flatnonzero(scenes.texture == index)
        paint[rows] = TEXTURES[entry.texture](u[rows], v[rows])
    mask = np.stack([_mask(scenes, row, size) for row in range(len(scenes))])

    def mix(a: FloatArray, b: FloatArray, share: FloatArray) -> FloatArray:
        return a[:, None, None] + (b - a)[:, None, None] * share[..., None]

    blobs = value_noise(4 * x + each(scenes.blobs[:, 0]), 4 * y + each(scenes.blobs[:, 1]))
    scene = mix(scenes.near, scenes.far, blobs)
    scene += (mix(scenes.first, scenes.second, paint) - scene) * mask[..., None]
    gain, across, down = (each(scenes.light[:, i]) for i in range(3))
    scene *= (1 + gain + across * (x - 0.5) + down * (y - 0.5))[..., None]
    return np.stack(
        [
            _photograph(scene[row], float(scenes.blur[row]), float(scenes.noise[row]), int(key))
            for row, key in enumerate(scenes.key)
        ]
    )


def _mask(scenes: Scenes, row: int, size: tuple[int, int]) -> FloatArray:
    height, width = size
    shape = int(scenes.shape[row])
    if shape < 0:
        return np.ones(size, np.float32)
    x, y = scenes.centre[row]
    centre = (float(x) * width, float(y) * height)
    radius = float(scenes.radius[row]) * height
    return draw_mask(CLASSES[shape].shape, centre, radius, float(scenes.angle[row]), size)


def _photograph(scene: FloatArray, blur: float, noise: float, key: int) -> npt.NDArray[np.uint8]:
    """Through a lens and onto a sensor: blurred, made noisy, 8 bits."""
    picture = np.clip(scene * 255 + 0.5, 0, 255).astype(np.uint8)
    if blur > 0:
        lens = ImageFilter.GaussianBlur(blur * len(scene))
        picture = np.asarray(Image.fromarray(picture).filter(lens))
    grain = np.random.default_rng(key).standard_normal(scene.shape, np.float32) * (noise * 255)
    return np.asarray(np.clip(picture + grain + 0.5, 0, 255), dtype=np.uint8)


def caption(scenes: Scenes, rng: np.random.Generator) -> list[str]:
    """One true sentence about each scene: its class, and now and then its colour or quality."""
    sentences = []
    for row in range(len(scenes)):
        plain, detailed = _sentences(scenes, row)
        choices = detailed if rng.random() < DETAILED else plain
        sentences.append(choices[int(rng.integers(len(choices)))])
    return sentences


def _sentences(scenes: Scenes, row: int) -> tuple[list[str], list[str]]:
    """What can be said of a scene: the class alone, and the class with something else."""
    word = WORDS[max(int(scenes.shape[row]), int(scenes.texture[row]))]
    coloured = f"{COLOUR_NAMES[int(scenes.colour[row])]} {word}"
    if scenes.shape[row] < 0:
        return [f"a close-up photo of {_a(word)}."], [f"a close-up photo of {_a(coloured)}."]
    plain = [f"a photo of {_a(word)}.", f"a photo of the {word}.", f"a picture of {_a(word)}."]
    size = "large" if scenes.radius[row] > 0.37 else "small"
    ground = COLOUR_NAMES[int(scenes.ground[row])]
    detailed = [
        f"a photo of {_a(coloured)}.",
        f"a photo of a {size} {word}.",
        f"{_a(word)} on {_a(ground)} background.",
    ]
    if scenes.blur[row] > 0.02:
        detailed.append(f"a blurry photo of {_a(word)}.")
    if abs(scenes.light[row, 0]) > 0.2:
        light = "bright" if scenes.light[row, 0] > 0 else "dark"
        detailed.append(f"a {light} photo of {_a(word)}.")
    return plain, detailed


def _a(noun: str) -> str:
    return f"an {noun}" if noun[0] in "aeiou" else f"a {noun}"
