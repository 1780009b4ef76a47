"""Trying engines: does it run here, does it pass the probe, and how fast is it."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from math import isfinite
from statistics import median

import numpy as np

from fastclip.engines import ENGINES
from fastclip.engines.base import Engine, Handle, Shapes
from fastclip.parity.inputs import random_pictures
from fastclip.parity.probe import probe, random_state
from fastclip.towers.base import Towers
from fastclip.towers.recipes import pack

SECONDS = 2.0
"""How long an engine encodes in a trial."""

_SWAPS = 3


@dataclass(frozen=True)
class Trial:
    """One engine at one precision on one architecture.

    Attributes:
        refusal: why it cannot be used here; "" where it passed the probe.
        overflow: the probe met NaN or infinity, as fp16 does where activations are too large.
        relative_l2: the probe's largest figure; None where it was not probed or met no number.
        build_seconds: from `open` until the first batch is encoded: compilation, graphs.
        swap_seconds: median time of a swap, weights on the host in fp32.
        pictures_per_second: median over batches that lie where the engine reads them.
    """

    engine: str
    precision: str
    refusal: str = ""
    overflow: bool = False
    relative_l2: float | None = None
    build_seconds: float = 0.0
    swap_seconds: float = 0.0
    pictures_per_second: float = 0.0

    @property
    def passed(self) -> bool:
        """Whether the engine can be used."""
        return not self.refusal


def try_engine(
    name: str,
    precision: str,
    device: str,
    towers: Towers,
    *,
    threads: int,
    image_batch: int | None = None,
    seconds: float = SECONDS,
) -> Trial:
    """Open one engine, probe it, and time it for `seconds` (0 leaves the timing out).

    What an engine raises is its refusal; nothing is raised from here.
    """
    engine_class = ENGINES.get(name)
    reason = engine_class.unavailable(device)
    if reason is not None:
        return Trial(name, precision, reason)
    shapes = shapes_of(engine_class, image_batch)
    try:
        with engine_class(precision=precision, threads=threads, device=device) as engine:
            return _try(engine, towers, shapes, seconds)
    except Exception as error:  # whatever a library raises, the next engine may still be right
        text = str(error).splitlines()[0] if str(error) else type(error).__name__
        return Trial(name, precision, text)


def shapes_of(engine_class: type[Engine], image_batch: int | None) -> Shapes:
    """The engine's own batch sizes, but for the pictures where the user named a size."""
    default = engine_class.default_shapes
    return Shapes(image_batch or default.image_batch, default.text_batch)


def _try(engine: Engine, towers: Towers, shapes: Shapes, seconds: float) -> Trial:
    began = time.perf_counter()
    engine.open(towers, shapes)
    _load(engine, towers, seed=1)
    handle = _place(engine, towers, shapes.image_batch)
    engine.fetch(engine.encode_images(handle, 0, shapes.image_batch))
    build = time.perf_counter() - began
    report = probe(engine, towers, shapes)
    worst = float(np.max(list(report.figures.values())))  # NaN wins
    finite = isfinite(worst)
    found = Trial(
        engine.name,
        engine.precision,
        relative_l2=worst if finite else None,
        build_seconds=build,
    )
    if not report.passed:
        refusal = f"failed the probe: {report.explain()}"
        return replace(found, refusal=refusal, overflow=not finite)
    if not seconds:
        return found
    return replace(
        found,
        swap_seconds=_seconds_per_swap(engine, towers),
        pictures_per_second=shapes.image_batch
        / _seconds_per_batch(engine, handle, shapes, seconds),
    )


def _load(engine: Engine, towers: Towers, seed: int) -> None:
    state = random_state(towers, seed)
    engine.load(pack(engine.manifest(towers), engine.upload(state)))


def _place(engine: Engine, towers: Towers, pictures: int) -> Handle:
    spec = towers.architecture.preprocessing.pixels
    some = random_pictures(min(8, pictures), spec.height, spec.width)
    return engine.place(np.resize(some, (pictures, *some.shape[1:])))


def _seconds_per_batch(engine: Engine, handle: Handle, shapes: Shapes, seconds: float) -> float:
    """Median over runs of several batches: a device is kept fed and waited for once per run."""

    def run(batches: int) -> float:
        start = time.perf_counter()
        outputs = [engine.encode_images(handle, 0, shapes.image_batch) for _ in range(batches)]
        engine.fetch(*outputs)
        return (time.perf_counter() - start) / batches

    first = run(1)
    batches = max(1, int(seconds / 8 / first))
    times = [run(batches)]
    while sum(times) * batches < seconds:
        times.append(run(batches))
    return median(times)


def _seconds_per_swap(engine: Engine, towers: Towers) -> float:
    """Median over swaps, each with the one picture that proves it done, less that picture."""
    manifest = engine.manifest(towers)
    handle = _place(engine, towers, 1)

    def encode() -> float:
        start = time.perf_counter()
        engine.fetch(engine.encode_images(handle, 0, 1))
        return time.perf_counter() - start

    swaps, pictures = [], []
    for seed in range(_SWAPS + 1):
        state = random_state(towers, seed)
        start = time.perf_counter()
        engine.load(pack(manifest, engine.upload(state)))
        encode()
        swaps.append(time.perf_counter() - start)
        pictures.append(encode())
    # The first picture of a new batch size may be compiled for.
    return max(0.0, median(swaps[1:]) - median(pictures[1:]))


def try_all(
    names: tuple[str, ...],
    precisions: tuple[str, ...],
    attempt: Callable[[str, str], Trial],
) -> list[Trial]:
    """Every engine at the first of `precisions`; at the next one only where it overflowed."""
    trials = []
    for name in names:
        for precision in precisions:
            trial = attempt(name, precision)
            trials.append(trial)
            if not trial.overflow:
                break
    return trials
