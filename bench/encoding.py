"""Pictures per second of the image tower: fastclip's engines and what people use, against the peak.

    python bench/encoding.py [--models ViT-B-32,ViT-B-16] [--seconds 6] [--repeats 5]

Sides take turns; before each, the processor's instruction peak is measured, so that a fraction
compares figures of the same minute. Pictures lie in memory, decoded and resized, for all sides.
FLOP per picture are those of open_clip's whole tower, whatever an engine leaves out.

A row: wall and cpu pictures/s (cpu: per second of processor time, times cores; unmoved by other
programs), GFLOP/s and fraction of the peak of the instruction named.

About 4 minutes for ViT-B-32 at 5 turns on two cores, of which 1 is compilation; --quick takes 1.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import numpy.typing as npt
from peak import peaks
from report import Report, parser, spread
from workload import architecture

Encode = Callable[[], None]
"""Encodes all pictures of the batch set once."""

LOOP_BATCH = 64
"""Pictures a batch in the loops that people write."""


def main() -> int:
    """Measure every side in turn."""
    options = make_parser().parse_args()
    report = Report(options)
    seconds = 1.0 if options.quick else options.seconds
    repeats = options.repeats or (2 if options.quick else 5)
    for model in ("tiny",) if options.quick else options.models.split(","):
        measure(model, options, report, seconds, repeats)
    return report.finish()


def make_parser() -> Any:
    """Options."""
    made = parser(__doc__, "encoding")
    made.add_argument("--models", default="ViT-B-32", help="open_clip names, or tiny")
    made.add_argument("--seconds", type=float, default=5.0, help="of each turn")
    made.add_argument("--no-peers", action="store_true", help="fastclip's engines only")
    return made


def measure(model: str, options: Any, report: Report, seconds: float, repeats: int) -> None:
    """Open every side, then go round."""
    from fastclip.sweeper.ceilings import flop_per_picture
    from fastclip.towers.cache import get_towers
    from fastclip.towers.identify import architecture_of

    described = architecture_of(architecture(options.work, model))
    towers = get_towers(described, cache_dir=options.work / "cache", text=False)
    flop = flop_per_picture(towers)
    size = described.preprocessing.pixels
    rng = np.random.default_rng(0)
    # Many, as in a sweep: at the end of each call all cores but one run dry.
    pictures = 1024 if model == "tiny" else 128
    pixels = rng.integers(0, 256, (pictures, size.height, size.width, 3), dtype=np.uint8)
    sides = dict(ours(towers, pixels))
    if not options.no_peers:
        sides |= dict(theirs(architecture(options.work, model), pixels, compiled=not options.quick))
    turns: dict[str, list[dict[str, float]]] = {name: [] for name in sides}
    for _ in range(repeats):
        for name, encode in sides.items():
            turns[name].append(peaks() | rate(encode, pictures, seconds))
    for name, rows in turns.items():
        report.add("encoding", summary(model, name, flop, rows))


def summary(model: str, name: str, flop: float, turns: list[dict[str, float]]) -> dict[str, Any]:
    """Medians over the turns of one side."""
    found: dict[str, Any] = {"model": model, "side": name, "gflop_per_picture": flop / 1e9}
    for kind in ("wall", "cpu"):
        found[f"pictures_per_second_{kind}"] = spread([turn[kind] for turn in turns])
    for instruction in ("fp32",) if name.endswith("fp32") else ("bf16", "amx"):
        if instruction in turns[0]:
            found[f"peak_gflops_{instruction}"] = spread([t[instruction] / 1e9 for t in turns])
            for kind in ("wall", "cpu"):
                fractions = [turn[kind] * flop / turn[instruction] for turn in turns]
                found[f"fraction_of_{instruction}_peak_{kind}"] = spread(fractions)
    return found


def rate(encode: Encode, pictures: int, seconds: float) -> dict[str, float]:
    """Pictures per second by the clock, and per second of processor time, times cores."""
    from fastclip.machine import usable_cores

    encode()
    rounds, wall, cpu = 0, time.perf_counter(), time.process_time()
    while time.perf_counter() - wall < seconds:
        encode()
        rounds += 1
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    done = rounds * pictures
    return {"wall": done / wall, "cpu": done / cpu * usable_cores()}


def ours(towers: Any, pixels: npt.NDArray[np.uint8]) -> Iterator[tuple[str, Encode]]:
    """Every engine that runs on this CPU, at every precision it has."""
    from fastclip.engines import ENGINES
    from fastclip.parity.probe import random_state
    from fastclip.towers.recipes import pack

    for name in ENGINES:
        made = ENGINES.get(name)
        if "cpu" not in made.devices or made.unavailable("cpu") is not None:
            continue
        for precision in made.precisions:
            engine = made(precision=precision, device="cpu")
            shapes = made.default_shapes
            engine.open(towers, shapes)
            engine.load(pack(engine.manifest(towers), engine.upload(random_state(towers, 1))))
            batches = range(0, len(pixels), shapes.image_batch)
            yield f"fastclip {name} {precision}", encoder(engine, engine.place(pixels), batches)


def encoder(engine: Any, handle: Any, batches: range) -> Encode:
    """One engine on all pictures, as a sweep encodes a view."""

    def encode() -> None:
        engine.fetch(*(engine.encode_images(handle, lo, lo + batches.step) for lo in batches))

    return encode


def theirs(
    model: str, pixels: npt.NDArray[np.uint8], *, compiled: bool
) -> Iterator[tuple[str, Encode]]:
    """open_clip's module in eager mode and compiled, fp32 and bf16."""
    import open_clip
    import torch
    from peers.plain_loop import register

    for precision in ("fp32", "bf16"):
        module = open_clip.create_model(register(model), precision=precision).eval()
        dtype = torch.bfloat16 if precision == "bf16" else torch.float32
        pictures = torch.from_numpy(pixels).permute(0, 3, 1, 2).to(dtype) / 255
        yield f"open_clip {precision}", forward(module.encode_image, pictures)
        if compiled:
            yield (
                f"torch.compile {precision}",
                forward(torch.compile(module.encode_image), pictures),
            )


def forward(function: Any, pictures: Any) -> Encode:
    """One function on all pictures."""
    import torch

    def encode() -> None:
        with torch.inference_mode():
            for batch in pictures.split(LOOP_BATCH):
                function(batch)

    return encode


if __name__ == "__main__":
    sys.exit(main())
