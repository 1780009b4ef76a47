"""The structural probe: random weights under which every tensor shows.

Trained weights have tensors that hardly matter (biases near zero, norms near one), so an engine
that drops, mixes up or keeps one would pass with them. Here every tensor is lively and distinct.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING, Any

import numpy as np

from fastclip import __version__
from fastclip.engines.base import Engine, Shapes
from fastclip.files import canonical_json, digest_of, write_atomic
from fastclip.machine import processor_name
from fastclip.parity.base import TOLERANCE, ParityReport
from fastclip.parity.compare import Embeddings, relative_l2, report
from fastclip.parity.inputs import random_pictures, token_rows
from fastclip.towers.random_state import lively_state
from fastclip.towers.recipes import pack

if TYPE_CHECKING:
    from fastclip.towers.base import Towers
    from fastclip.towers.module import TowerModule

REVISION = 1
"""Raised when the probe would find something it does not find now; spoils cached reports."""

PICTURES = 3
PROMPTS = 4
SHORT = 16
STATES = (1, 2, 1)
"""Seeds in the order they are loaded: back to the first, as a tensor that stays behind might
only stay the second time."""


def random_state(towers: Towers, seed: int) -> dict[str, np.ndarray]:
    """A checkpoint's tensors under the names open_clip saves them by: see `lively_state`."""
    manifest = towers.module_manifest
    shapes = {recipe.name: manifest.shapes[name] for name, recipe in manifest.recipes.items()}
    return lively_state(shapes, seed)


def probe(engine: Engine, towers: Towers, shapes: Shapes) -> ParityReport:
    """Compare an engine with open_clip's module under random weights, swapped twice.

    The engine is open for these towers and shapes; it is left with random weights. Costs three
    swaps, one image batch and a text batch or two after each.

    Returns:
        Figures `image_relative_l2` and, with a text tower, `text_relative_l2`: the largest over
        rows and swaps, bounded by `TOLERANCE`. Staleness shows as an error after the second or
        third swap.
    """
    start = perf_counter()
    from fastclip.towers.module import build_module

    module = build_module(towers)
    figures: dict[str, float] = {}
    for swap, seed in enumerate(STATES):
        state = random_state(towers, seed)
        module.load(pack(towers.module_manifest, state))
        engine.load(pack(engine.manifest(towers), state))
        del state
        for name, found, reference in _embeddings(engine, module, towers, shapes, swap):
            error = relative_l2(found, reference)
            # np.fmax would hide NaN.
            figures[name] = float(np.maximum(figures.get(name, 0.0), error))
        module.forget()  # or two states would be in memory while the next one is drawn
    bound = TOLERANCE[engine.precision]
    return report(figures, dict.fromkeys(figures, bound), perf_counter() - start)


def _embeddings(
    engine: Engine, module: TowerModule, towers: Towers, shapes: Shapes, swap: int
) -> Iterator[tuple[str, Embeddings, Embeddings]]:
    """(figure, the engine's embeddings, the module's) for pictures and prompts."""
    import torch

    spec = towers.architecture.preprocessing.pixels
    pictures = random_pictures(min(PICTURES, shapes.image_batch), spec.height, spec.width)
    # The sweep's own batch once; then only what is compared, for large towers are slow.
    rows = len(pictures) if swap else shapes.image_batch
    handle = engine.place(np.resize(pictures, (rows, *pictures.shape[1:])))
    found = engine.fetch(engine.encode_images(handle, 0, rows))[: len(pictures)]
    with torch.inference_mode():
        yield "image_relative_l2", found, module.encode_image(torch.from_numpy(pictures)).numpy()
    if towers.text is None:
        return
    # The full context is dear and says nothing new at every swap.
    short = min(SHORT, towers.context_length)
    lengths = [short] if swap and towers.dynamic_text else [short, towers.context_length]
    for length in lengths if towers.dynamic_text else [towers.context_length]:
        ids, eot = token_rows(module, min(PROMPTS, shapes.text_batch), length)
        found = engine.fetch(engine.encode_texts(ids, eot))
        with torch.inference_mode():
            reference = module.encode_text(torch.from_numpy(ids)).numpy()
        yield "text_relative_l2", found, reference


def probe_once(engine: Engine, towers: Towers, shapes: Shapes, cache_dir: Path) -> ParityReport:
    """`probe`, unless these graphs passed on this engine, version, machine setting before.

    Passed reports are kept in `cache_dir/probes/`; a failure is measured again. With a report
    from the cache the engine is left as it was.
    """
    path = cache_dir / "probes" / f"{probe_key(engine, towers, shapes)}.json"
    with suppress(OSError, ValueError, TypeError):  # none yet, or not ours: measured anew
        return ParityReport(**json.loads(path.read_text()))
    found = probe(engine, towers, shapes)
    if found.passed:
        write_atomic(path, canonical_json(asdict(found)).encode())
    return found


def probe_key(engine: Engine, towers: Towers, shapes: Shapes) -> str:
    """Digest of all that a probe's result depends on; the engine need not be open."""
    identity: Mapping[str, Any] = {
        "revision": REVISION,
        "visual": towers.visual.digest,
        "text": towers.text.digest if towers.text else None,
        "engine": engine.describe(),
        "precision": engine.precision,
        "shapes": asdict(shapes),
        "fastclip": __version__,
        "torch": version("torch"),
        "processor": processor_name(),
    }
    return digest_of(identity)
