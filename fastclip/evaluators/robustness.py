"""Robustness: zero-shot accuracy on clean and on distorted pictures, and what is lost."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, ClassVar

import numpy as np

from fastclip.distortions.base import Distortion
from fastclip.evaluators.base import Evaluator, Result, Score, ViewRequest
from fastclip.evaluators.options import TaskOptions
from fastclip.evaluators.zero_shot import Decisions, Prompts, ZeroShotEvaluator, own_templates
from fastclip.stimuli.base import ClassificationDataset, Dataset, PixelSpec


def build(datasets: Sequence[Dataset], pixels: PixelSpec, options: TaskOptions) -> list[Evaluator]:
    """For each classification set: the clean evaluator, then one per level and noise seed."""
    evaluators: list[Evaluator] = []
    for dataset in datasets:
        if isinstance(dataset, ClassificationDataset):
            clean = ZeroShotAccuracy(dataset, pixels, classification_prompts(dataset, options))
            evaluators.append(clean)
            place = options.noise_place(dataset)
            evaluators.extend(
                DistortedAccuracy(clean, distortion, place) for distortion in options.distortions()
            )
    return evaluators


def classification_prompts(dataset: ClassificationDataset, options: TaskOptions) -> Prompts:
    """The set's templates and class names; named "<templates>/<class-name variant>".

    Raises:
        UsageError: the set does not have the variant of class names that was asked for.
    """
    variant = options.class_variant(dataset)
    templates, name = dataset.templates, dataset.templates_name
    if options.templates is not None:
        templates, name = options.templates, own_templates(options.templates)
    return Prompts(f"{name}/{variant}", dataset.class_names[variant], templates)


class ZeroShotAccuracy(ZeroShotEvaluator):
    """Top-1 and top-5 accuracy on the clean pictures (`distortion` "none").

    Keeps decisions, not embeddings. `tied_decisions` counts pictures whose largest cosine two
    classes share; the lowest index wins, for top-5 too.
    """

    task: ClassVar[str] = "robustness"
    revision: ClassVar[int] = 1
    dataset: ClassificationDataset

    def __init__(self, dataset: ClassificationDataset, pixels: PixelSpec, prompts: Prompts) -> None:
        super().__init__(dataset, pixels, prompts, dataset.label_index)
        self._factors: dict[str, Any] = {"distortion": "none", "prompts": prompts.name}

    def protocol(self) -> dict[str, Any]:
        """See `Evaluator.protocol`."""
        return super().protocol() | {"distortion": None}

    def finish(self, earlier: Result | None = None) -> Result:
        """See `Evaluator.finish`; items are one row per picture, in the set's order.

        `label` and `decision` index the class names; `margin` is in units of cosine.
        """
        found = self._classifier.finish()
        top1 = float((found.decision == self.dataset.label_index).mean())
        items = {
            "label": self.dataset.label_index.astype(np.int32),
            "decision": found.decision,
            "top5": found.rank < 5,
            "margin": found.margin,
            "tie": found.tie,
        }
        scores = (
            self._score("acc1", top1),
            # With 5 classes or fewer the label cannot be missed.
            self._score(
                "acc5",
                float((found.rank < 5).mean()),
                "trivial" if len(self._prompts.classes) <= 5 else "",
            ),
            self._score("tied_decisions", float(found.tie.sum())),
            *self._drops(found, earlier),
        )
        return Result(scores, items)

    def _drops(self, found: Decisions, earlier: Result | None) -> Iterator[Score]:
        yield from ()

    def _score(self, metric: str, value: float | None, flag: str = "") -> Score:
        n = len(self.dataset.label_index)
        return Score(metric, value, n, n, flag=flag, **self._factors)


class DistortedAccuracy(ZeroShotAccuracy):
    """The same on distorted pictures, with the accuracy lost.

    - `drop_abs` = clean - distorted
    - `drop_rel` = (clean - distorted) / clean
    - `drop_rel_chance` = (clean - distorted) / (clean - 1/K), K classes

    of top-1 accuracies. The relative drops are NA with flag "clean_at_chance" where clean
    accuracy is not above 1/K by point estimate: there is nothing to lose.
    """

    def __init__(self, clean: ZeroShotAccuracy, distortion: Distortion, noise_at: str) -> None:
        super().__init__(clean.dataset, clean._pixels, clean._prompts)
        self._clean = clean
        self._distortion = distortion
        self._noise_at = noise_at
        self._factors |= {
            "distortion": distortion.kind,
            "level": distortion.level,
            "noise_at": noise_at,
            "noise_seed": distortion.seed if distortion.random else None,
        }

    def after(self) -> Evaluator:
        """The clean evaluator of the same set."""
        return self._clean

    def views(self) -> Mapping[str, ViewRequest]:
        """One: all pictures, distorted."""
        request = ViewRequest(self.dataset, self._pixels, self._distortion, self._noise_at)
        return {"pictures": request}

    def protocol(self) -> dict[str, Any]:
        """See `Evaluator.protocol`."""
        return super().protocol() | {
            "distortion": self._distortion.identity(),
            "noise_at": self._noise_at,
        }

    def _drops(self, found: Decisions, earlier: Result | None) -> Iterator[Score]:
        assert earlier is not None  # the sweep hands on what `after` found
        right = np.asarray(earlier.items["decision"]) == self.dataset.label_index
        clean = float(right.mean())
        drop = clean - float((found.decision == self.dataset.label_index).mean())
        yield self._score("drop_abs", drop)
        chance = 1 / len(self._prompts.classes)
        above = clean > chance
        flag = "" if above else "clean_at_chance"
        yield self._score("drop_rel", drop / clean if above else None, flag)
        yield self._score("drop_rel_chance", drop / (clean - chance) if above else None, flag)
