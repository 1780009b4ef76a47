"""The choices of protocol that a user makes, common to all tasks."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from fastclip.distortions.base import Distortion
from fastclip.distortions.noise import GaussianNoise
from fastclip.errors import UsageError
from fastclip.statistics.distances import DISTANCES
from fastclip.stimuli.base import ClassificationDataset, PixelSpec


@dataclass(frozen=True)
class TaskOptions:
    """What a user may choose; the defaults are the project's protocol.

    Attributes:
        conditions: the distortions that `robustness` measures, whatever their seed.
        noise_seed, noise_seeds: seeds noise_seed .. noise_seed + noise_seeds - 1 of every random
            one are drawn, each with `draw` 0, so that the `noise_seed` column alone names the
            bytes.
        noise_at: where pictures are distorted: "auto" (the data set's own), "native" (before
            resizing) or "input" (after).
        iqa_view: "auto" (as the checkpoint preprocesses), "crop" (shortest edge, centre crop) or
            "squash" (both edges to the input size).
        class_names: "openai", "dataset", or "auto": the first of these two that the set has.
        templates: prompt templates with one `{}` each, in place of each task's own.
        distances: names in `fastclip.statistics.distances.DISTANCES`.
        cache_dir: where an evaluator keeps what it computes once per data set; None for the
            default cache folder. No part of any protocol.
    """

    conditions: tuple[Distortion, ...] = (GaussianNoise(0.1),)
    noise_seed: int = 0
    noise_seeds: int = 1
    noise_at: str = "auto"
    iqa_view: str = "auto"
    class_names: str = "auto"
    templates: tuple[str, ...] | None = None
    distances: tuple[str, ...] = tuple(DISTANCES)
    cache_dir: Path | None = None

    def __post_init__(self) -> None:
        """Raises UsageError where a value is none of the choices; lists them."""
        _choose("noise_at", self.noise_at, ("auto", "native", "input"))
        _choose("iqa_view", self.iqa_view, ("auto", "crop", "squash"))
        _choose("class_names", self.class_names, ("auto", "openai", "dataset"))
        for distance in self.distances:
            _choose("distance", distance, tuple(DISTANCES))
        for template in self.templates or ():
            if template.count("{}") != 1:
                raise UsageError(
                    f"template '{template}' does not hold one {{}}",
                    mend="write each template with one {} where the class name goes",
                )
        if self.noise_seeds < 1:
            raise UsageError(
                f"{self.noise_seeds} noise seeds", where="--noise-seeds", mend="give 1 or more"
            )

    def distortions(self) -> Iterator[Distortion]:
        """Every condition in order, all seeds of one before the next."""
        for condition in self.conditions:
            if not condition.random:
                yield condition
                continue
            for seed in range(self.noise_seed, self.noise_seed + self.noise_seeds):
                yield replace(condition, seed=seed)

    def noise_place(self, dataset: ClassificationDataset) -> str:
        """Where this set's pictures are distorted: "native" or "input"."""
        return dataset.noise_at if self.noise_at == "auto" else self.noise_at

    def iqa_pixels(self, pixels: PixelSpec) -> PixelSpec:
        """The checkpoint's pixel spec as `iqa_view` wants it."""
        if self.iqa_view == "auto":
            return pixels
        mode = {"crop": "shortest", "squash": "squash"}[self.iqa_view]
        return replace(pixels, resize_mode=mode)

    def class_variant(self, dataset: ClassificationDataset) -> str:
        """The variant of class names to use for this set.

        Raises:
            UsageError: the set does not have the variant that was asked for; lists those it has.
        """
        wanted = ("openai", "dataset") if self.class_names == "auto" else (self.class_names,)
        for variant in wanted:
            if variant in dataset.class_names:
                return variant
        raise UsageError(
            f"{dataset.name} has no '{self.class_names}' class names",
            where="--class-names",
            mend=f"choose one of: {', '.join(dataset.class_names)}",
        )


def _choose(what: str, value: str, choices: tuple[str, ...]) -> None:
    if value not in choices:
        raise UsageError(f"unknown {what} '{value}'", mend=f"choose one of: {', '.join(choices)}")
