"""The canary: after every swap, a handful of pictures and prompts against open_clip's module."""

from __future__ import annotations

from collections.abc import Mapping
from time import perf_counter
from typing import TYPE_CHECKING, Any

import numpy as np

from fastclip.engines.base import Engine, Shapes
from fastclip.parity.base import TOLERANCE, ParityReport
from fastclip.parity.compare import Embeddings, pair_distances, relative_l2, report
from fastclip.parity.inputs import smooth_pairs, token_rows

if TYPE_CHECKING:
    from fastclip.towers.base import Towers

SLACK = 5.0
"""Trained weights amplify rounding: the bound is this many times `TOLERANCE`."""

PAIR_TOLERANCE = {"fp32": 1e-2, "fp16": 2e-1, "bf16": 5e-1, "int8": 5e-1}
"""Largest relative difference of a pair's distance to the reference's, by precision."""

PAIR_FLOOR = {"fp32": 5e-7, "fp16": 2e-4, "bf16": 5e-3, "int8": 5e-3}
"""Distances below this are compared as if they were this: half the square of what rounding
moves unit vectors by (1e-3, 2e-2, 1e-1, 1e-1), so that a collapsed model is no false alarm."""

PROMPTS = 4
LENGTH = 8

Reference = Mapping[str, Embeddings]
"""Raw embeddings of open_clip's module for the canary's inputs, by tower."""


class Canary:
    """Made once per architecture, asked after every swap.

    With `TorchEngine` the reference runs the same code, so `relative_l2` and `pair_distance`
    say only that the engine holds the checkpoint's weights and no older ones; NaN and `stale`
    are as telling as with any engine.

    Args:
        shapes: what the engine is open for.
        precision: the engine's.
        text: also look at the text tower; for sweeps whose tasks have prompts.
        device: where open_clip's module runs, in fp32 without TF32: the engine's.
    """

    def __init__(
        self,
        towers: Towers,
        shapes: Shapes,
        precision: str,
        *,
        text: bool = True,
        device: str = "cpu",
    ) -> None:
        from fastclip.towers.module import build_module

        self._module = build_module(towers).to(device)
        self._device = device
        spec = towers.architecture.preprocessing.pixels
        self._pictures = smooth_pairs(spec.height, spec.width)
        self._batch = min(shapes.image_batch, len(self._pictures))
        self._text = text and towers.text is not None
        if self._text:
            length = LENGTH if towers.dynamic_text else towers.context_length
            length = min(length, towers.context_length)
            self._ids, self._eot = token_rows(self._module, min(PROMPTS, shapes.text_batch), length)
        self._precision = precision
        self._placed_on: Engine | None = None
        self._last: dict[str, tuple[Embeddings, Embeddings]] = {}
        self._module.forget()

    def reference(self, module_tensors: Mapping[str, Any]) -> Reference:
        """What open_clip's module makes of the canary's inputs under a checkpoint's weights.

        From one thread at a time, which need not be the engine's.

        Args:
            module_tensors: the checkpoint packed by `Towers.module_manifest`, arrays or tensors
                on the canary's device; they are used in place and let go before this returns.

        Returns:
            Raw embeddings by tower ("image", "text").
        """
        import torch

        from fastclip.engines.cuda.device import exact_products

        self._module.load(module_tensors)
        try:
            with torch.inference_mode(), exact_products():
                pictures = torch.from_numpy(self._pictures).to(self._device)
                reference = {"image": self._module.encode_image(pictures).cpu().numpy()}
                if self._text:
                    ids = torch.from_numpy(self._ids).to(self._device)
                    reference["text"] = self._module.encode_text(ids).cpu().numpy()
        finally:
            self._module.forget()
        return reference

    def check(self, engine: Engine, module_tensors: Mapping[str, Any]) -> ParityReport:
        """`compare` with the `reference` of these tensors."""
        return self.compare(engine, self.reference(module_tensors))

    def compare(self, engine: Engine, reference: Reference) -> ParityReport:
        """Compare an engine that has just loaded a checkpoint with that checkpoint's reference.

        Returns:
            Figures, by tower ("image", "text"): `<tower>_relative_l2`, the largest over rows;
            `image_pair_distance`, the largest relative difference of ½‖a-b‖² (unit vectors)
            within pairs; `<tower>_stale`, 1 where the embeddings are to the bit those of the
            checkpoint before while the reference's are not. NaN anywhere is out of bounds.
        """
        start = perf_counter()
        figures: dict[str, float] = {}
        found = self._embeddings(engine)
        seen = {tower: (found[tower], reference[tower]) for tower in found}
        for tower, (mine, theirs) in seen.items():
            figures[f"{tower}_relative_l2"] = relative_l2(mine, theirs)
            figures[f"{tower}_stale"] = float(self._is_stale(tower, mine, theirs))
            if tower == "image":
                figures["image_pair_distance"] = self._pair_difference(mine, theirs)
        checked = report(figures, self._bounds(figures), perf_counter() - start)
        if checked.passed:
            # What a stale engine showed belongs to another checkpoint, which may come again.
            self._last = seen
        return checked

    def _embeddings(self, engine: Engine) -> dict[str, Embeddings]:
        """The engine's embeddings, by tower."""
        if self._placed_on is not engine:
            self._handle, self._placed_on = engine.place(self._pictures), engine
        n = len(self._pictures)
        outputs = [
            engine.encode_images(self._handle, lo, min(lo + self._batch, n))
            for lo in range(0, n, self._batch)
        ]
        if not self._text:
            return {"image": engine.fetch(*outputs)}
        prompts = engine.encode_texts(self._ids, self._eot)  # asked for before waiting
        return {"image": engine.fetch(*outputs), "text": engine.fetch(prompts)}

    def _is_stale(self, tower: str, found: Embeddings, reference: Embeddings) -> bool:
        if tower not in self._last:
            return False
        last_found, last_reference = self._last[tower]
        return np.array_equal(found, last_found) and not np.array_equal(reference, last_reference)

    def _pair_difference(self, found: Embeddings, reference: Embeddings) -> float:
        mine, theirs = pair_distances(found), pair_distances(reference)
        floor = PAIR_FLOOR[self._precision]
        return float(np.max(np.abs(mine - theirs) / np.maximum(theirs, floor)))

    def _bounds(self, figures: Mapping[str, float]) -> dict[str, float]:
        by_kind = {
            "relative_l2": SLACK * TOLERANCE[self._precision],
            "stale": 0.0,
            "pair_distance": PAIR_TOLERANCE[self._precision],
        }
        return {name: by_kind[name.split("_", 1)[1]] for name in figures}
