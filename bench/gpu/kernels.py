"""The native kernels, CPU = GPU byte for byte; Numba correlations against scipy; their speed."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable
from statistics import median
from typing import Any

import common
import numpy as np

KINDS = (
    "gaussian_noise:imagenet-c=3",
    "shot_noise:imagenet-c=3",
    "impulse_noise:imagenet-c=3",
    "speckle_noise:imagenet-c=3",
    "uniform_noise:width=0.1",
    "gaussian_blur:imagenet-c=3",
    "brightness:imagenet-c=3",
    "contrast:imagenet-c=3",
    "saturate:imagenet-c=3",
    "pixelate:imagenet-c=3",
)
COMPARED = 64
REPEATS = 7


def main() -> int:
    """Tests first, then the times of each kernel and of the correlations."""
    options = common.parser(__doc__).parse_args()
    report = common.Report(options.output, options.device)
    common.run_tests(report, "tests/kernels", "tests/distortions", "tests/statistics")
    for text in KINDS:
        report.add("kernels", distortion(report, text, options.device, options.small))
    report.add("kernels", resize(report, options.device, options.small))
    report.add("correlations", correlations(report, options.device, options.small))
    return report.finish()


def distortion(report: common.Report, text: str, device: str, small: bool) -> dict[str, Any]:
    """One distortion of resident pictures: the same bytes as the CPU's, and pictures/s."""
    from fastclip.distortions.levels import parse

    kind = parse(text)
    pictures = draw(COMPARED if small else 4096, 224, 224)
    keys = np.arange(len(pictures), dtype=np.uint64)
    resident = on_device(pictures, device)
    return measured(
        report,
        text,
        device,
        len(pictures),
        lambda: kind.apply(resident, keys),
        lambda: kind.apply(pictures[:COMPARED], keys[:COMPARED]),
    )


def resize(report: common.Report, device: str, small: bool) -> dict[str, Any]:
    """TID2013's pictures to 224: the same bytes as the CPU's, and pictures/s."""
    from fastclip.stimuli.base import PixelSpec
    from fastclip.stimuli.pixels import preprocess

    pictures = draw(COMPARED if small else 1024, 384, 512)
    resident = on_device(pictures, device)
    spec = PixelSpec(224, 224)
    return measured(
        report,
        "resize bicubic 512x384 -> 224",
        device,
        len(pictures),
        lambda: preprocess(resident, spec),
        lambda: preprocess(list(pictures[:COMPARED]), spec),
    )


def correlations(report: common.Report, device: str, small: bool) -> dict[str, Any]:
    """`bench/correlations.py`, side by side with scipy."""
    command = [sys.executable, "bench/correlations.py", "--device", device, "--groupings", "types"]
    if small:
        command += ["--checkpoints", "4", "--resamples", "20", "--repeats", "1", "--samples", "1"]
    done = subprocess.run(command, cwd=common.ROOT, capture_output=True, text=True, check=False)
    if done.returncode:
        report.fail(f"bench/correlations.py: {done.stderr.strip()[-500:]}")
        return {}
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def draw(count: int, height: int, width: int) -> np.ndarray:
    """Random pictures, uint8 `[count, height, width, 3]`."""
    return np.random.default_rng(0).integers(0, 256, (count, height, width, 3), dtype=np.uint8)


def on_device(pictures: np.ndarray, device: str) -> Any:
    """A torch tensor on the device; the array itself for a CPU."""
    if device == "cpu":
        return pictures
    import torch

    return torch.from_numpy(pictures).to(device)


def waiting(device: str) -> Callable[[], Any]:
    """What waits until the device is idle."""
    if device == "cpu":
        return lambda: None
    import torch

    return torch.cuda.synchronize


def measured(
    report: common.Report,
    name: str,
    device: str,
    count: int,
    run: Callable[[], Any],
    on_cpu: Callable[[], np.ndarray],
) -> dict[str, Any]:
    """Compare the first pictures with the CPU's, then time the whole."""
    wait = waiting(device)
    found = run()
    first = found[:COMPARED] if device == "cpu" else found[:COMPARED].cpu().numpy()
    differing = int((np.asarray(first) != on_cpu()).sum())
    if differing:
        report.fail(f"{name}: {differing} bytes differ from the CPU's")
    times = []
    for _ in range(REPEATS):
        wait()
        began = time.perf_counter()
        run()
        wait()
        times.append(time.perf_counter() - began)
    return {
        "kernel": name,
        "differing_bytes": differing,
        "pictures": count,
        "pictures_per_second": count / median(times),
    }


if __name__ == "__main__":
    sys.exit(main())
