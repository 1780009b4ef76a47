"""Zero-shot classification: prompts to class weights, embeddings to decisions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from fastclip.evaluators.base import WholeSetEvaluator
from fastclip.evaluators.embeddings import Blocks, Float32Array, check_pictures, check_prompts
from fastclip.files import digest_of
from fastclip.statistics.distances import unit
from fastclip.stimuli.base import Dataset, PixelSpec

Float64Array = npt.NDArray[np.float64]

TIE = 1e-12
"""Cosines closer than this are a tie: float64 products of equal rows may differ by rounding,
and float32 embeddings say nothing about so small a difference."""


@dataclass(frozen=True)
class Prompts:
    """K class names in T templates.

    Attributes:
        name: what the `prompts` column holds.
        classes: K class names, in the order of the class weights.
        templates: T templates with one `{}` each.
    """

    name: str
    classes: tuple[str, ...]
    templates: tuple[str, ...]

    @cached_property
    def texts(self) -> tuple[str, ...]:
        """`[K * T]` prompts, all templates of the first class first."""
        return tuple(t.replace("{}", c) for c in self.classes for t in self.templates)

    @cached_property
    def identity(self) -> dict[str, Any]:
        """What goes into a protocol id."""
        return {
            "prompts_name": self.name,
            "prompts": digest_of(self.texts),
            "classes": len(self.classes),
            "templates": len(self.templates),
        }

    def class_weights(self, embeddings: Float32Array) -> Float64Array:
        """Unit class weights `[K, D]` from raw embeddings `[K * T, D]` of `texts`.

        Each prompt's embedding is normalised, then averaged over templates, then normalised
        again (Radford et al. 2021; open_clip's `build_zero_shot_classifier`).

        Raises:
            CheckpointError: an embedding holds NaN or infinity; names the prompt.
        """
        check_prompts(embeddings, self.texts)
        count = len(self.templates)
        weights = [
            unit(embeddings[low : low + count]).mean(axis=0)
            for low in range(0, len(embeddings), count)
        ]
        return unit(np.stack(weights))


def own_templates(templates: Sequence[str]) -> str:
    """Name of a list of templates that the user gave."""
    return f"own-{len(templates)}-{digest_of(list(templates), 8)}"


@dataclass(frozen=True)
class Decisions:
    """One entry per picture, `[N]`.

    Attributes:
        decision: int32, the class with the largest cosine, the lowest index of a tie.
        margin: float32, largest cosine minus second largest (not scaled by the logit scale).
        tie: bool, whether another class came within `TIE` of the largest.
        rank: int32, classes ahead of the label, 0 where the label won; ties count as ahead
            where their index is lower. -1 without labels.
    """

    decision: npt.NDArray[np.int32]
    margin: npt.NDArray[np.float32]
    tie: npt.NDArray[np.bool_]
    rank: npt.NDArray[np.int32]


class Classifier:
    """Classifies picture embeddings as they come; keeps decisions, not embeddings.

    Args:
        weights: unit class weights `[K, D]`, K at least 2.
        labels: `[N]` true classes, or None.
    """

    def __init__(self, weights: Float64Array, labels: npt.NDArray[np.int64] | None = None) -> None:
        self._weights = weights
        self._labels = labels
        self._seen = 0
        self._parts: list[Decisions] = []
        self._blocks = Blocks(self._classify)

    def put(self, embeddings: Float32Array) -> None:
        """Take the next pictures' raw embeddings, `[n, D]`."""
        self._blocks.put(embeddings)

    def finish(self) -> Decisions:
        """Decisions for every picture taken."""
        self._blocks.close()
        return Decisions(
            *(
                np.concatenate([getattr(part, column) for part in self._parts])
                for column in ("decision", "margin", "tie", "rank")
            )
        )

    def _classify(self, embeddings: Float32Array) -> None:
        labels = None
        if self._labels is not None:
            labels = self._labels[self._seen : self._seen + len(embeddings)]
        self._seen += len(embeddings)
        self._parts.append(decide(unit(embeddings) @ self._weights.T, labels))


def decide(cosines: Float64Array, labels: npt.NDArray[np.int64] | None = None) -> Decisions:
    """Decide from cosines `[N, K]`; see `Decisions`."""
    top = np.partition(cosines, -2, axis=1)[:, -2:]
    best = cosines >= top[:, 1:] - TIE
    rank = np.full(len(cosines), -1)
    if labels is not None:
        own = np.take_along_axis(cosines, labels[:, None], axis=1)
        lower = np.arange(cosines.shape[1]) < labels[:, None]
        rank = ((cosines > own + TIE) | ((cosines >= own - TIE) & lower)).sum(axis=1)
    return Decisions(
        decision=best.argmax(axis=1).astype(np.int32),
        margin=(top[:, 1] - top[:, 0]).astype(np.float32),
        tie=best.sum(axis=1) > 1,
        rank=rank.astype(np.int32),
    )


class ZeroShotEvaluator(WholeSetEvaluator):
    """Classifies every picture of its set among the classes of its prompts.

    Args:
        labels: `[N]` class indices, for the rank of the right class; None where there is no one
            right class.
    """

    needs: ClassVar[frozenset[str]] = frozenset({"image", "text"})

    def __init__(
        self,
        dataset: Dataset,
        pixels: PixelSpec,
        prompts: Prompts,
        labels: npt.NDArray[np.int64] | None = None,
    ) -> None:
        super().__init__(dataset, pixels)
        self._prompts = prompts
        self._labels = labels

    def prompts(self) -> Sequence[str]:
        """See `Evaluator.prompts`."""
        return self._prompts.texts

    def protocol(self) -> dict[str, Any]:
        """See `Evaluator.protocol`."""
        return super().protocol() | self._prompts.identity

    def start(self, logit_scale: float | None) -> None:
        """See `Evaluator.start`."""

    def texts(self, embeddings: Float32Array) -> None:
        """See `Evaluator.texts`."""
        self._classifier = Classifier(self._prompts.class_weights(embeddings), self._labels)

    def update(self, view: str, rows: slice, embeddings: Float32Array) -> None:
        """See `Evaluator.update`."""
        check_pictures(embeddings, self.dataset, rows)
        self._classifier.put(embeddings)
