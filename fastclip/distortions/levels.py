"""Published levels of the noise corruptions, and how levels are written on a command line."""

from __future__ import annotations

from fastclip.distortions import DISTORTIONS
from fastclip.distortions.base import Distortion
from fastclip.errors import UsageError

PUBLISHED: dict[str, dict[str, tuple[float, ...]]] = {
    "cifar-c": {
        "gaussian_noise": (0.04, 0.06, 0.08, 0.09, 0.10),
        "shot_noise": (500, 250, 100, 75, 50),
        "impulse_noise": (0.01, 0.02, 0.03, 0.05, 0.07),
        "speckle_noise": (0.06, 0.10, 0.12, 0.16, 0.20),
    },
    "imagenet-c": {
        "gaussian_noise": (0.08, 0.12, 0.18, 0.26, 0.38),
        "shot_noise": (60, 25, 12, 5, 3),
        "impulse_noise": (0.03, 0.06, 0.09, 0.17, 0.27),
        "speckle_noise": (0.15, 0.20, 0.35, 0.45, 0.60),
    },
    "model-vs-human": {"uniform_noise": (0.0, 0.03, 0.05, 0.1, 0.2, 0.35, 0.6, 0.9)},
}
"""Levels by set and kind, severity 1 first (Hendrycks and Dietterich 2019: make_cifar_c.py and
make_imagenet_c.py; Geirhos et al. 2021, bethgelab/model-vs-human)."""


def parse(text: str, seed: int = 0, draw: int = 0) -> Distortion:
    """Read one distortion: `gaussian_noise:sigma=0.1` or `gaussian_noise:cifar-c=3`.

    The parameter is the kind's own (`sigma`, `width`, `amount`, `photons`), or a published set's
    name with the severity, counted from 1.

    Raises:
        UsageError: an unknown kind, parameter or severity, or a level out of its range.
    """
    kind, _, setting = text.partition(":")
    cls = DISTORTIONS.get(kind.strip())
    parameter = str(getattr(cls, "parameter", "level"))
    name, _, value = (part.strip() for part in setting.partition("="))
    published = {key: sets[kind.strip()] for key, sets in PUBLISHED.items() if kind.strip() in sets}
    if name in published:
        level = _severity(text, value, published[name])
    elif name == parameter:
        level = _number(text, value, parameter)
    else:
        choices = [f"{kind}:{parameter}=LEVEL"] + [f"{kind}:{key}=SEVERITY" for key in published]
        raise UsageError(
            f"'{text}' names no level of {kind}", mend=f"write one of: {', '.join(choices)}"
        )
    return cls(level=level, seed=seed, draw=draw)


def sigma_list(text: str) -> tuple[tuple[str, float], ...]:
    """Read `--sigma`: comma-separated standard deviations on [0, 1], or `cifar-c`, `imagenet-c`.

    Returns:
        `("gaussian_noise", sigma)` in the order given, each once.

    Raises:
        UsageError: an entry is neither a number above 0 nor a set with Gaussian levels.
    """
    sets = {
        key: levels["gaussian_noise"]
        for key, levels in PUBLISHED.items()
        if "gaussian_noise" in levels
    }
    sigmas: list[float] = []
    for entry in filter(None, (part.strip() for part in text.split(","))):
        sigmas.extend(sets[entry] if entry in sets else [_sigma(entry, tuple(sets))])
    return tuple(("gaussian_noise", sigma) for sigma in dict.fromkeys(sigmas))


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


def _number(text: str, value: str, parameter: str) -> float:
    try:
        return float(value)
    except ValueError:
        raise UsageError(
            f"'{text}': {parameter} '{value}' is not a number", mend="write it as 0.1"
        ) from None


def _severity(text: str, value: str, levels: tuple[float, ...]) -> float:
    if not value.isdecimal() or not 1 <= int(value) <= len(levels):
        raise UsageError(
            f"'{text}': severity '{value}' does not exist",
            mend=f"choose one of: {', '.join(str(i + 1) for i in range(len(levels)))}",
        )
    return levels[int(value) - 1]
