"""Published levels of the corruptions, and how levels are written on a command line."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from fastclip.distortions import DISTORTIONS
from fastclip.distortions.base import Distortion
from fastclip.errors import UsageError

Level = float | tuple[float, float]
"""The level alone, or with the kind's second parameter."""

PUBLISHED: dict[str, dict[str, tuple[Level, ...]]] = {
    "cifar-c": {
        "gaussian_noise": (0.04, 0.06, 0.08, 0.09, 0.10),
        "shot_noise": (500, 250, 100, 75, 50),
        "impulse_noise": (0.01, 0.02, 0.03, 0.05, 0.07),
        "speckle_noise": (0.06, 0.10, 0.12, 0.16, 0.20),
        "gaussian_blur": (0.4, 0.6, 0.7, 0.8, 1),
        "brightness": (0.05, 0.1, 0.15, 0.2, 0.3),
        "contrast": (0.75, 0.5, 0.4, 0.3, 0.15),
        "saturate": ((0.3, 0), (0.1, 0), (1.5, 0), (2, 0.1), (2.5, 0.2)),
        "jpeg_compression": (80, 65, 58, 50, 40),
        "pixelate": (0.95, 0.9, 0.85, 0.75, 0.65),
    },
    "imagenet-c": {
        "gaussian_noise": (0.08, 0.12, 0.18, 0.26, 0.38),
        "shot_noise": (60, 25, 12, 5, 3),
        "impulse_noise": (0.03, 0.06, 0.09, 0.17, 0.27),
        "speckle_noise": (0.15, 0.20, 0.35, 0.45, 0.60),
        "gaussian_blur": (1, 2, 3, 4, 6),
        "brightness": (0.1, 0.2, 0.3, 0.4, 0.5),
        "contrast": (0.4, 0.3, 0.2, 0.1, 0.05),
        "saturate": ((0.3, 0), (0.1, 0), (2, 0), (5, 0.1), (20, 0.2)),
        "jpeg_compression": (25, 18, 15, 10, 7),
        "pixelate": (0.6, 0.5, 0.4, 0.3, 0.25),
    },
    "model-vs-human": {"uniform_noise": (0.0, 0.03, 0.05, 0.1, 0.2, 0.35, 0.6, 0.9)},
}
"""Levels by set and kind, severity 1 first (Hendrycks and Dietterich 2019: make_cifar_c.py and
make_imagenet_c.py; Geirhos et al. 2021, bethgelab/model-vs-human)."""


def parse(text: str, seed: int = 0, draw: int = 0) -> Distortion:
    """Read one distortion: `gaussian_noise:sigma=0.1` or `gaussian_noise:cifar-c=3`.

    The parameter is the kind's own (`sigma`, `width`, `quality`, ...), with a second one after
    another colon where the kind has it (`saturate:factor=5:shift=0.1`); or a published set's name
    with the severity, counted from 1.

    Raises:
        UsageError: an unknown kind, parameter or severity, or a level out of its range.
    """
    kind, *settings = (part.strip() for part in text.split(":"))
    cls = DISTORTIONS.get(kind)
    given = dict(_pair(setting) for setting in settings)
    published = _published(kind)
    names = tuple(given)
    if len(names) == 1 and names[0] in published:
        levels = published[names[0]]
        return _build(cls, levels[_severity(text, given[names[0]], len(levels))], seed, draw)
    if not names or len(names) < len(settings) or names != cls.parameters[: len(names)]:
        raise UsageError(
            f"'{text}' names no level of {kind}",
            mend=f"write one of: {', '.join(_choices(kind, cls, published))}",
        )
    values = tuple(_number(text, name, value) for name, value in given.items())
    return _build(cls, values, seed, draw)


def distortion_list(texts: Iterable[str]) -> tuple[Distortion, ...]:
    """Read `--distortion`, each value a comma-separated list; a set without a severity
    (`contrast:cifar-c`) names all of its severities.

    Returns:
        In the order given, each once, with seed 0.

    Raises:
        UsageError: see `parse`.
    """
    found: list[Distortion] = []
    for entry in (part.strip() for text in texts for part in text.split(",")):
        if not entry:
            continue
        kind, _, name = (part.strip() for part in entry.partition(":"))
        if kind in DISTORTIONS and name in (published := _published(kind)):
            found.extend(_build(DISTORTIONS.get(kind), level) for level in published[name])
        else:
            found.append(parse(entry))
    return tuple(dict.fromkeys(found))


def sigma_list(text: str) -> tuple[Distortion, ...]:
    """Read `--sigma`: comma-separated standard deviations on [0, 1], or `cifar-c`, `imagenet-c`.

    Returns:
        Gaussian noise in the order given, each level once, with seed 0.

    Raises:
        UsageError: an entry is neither a number above 0 nor a set with Gaussian levels.
    """
    sets = tuple(_published("gaussian_noise"))
    entries = [part.strip() for part in text.split(",") if part.strip()]
    settings = [key if key in sets else f"sigma={_sigma(key, sets)}" for key in entries]
    return distortion_list(f"gaussian_noise:{setting}" for setting in settings)


def _pair(setting: str) -> tuple[str, str]:
    name, _, value = (part.strip() for part in setting.partition("="))
    return name, value


def _published(kind: str) -> dict[str, tuple[Level, ...]]:
    """Set -> its levels of this kind."""
    return {key: sets[kind] for key, sets in PUBLISHED.items() if kind in sets}


def _choices(kind: str, cls: type[Distortion], published: Iterable[str]) -> list[str]:
    first, *more = (f"{name}={name.upper()}" for name in cls.parameters)
    own = f"{kind}:{first}" + "".join(f"[:{other}]" for other in more)
    return [own] + [f"{kind}:{key}=SEVERITY" for key in published]


def _build(
    cls: type[Distortion], level: float | tuple[float, ...], seed: int = 0, draw: int = 0
) -> Distortion:
    values = level if isinstance(level, tuple) else (level,)
    more: dict[str, Any] = dict(zip(cls.parameters[1:], map(float, values[1:]), strict=False))
    return cls(level=float(values[0]), seed=seed, draw=draw, **more)


def _sigma(entry: str, sets: tuple[str, ...]) -> float:
    try:
        sigma = float(entry)
    except ValueError:
        sigma = 0.0
    if not 0 < sigma < float("inf"):
        raise UsageError(
            f"noise level '{entry}' is not a number above 0",
            where="--sigma",
            mend=f"give standard deviations on [0, 1], or: {', '.join(sets)}",
        )
    return sigma


def _number(text: str, name: str, value: str) -> float:
    try:
        return float(value)
    except ValueError:
        raise UsageError(
            f"'{text}': {name} '{value}' is not a number", mend="write it as 0.1"
        ) from None


def _severity(text: str, value: str, count: int) -> int:
    """Index of a severity."""
    if not (value.isascii() and value.isdecimal()) or not 1 <= int(value) <= count:
        raise UsageError(
            f"'{text}': severity '{value}' does not exist",
            mend=f"choose one of: {', '.join(str(i + 1) for i in range(count))}",
        )
    return int(value) - 1
