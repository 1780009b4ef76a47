"""Each kernel beside Pillow, numpy, scipy and matplotlib.

`python bench/kernels.py > bench/results/kernels.json`

One thread each, the contenders in turn; medians in milliseconds, and `ratio`, the median of the
other's time over ours in the same turn, which a busy machine disturbs least. numpy's noise is what
a plain script would write: not keyed, so not reproducible for a single picture.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import PIL
from matplotlib.colors import hsv_to_rgb, rgb_to_hsv
from PIL import Image
from scipy.ndimage import gaussian_filter

from fastclip import _kernels
from fastclip.distortions.levels import parse
from fastclip.stimuli.base import PixelSpec
from fastclip.stimuli.pixels import geometry, preprocess

HEIGHT, WIDTH = 384, 512
KEY = np.array([0x1234567890ABCDEF], np.uint64)


def compare(repeats: int, **contenders: Callable[[], Any]) -> dict[str, Any]:
    """Median milliseconds of each contender, taken in turn, and ratios to `fastclip`."""
    times: dict[str, list[float]] = {name: [] for name in contenders}
    for _ in range(repeats + 2):
        for name, run in contenders.items():
            start = time.perf_counter()
            run()
            times[name].append((time.perf_counter() - start) * 1e3)
    kept = {name: values[2:] for name, values in times.items()}  # the first turns warm up
    result: dict[str, Any] = {name: round(statistics.median(v), 3) for name, v in kept.items()}
    result["best"] = {name: round(min(values), 3) for name, values in kept.items()}
    result["ratio"] = {
        name: round(statistics.median(a / b for a, b in zip(v, kept["fastclip"], strict=True)), 2)
        for name, v in kept.items()
        if name != "fastclip"
    }
    return result


def resize_case(interpolation: str, height: int, width: int, target: int, repeats: int) -> Any:
    """Resize and crop of one picture, against Pillow's resize and crop."""
    picture = np.random.default_rng(0).integers(0, 256, (height, width, 3), np.uint8)
    image = Image.fromarray(picture)
    spec = PixelSpec(target, target, interpolation=interpolation)
    place = geometry(height, width, spec)
    filter_ = getattr(Image.Resampling, interpolation.upper())
    box = (place.left, place.top, place.left + target, place.top + target)

    def pillow() -> np.ndarray:
        return np.asarray(image.resize((place.width, place.height), filter_).crop(box))

    assert np.array_equal(preprocess([picture], spec, 1)[0], pillow())
    return compare(repeats, fastclip=lambda: preprocess([picture], spec, 1), pillow=pillow)


def noise_case(text: str, plain: Callable[[np.ndarray, Any], np.ndarray], repeats: int) -> Any:
    """One level of noise on one picture, against numpy with its default generator."""
    picture = np.random.default_rng(0).integers(0, 256, (1, HEIGHT, WIDTH, 3), np.uint8)
    distortion, rng = parse(text), np.random.default_rng(1)

    def numpy() -> np.ndarray:
        return np.rint(np.clip(plain(picture / 255, rng), 0, 1) * 255).astype(np.uint8)

    return compare(repeats, fastclip=lambda: distortion.apply(picture, KEY, 1), numpy=numpy)


def formula_case(text: str, plain: Callable[[np.ndarray], np.ndarray], repeats: int) -> Any:
    """One distortion of one picture, against its published formula in double precision."""
    picture = np.random.default_rng(0).integers(0, 256, (HEIGHT, WIDTH, 3), np.uint8)
    distortion = parse(text)

    def reference() -> np.ndarray:
        return np.rint(np.clip(plain(picture / 255), 0, 1) * 255).astype(np.uint8)

    def own() -> np.ndarray:
        return distortion.apply(picture[None], KEY, 1)[0]

    exact = np.clip(plain(picture / 255), 0, 1) * 255
    assert np.abs(own() - exact).max() <= 0.5 + 3e-4  # rounded; the slack is for float32
    return compare(repeats, fastclip=own, reference=reference)


def hsv(x: np.ndarray, channel: int, factor: float, shift: float) -> np.ndarray:
    """x with one channel of its HSV scaled and shifted."""
    changed = rgb_to_hsv(x)
    changed[..., channel] = np.clip(changed[..., channel] * factor + shift, 0, 1)
    return hsv_to_rgb(changed)


def pixelate_case(factor: float, repeats: int) -> Any:
    """Pixelation of one picture, against Pillow's BOX filter."""
    picture = np.random.default_rng(0).integers(0, 256, (HEIGHT, WIDTH, 3), np.uint8)
    image, distortion = Image.fromarray(picture), parse(f"pixelate:factor={factor}")
    small = (int(WIDTH * factor), int(HEIGHT * factor))

    def pillow() -> np.ndarray:
        box = Image.Resampling.BOX
        return np.asarray(image.resize(small, box).resize((WIDTH, HEIGHT), box))

    def own() -> np.ndarray:
        return distortion.apply(picture[None], KEY, 1)[0]

    assert np.array_equal(own(), pillow())
    return compare(repeats, fastclip=own, pillow=pillow)


def impulse(x: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Salt and pepper at 0.1, as a plain script has it."""
    hit = rng.random(x.shape)
    return np.where(hit < 0.05, 0.0, np.where(hit < 0.1, 1.0, x))


def contrast(x: np.ndarray) -> np.ndarray:
    """Contrast 0.4 about the mean of each channel."""
    mean = x.mean(axis=(0, 1))
    return (x - mean) * 0.4 + mean


def main() -> None:
    """Run all cases and print JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=30)
    repeats = parser.parse_args().repeats
    cases = {
        "resize bicubic 512x384 -> 224": resize_case("bicubic", HEIGHT, WIDTH, 224, repeats),
        "resize bilinear 512x384 -> 224": resize_case("bilinear", HEIGHT, WIDTH, 224, repeats),
        "resize bicubic 32x32 -> 224": resize_case("bicubic", 32, 32, 224, repeats),
        "gaussian 512x384": noise_case(
            "gaussian_noise:sigma=0.1", lambda x, r: x + r.normal(0, 0.1, x.shape), repeats
        ),
        "speckle 512x384": noise_case(
            "speckle_noise:sigma=0.2", lambda x, r: x + x * r.normal(0, 0.2, x.shape), repeats
        ),
        "uniform 512x384": noise_case(
            "uniform_noise:width=0.2", lambda x, r: x + r.uniform(-0.2, 0.2, x.shape), repeats
        ),
        "impulse 512x384": noise_case("impulse_noise:amount=0.1", impulse, repeats),
        "shot 512x384": noise_case(
            "shot_noise:photons=60", lambda x, r: r.poisson(x * 60) / 60, repeats
        ),
        "gaussian_blur 1 512x384": formula_case(
            "gaussian_blur:sigma=1",
            lambda x: gaussian_filter(x, (1, 1, 0), mode="nearest"),
            repeats,
        ),
        "gaussian_blur 6 512x384": formula_case(
            "gaussian_blur:sigma=6",
            lambda x: gaussian_filter(x, (6, 6, 0), mode="nearest"),
            repeats,
        ),
        "brightness 512x384": formula_case(
            "brightness:shift=0.2", lambda x: hsv(x, 2, 1, 0.2), repeats
        ),
        "saturate 512x384": formula_case(
            "saturate:factor=2:shift=0.1", lambda x: hsv(x, 1, 2, 0.1), repeats
        ),
        "contrast 512x384": formula_case("contrast:factor=0.4", contrast, repeats),
        "pixelate 512x384": pixelate_case(0.5, repeats),
    }
    machine = {
        "processor": processor(),
        "cores": os.cpu_count(),
        "load": os.getloadavg()[0],
        "instruction_set": _kernels.instruction_sets()[0],
        "python": platform.python_version(),
        "numpy": np.__version__,
        "pillow": PIL.__version__,
    }
    json.dump({"unit": "ms", "machine": machine, "cases": cases}, sys.stdout, indent=1)
    print()


def processor() -> str:
    """The processor's name, as Linux gives it."""
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()


if __name__ == "__main__":
    main()
