"""Every engine, precision and kind of tower against open_clip's module; swaps A, B, A to the bit.

With `--engine` one engine on the first architecture alone, its tests and how fast it is.
"""

from __future__ import annotations

import sys
import time
from typing import Any

import common
import numpy as np

NAMES = ("ViT-B-32", "RN50", "ViT-B-16-SigLIP", "convnext_base")


def main() -> int:
    """Measure, writing after every engine."""
    parser = common.parser(__doc__)
    parser.add_argument("--engine", help="only this one")
    options = parser.parse_args()
    from fastclip.engines import ENGINES
    from fastclip.stimuli.cache import cache_folder
    from fastclip.towers.cache import get_towers
    from fastclip.towers.identify import architecture_of

    report = common.Report(options.output, options.device)
    kind = options.device.split(":")[0]
    names = [options.engine] if options.engine else [n for n in ENGINES if not n.startswith("tens")]
    names = [name for name in names if kind in ENGINES.get(name).devices]
    if options.engine:
        reason = ENGINES.get(options.engine).unavailable(options.device)
        if not names or reason:
            report.fail(f"{options.engine} is not here: {reason or 'it runs on CUDA'}")
            return report.finish()
    every = common.architectures(options.small, *NAMES)
    for architecture in every[:1] if options.engine else every:
        towers = get_towers(architecture_of(architecture), cache_dir=cache_folder(None), text=True)
        for name in names:
            for precision in precisions(name):
                row = compare(name, precision, options.device, towers)
                report.add("engines", row)
                if row.get("failure"):
                    failure = row["failure"]
                    report.fail(f"{name} {precision} on {towers.architecture.name}: {failure}")
    if options.engine:
        from fastclip.sweeper.bench import bench_engines

        report.add("times", bench_engines(every[0], device=options.device, engines=tuple(names)))
        common.run_tests(report, "tests/engines", "-k", options.engine.split("-")[0])
    return report.finish()


def precisions(name: str) -> tuple[str, ...]:
    """The engine's; of one that compiles for minutes, the default alone."""
    from fastclip.engines import ENGINES

    known = ENGINES.get(name).precisions
    return known[:1] if name == "torch-cuda-compiled" else known


def compare(name: str, precision: str, device: str, towers: Any) -> dict[str, Any]:
    """Probe figures, and whether A comes back to the bit after B."""
    from fastclip.engines import ENGINES
    from fastclip.engines.base import Shapes
    from fastclip.parity.probe import probe

    engine_class = ENGINES.get(name)
    row: dict[str, Any] = {
        "engine": name,
        "precision": precision,
        "architecture": towers.architecture.name,
    }
    reason = engine_class.unavailable(device)
    if reason is not None:
        return row | {"not_here": reason}
    began = time.perf_counter()
    shapes = Shapes(image_batch=32, text_batch=16)
    try:
        with engine_class(precision=precision, device=device) as engine:
            engine.open(towers, shapes)
            report = probe(engine, towers, shapes)
            row |= {"passed": report.passed, "figures": report.figures, "bounds": report.bounds}
            if not report.passed:
                row["failure"] = report.explain()
            elif not returns(engine, towers, shapes):
                row["failure"] = "A's embeddings are other bytes after B"
    except Exception as error:  # one engine's failure must not hide the others' figures
        row["failure"] = f"{type(error).__name__}: {str(error)[:500]}"
    return row | {"seconds": round(time.perf_counter() - began, 3)}


def returns(engine: Any, towers: Any, shapes: Any) -> bool:
    """Load A, B, A: the first and the last must give the same bytes, B others."""
    from fastclip.parity.inputs import random_pictures
    from fastclip.parity.probe import random_state
    from fastclip.towers.recipes import pack

    spec = towers.architecture.preprocessing.pixels
    handle = engine.place(random_pictures(shapes.image_batch, spec.height, spec.width))
    found = []
    for seed in (1, 2, 1):
        state = engine.upload(random_state(towers, seed))
        engine.load(pack(engine.manifest(towers), state))
        found.append(engine.fetch(engine.encode_images(handle, 0, shapes.image_batch)))
    return np.array_equal(found[0], found[2]) and not np.array_equal(found[0], found[1])


if __name__ == "__main__":
    sys.exit(main())
