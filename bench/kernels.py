"""Each kernel beside Pillow and numpy: `python bench/kernels.py > bench/results/kernels.json`.

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
from PIL import Image

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


def impulse(x: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Salt and pepper at 0.1, as a plain script has it."""
    hit = rng.random(x.shape)
    return np.where(hit < 0.05, 0.0, np.where(hit < 0.1, 1.0, x))


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
