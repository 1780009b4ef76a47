"""`fastclip bench engines`: every engine on one architecture, beside what the machine can do."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any

from fastclip.engines import ENGINES
from fastclip.errors import UsageError
from fastclip.machine import processor_name, usable_cores
from fastclip.stimuli.cache import cache_folder
from fastclip.sweeper.ceilings import MATRIX_PRECISIONS, flop_per_picture, matrix_product_rate
from fastclip.sweeper.choose import refusal, runs_on, usable_device
from fastclip.sweeper.config import refuse_unknown
from fastclip.sweeper.environment import machine, versions
from fastclip.sweeper.trial import Attempt, Trial, shapes_of, try_engine
from fastclip.towers.cache import get_towers
from fastclip.towers.identify import architecture_of


def bench_engines(
    architecture: str,
    *,
    device: str = "auto",
    engines: tuple[str, ...] = (),
    precisions: tuple[str, ...] = (),
    batch_size: int | None = None,
    seconds: float = 2.0,
    workers: int = 0,
    cache_dir: Path | None = None,
) -> dict[str, Any]:
    """Try every engine that runs on the device at each of its precisions.

    Args:
        architecture: open_clip's name, or a JSON config.
        engines, precisions: only these; empty for all.
        batch_size: pictures per batch; None for each engine's own.
        seconds: how long each encodes.

    Returns:
        JSON values: machine, versions, FLOP per picture, `matrix_rate` by precision (FLOP/s), and
        under "engines" a `Trial` each, with `image_batch` and `fraction_of_matrix_rate`, null where
        torch has no product in that precision.

    Raises:
        UsageError: an unknown architecture, engine, device or precision.
        RefusalError: none of the engines can be used here; says why for each.
    """
    for name in engines:
        ENGINES.get(name)
    for precision in precisions or ("auto",):
        refuse_unknown(device, precision)
    threads = workers or usable_cores()
    device = usable_device() if device == "auto" else device
    kind = device.split(":")[0]
    towers = get_towers(architecture_of(architecture), cache_dir=cache_folder(cache_dir), text=True)
    flop = flop_per_picture(towers)
    rates: dict[str, float] = {}
    trials: list[Trial] = []
    for name in engines or tuple(n for n in ENGINES if runs_on(n, kind)):
        for precision in ENGINES.get(name).precisions:
            if precisions and precision not in precisions:
                continue
            attempt = Attempt(name, precision, device, threads, batch_size, seconds)
            trial = try_engine(attempt, towers)
            if trial.passed and precision in MATRIX_PRECISIONS and precision not in rates:
                rates[precision] = matrix_product_rate(device, precision)
            trials.append(trial)
    if not trials:
        raise UsageError(
            f"no engine on '{device}' knows precision {', '.join(precisions)}",
            mend="`fastclip ls engines` shows which engine knows which",
        )
    if not any(trial.passed for trial in trials):
        raise refusal(trials, device)
    return {
        "architecture": towers.architecture.name,
        "device": device,
        "device_name": _device_name(device, threads),
        "machine": machine(),
        "versions": versions(),
        "flop_per_picture": flop,
        "matrix_rate": rates,
        "engines": [_row(t, flop, rates.get(t.precision), batch_size) for t in trials],
    }


def _row(trial: Trial, flop: float, rate: float | None, batch_size: int | None) -> dict[str, Any]:
    fraction = trial.pictures_per_second * flop / rate if rate else None
    batch = shapes_of(ENGINES.get(trial.engine), batch_size).image_batch
    return {**asdict(trial), "image_batch": batch, "fraction_of_matrix_rate": fraction}


def _device_name(device: str, threads: int) -> str:
    if device.startswith("cuda"):
        import torch

        return str(torch.cuda.get_device_name(device))
    return f"{processor_name()}, {threads} threads"
