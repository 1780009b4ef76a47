"""How long a checkpoint will take: from earlier records, else from arithmetic."""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np

from fastclip.results.record import sample_records
from fastclip.sweeper.ceilings import MATRIX_PRECISIONS, matrix_product_rate
from fastclip.sweeper.profile import ENGINE
from fastclip.towers.base import Architecture

EFFICIENCY = {"cpu": 0.7, "cuda": 0.5}
"""Fraction of the matrix-product rate that engines reach: 0.66 to 0.8 were measured on a CPU, none
on a GPU, where half is what the engines are made to reach."""

CHECKPOINTS = 50
"""Of so many, spread over those on record, the median time is told."""

INT8 = 2.7
"""How much faster than in fp32 a CPU encodes in int8, which torch has no matrix product of: 2.6 to
3 were measured."""


def seconds_per_checkpoint(
    out: Path,
    architecture: Architecture,
    pictures: int,
    prompts: int,
    *,
    device: str,
    precision: str,
) -> tuple[float | None, str]:
    """Seconds per checkpoint and where the figure comes from; None where nothing tells."""
    measured = _from_records(out, architecture)
    if measured is not None:
        return measured, "from earlier records"
    flops = transformer_flops(architecture)
    if flops is None:
        return None, "no earlier record, and no estimate for this kind of tower"
    per_picture, per_prompt = flops
    rate = EFFICIENCY[device.split(":")[0]] * _product_rate(device, precision)
    return (
        (pictures * per_picture + prompts * per_prompt) / rate,
        f"from arithmetic at {rate / 1e9:.0f} GFLOP/s; weights and graph not included",
    )


def _product_rate(device: str, precision: str) -> float:
    if (device, precision) == ("cpu", "fp32"):
        return _numpy_product_rate()
    if precision in MATRIX_PRECISIONS:
        return matrix_product_rate(device, precision)
    return INT8 * matrix_product_rate(device, "fp32")


def _numpy_product_rate(seconds: float = 0.1) -> float:
    """FLOP/s of numpy's square matrix product in fp32: the fastest of several.

    Not torch's, which takes longer to import than a plan to make.
    """
    size = 1024
    a, b = np.random.default_rng(0).standard_normal((2, size, size), np.float32)
    times: list[float] = []
    while len(times) < 4 or sum(times) < seconds:
        began = time.perf_counter()
        a @ b
        times.append(time.perf_counter() - began)
    return 2.0 * size**3 / min(times)


def _from_records(out: Path, architecture: Architecture) -> float | None:
    totals: dict[str, float] = {}
    for record in sample_records(out, CHECKPOINTS):
        if record.arch == architecture.name:
            spent = totals.get(record.checkpoint_id, 0.0)
            # What is done ahead or behind costs no time of its own.
            stages = ENGINE if "prepare" in record.timings else (*ENGINE, "pack")
            timings = [record.timings.get(stage, 0.0) for stage in stages]
            totals[record.checkpoint_id] = max(spent, sum(timings))
    return float(np.median(list(totals.values()))) if totals else None


def transformer_flops(architecture: Architecture) -> tuple[float, float] | None:
    """FLOP per picture and per prompt of plain ViT towers; None for others.

    24 * tokens * width^2 per block for the matrix products (mlp ratio 4) and
    4 * tokens^2 * width for attention; prompts are counted at 16 tokens, where buckets put most.
    """
    vision = architecture.config.get("vision_cfg", {})
    text = architecture.config.get("text_cfg", {})
    if not isinstance(vision.get("layers"), int) or "patch_size" not in vision:
        return None
    pixels = architecture.preprocessing.pixels
    tokens = (pixels.height // vision["patch_size"]) * (pixels.width // vision["patch_size"]) + 1
    image = _block_flops(tokens, vision.get("width", 768)) * vision["layers"]
    prompt = _block_flops(16, text.get("width", 512)) * text.get("layers", 12)
    return image, prompt


def _block_flops(tokens: int, width: int) -> float:
    return 24.0 * tokens * width**2 + 4.0 * tokens**2 * width
