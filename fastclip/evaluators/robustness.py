"""Robustness: zero-shot accuracy on clean and on distorted pictures, and what is lost."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from fastclip.distortions.base import Distortion
from fastclip.evaluators.base import (
    Evaluator,
    Result,
    Score,
    ViewRequest,
    interval_columns,
)
from fastclip.evaluators.options import TaskOptions
from fastclip.evaluators.zero_shot import Prompts, ZeroShotEvaluator, own_templates
from fastclip.statistics.intervals.base import Interval, no_interval
from fastclip.statistics.intervals.ratios import fieller, paired_t
from fastclip.statistics.intervals.shares import wilson
from fastclip.stimuli.base import ClassificationDataset, Dataset, PixelSpec

BoolArray = npt.NDArray[np.bool_]


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
    classes share; the lowest index wins, for top-5 too. Intervals of accuracies are Wilson's,
    over pictures.
    """

    task: ClassVar[str] = "robustness"
    revision: ClassVar[int] = 2
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
        right = found.decision == self.dataset.label_index
        items = {
            "label": self.dataset.label_index.astype(np.int32),
            "decision": found.decision,
            "top5": found.rank < 5,
            "margin": found.margin,
            "tie": found.tie,
        }
        scores = (
            self._score("acc1", float(right.mean()), wilson(int(right.sum()), len(right))),
            self._top5(found.rank < 5),
            self._score("tied_decisions", float(found.tie.sum())),
            *self._drops(right, earlier),
        )
        return Result(scores, items)

    def _top5(self, right: BoolArray) -> Score:
        share, n = float(right.mean()), len(right)
        if len(self._prompts.classes) <= 5:  # the label cannot be missed
            return self._score("acc5", share, flag="trivial")
        return self._score("acc5", share, wilson(int(right.sum()), n))

    def _drops(self, right: BoolArray, earlier: Result | None) -> Iterator[Score]:
        yield from ()

    def _score(
        self, metric: str, value: float | None, interval: Interval | None = None, flag: str = ""
    ) -> Score:
        n = len(self.dataset.label_index)
        columns = interval_columns(interval or no_interval(n))
        return Score(metric, value, n, flag=flag, **columns, **self._factors)


class DistortedAccuracy(ZeroShotAccuracy):
    """The same on distorted pictures, with the accuracy lost.

    - `drop_abs` = clean - distorted
    - `drop_rel` = (clean - distorted) / clean
    - `drop_rel_chance` = (clean - distorted) / (clean - 1/K), K classes

    of top-1 accuracies. Intervals keep the pairs, picture by picture: paired t, and Fieller's for
    the ratios. The relative drops are NA with flag "clean_at_chance" where clean accuracy is not
    above 1/K beyond its own interval: what can be lost is not known to be more than nothing.
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

    def _drops(self, right: BoolArray, earlier: Result | None) -> Iterator[Score]:
        assert earlier is not None  # the sweep hands on what `after` found
        before = np.asarray(earlier.items["decision"]) == self.dataset.label_index
        clean = float(before.mean())
        drop = clean - float(right.mean())
        lost = before.astype(np.float64) - right
        yield self._score("drop_abs", drop, paired_t(lost))
        chance = 1 / len(self._prompts.classes)
        floor = wilson(int(before.sum()), len(before)).low
        for metric, guesses in (("drop_rel", 0.0), ("drop_rel_chance", chance)):
            if floor is None or floor <= chance:
                yield self._score(metric, None, flag="clean_at_chance")
            else:
                interval = fieller(lost, before - guesses)
                yield self._score(metric, drop / (clean - guesses), interval)
