"""Trying engines: does it run here, does it pass the probe, and how fast is it."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from math import isfinite
from pathlib import Path
from statistics import median

import numpy as np

from fastclip.engines import ENGINES
from fastclip.engines.base import Engine, Handle, Shapes
from fastclip.files import canonical_json, digest_of, write_atomic
from fastclip.parity.inputs import random_pictures
from fastclip.parity.probe import probe, probe_key, probe_once, random_state
from fastclip.towers.base import Towers
from fastclip.towers.recipes import pack

SECONDS = 2.0
"""How long an engine encodes in a trial."""

REVISION = 2
"""Raised when a trial would find something it does not find now; spoils those that are kept."""

_SWAPS = 2


@dataclass(frozen=True)
class Attempt:
    """What is tried.

    Attributes:
        image_batch: pictures per batch; None for the engine's own.
        seconds: how long it encodes; 0 leaves the timing out.
    """

    engine: str
    precision: str
    device: str
    threads: int
    image_batch: int | None = None
    seconds: float = SECONDS

    @property
    def shapes(self) -> Shapes:
        """The batch sizes it is tried with."""
        return shapes_of(ENGINES.get(self.engine), self.image_batch)

    def new_engine(self) -> Engine:
        """The engine, not open yet."""
        return ENGINES.get(self.engine)(
            precision=self.precision, threads=self.threads, device=self.device
        )


@dataclass(frozen=True)
class Trial:
    """One engine at one precision on one architecture.

    Attributes:
        refusal: why it cannot be used here; "" where it passed the probe.
        absent: it is not installed, or has no device.
        overflow: the probe met NaN or infinity, as fp16 does where activations are too large.
        relative_l2: the probe's largest figure; None where it was not probed or met no number.
        build_seconds: from `open` until the first batch is encoded: compilation, graphs.
        swap_seconds: median time of a swap, weights on the host in fp32.
        pictures_per_second: median over batches that lie where the engine reads them.
    """

    engine: str
    precision: str
    refusal: str = ""
    absent: bool = False
    overflow: bool = False
    relative_l2: float | None = None
    build_seconds: float = 0.0
    swap_seconds: float = 0.0
    pictures_per_second: float = 0.0
    architecture: str = ""

    @property
    def passed(self) -> bool:
        """Whether the engine can be used."""
        return not self.refusal


def try_engine(attempt: Attempt, towers: Towers, cache_dir: Path | None = None) -> Trial:
    """Open one engine, probe it, and time it.

    What an engine raises is its refusal; nothing is raised from here.

    Args:
        cache_dir: where a passed trial is kept for `earlier_trial`, and a passed probe for the
            sweep; None keeps and knows nothing.
    """
    found = Trial(attempt.engine, attempt.precision, architecture=towers.architecture.name)
    reason = ENGINES.get(attempt.engine).unavailable(attempt.device)
    if reason is not None:
        return replace(found, refusal=reason, absent=True)
    try:
        with attempt.new_engine() as engine:
            found = _try(engine, towers, attempt, cache_dir, found)
    except Exception as error:  # whatever a library raises, the next engine may still be right
        text = str(error).splitlines()[0] if str(error) else type(error).__name__
        return replace(found, refusal=text)
    if cache_dir is not None and found.passed:
        path = _kept_in(cache_dir, attempt, towers)
        write_atomic(path, canonical_json(asdict(found)).encode())
    return found


def earlier_trial(attempt: Attempt, towers: Towers, cache_dir: Path) -> Trial | None:
    """What this attempt came to before, if it passed, on this machine and with these versions."""
    if ENGINES.get(attempt.engine).unavailable(attempt.device) is not None:
        return None
    with suppress(Exception):  # none yet, or not ours, or an engine that has to be tried
        return Trial(**json.loads(_kept_in(cache_dir, attempt, towers).read_text()))
    return None


def _kept_in(cache_dir: Path, attempt: Attempt, towers: Towers) -> Path:
    key = {
        "revision": REVISION,
        "probe": probe_key(attempt.new_engine(), towers, attempt.shapes),
        "architecture": towers.architecture.name,
        "seconds": attempt.seconds,
    }
    return cache_dir / "trials" / f"{digest_of(key)}.json"


def shapes_of(engine_class: type[Engine], image_batch: int | None) -> Shapes:
    """The engine's own batch sizes, but for the pictures where the user named a size."""
    default = engine_class.default_shapes
    return Shapes(image_batch or default.image_batch, default.text_batch)


def _try(
    engine: Engine, towers: Towers, attempt: Attempt, cache_dir: Path | None, found: Trial
) -> Trial:
    shapes = attempt.shapes
    began = time.perf_counter()
    engine.open(towers, shapes)
    opened = time.perf_counter() - began
    state = random_state(towers, seed=1)
    began = time.perf_counter()
    _load(engine, towers, state)
    handle = _place(engine, towers, shapes.image_batch)
    engine.fetch(engine.encode_images(handle, 0, shapes.image_batch))
    found = replace(found, build_seconds=opened + time.perf_counter() - began)
    if cache_dir is None:
        report = probe(engine, towers, shapes)
    else:
        report = probe_once(engine, towers, shapes, cache_dir)
    worst = float(np.max(list(report.figures.values())))  # NaN wins
    finite = isfinite(worst)
    found = replace(found, relative_l2=worst if finite else None)
    if not report.passed:
        refusal = f"failed the probe: {report.explain()}"
        return replace(found, refusal=refusal, overflow=not finite)
    if not attempt.seconds:
        return found
    return replace(
        found,
        swap_seconds=_seconds_per_swap(engine, towers, state),
        pictures_per_second=shapes.image_batch
        / _seconds_per_batch(engine, handle, shapes, attempt.seconds),
    )


def _load(engine: Engine, towers: Towers, state: Mapping[str, np.ndarray]) -> None:
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

    # A batch for each core, or all but one would be idle.
    cores = 1 if engine.device.startswith("cuda") else engine.threads
    first = run(cores)
    batches = cores * max(1, int(seconds / 8 / (first * cores)))
    times = [run(batches)]
    while sum(times) * batches < seconds:
        times.append(run(batches))
    return median(times)


def _seconds_per_swap(engine: Engine, towers: Towers, state: Mapping[str, np.ndarray]) -> float:
    """Median over swaps, each with the one picture that proves it done, less that picture."""
    handle = _place(engine, towers, 1)

    def encode() -> float:
        start = time.perf_counter()
        engine.fetch(engine.encode_images(handle, 0, 1))
        return time.perf_counter() - start

    encode()  # the first picture of a new batch size may be compiled for
    swaps = []
    for _ in range(_SWAPS):
        start = time.perf_counter()
        _load(engine, towers, state)
        encode()
        swaps.append(time.perf_counter() - start)
    return max(0.0, median(swaps) - median(encode() for _ in range(_SWAPS)))
