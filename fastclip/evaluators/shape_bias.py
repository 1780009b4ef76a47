"""Shape bias: whether a model decides by shape or by texture where the two conflict."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from fastclip.evaluators.base import Evaluator, Result, Score, interval_columns
from fastclip.evaluators.options import TaskOptions
from fastclip.evaluators.zero_shot import (
    Prompts,
    ZeroShotEvaluator,
    own_templates,
)
from fastclip.open_clip_tables import imagenet_templates
from fastclip.statistics.intervals.base import no_interval
from fastclip.statistics.intervals.ratios import Float64Array, ratio
from fastclip.statistics.intervals.shares import wilson
from fastclip.statistics.intervals.two_way import TwoWayBootstrap
from fastclip.stimuli.base import CueConflictDataset, Dataset, PixelSpec


def build(datasets: Sequence[Dataset], pixels: PixelSpec, options: TaskOptions) -> list[Evaluator]:
    """One evaluator per cue-conflict set; other sets are passed over."""
    return [
        ShapeBias(dataset, pixels, shape_bias_prompts(dataset, options))
        for dataset in datasets
        if isinstance(dataset, CueConflictDataset)
    ]


def shape_bias_prompts(dataset: CueConflictDataset, options: TaskOptions) -> Prompts:
    """The set's own class names in the 80 ImageNet templates, as Gavrikov et al. (2024) ask."""
    way = f"{len(dataset.classes)}way"
    if options.templates is not None:
        return Prompts(
            f"{own_templates(options.templates)}/{way}", dataset.classes, options.templates
        )
    return Prompts(f"gavrikov-{way}", dataset.classes, imagenet_templates())


@dataclass(frozen=True)
class CueCounts:
    """Decisions over conflict pictures: how many took the shape, the texture, neither.

    Counts are numbers, or arrays of one shape (one entry per resample); every measure is a pure
    function of them and of `classes`, the number of classes offered (16), NaN where undefined.
    """

    shape: npt.ArrayLike
    texture: npt.ArrayLike
    other: npt.ArrayLike
    classes: int = 16

    @property
    def pictures(self) -> Float64Array:
        """All conflict pictures."""
        return np.add(self.cue, self.other)

    @property
    def cue(self) -> Float64Array:
        """Decisions for either cue."""
        return np.add(self.shape, self.texture, dtype=np.float64)

    @property
    def shape_bias(self) -> Float64Array:
        """shape / (shape + texture) (Geirhos et al. 2019); NaN where no decision took a cue."""
        return ratio(self.shape, self.cue)

    @property
    def guess_corrected(self) -> Float64Array:
        """Shape bias with guesses taken out: (s - g) / (s + t - 2g), g = other / (classes - 2).

        Guesses spread evenly over classes, so each wrong class's share, g, is also in s and t.
        The denominator is above 0 exactly where cue accuracy is above 2 / classes; NaN elsewhere.
        It may leave [0, 1] where a cue is taken less often than a wrong class.
        """
        guesses = ratio(self.other, self.classes - 2)
        return ratio(np.subtract(self.shape, guesses), self.cue - 2 * guesses)

    @property
    def cue_accuracy(self) -> Float64Array:
        """(shape + texture) / all; a model that guesses has 2 / classes, and a shape bias of 0.5
        whatever it sees.
        """
        return ratio(self.cue, self.pictures)

    def measures(self) -> dict[str, Float64Array]:
        """Every measure by its name in the table."""
        return {
            "shape_bias": self.shape_bias,
            "texture_bias": 1 - self.shape_bias,
            "shape_bias_guess_corrected": self.guess_corrected,
            "cue_accuracy": self.cue_accuracy,
            "shape_accuracy": ratio(self.shape, self.pictures),
            "texture_accuracy": ratio(self.texture, self.pictures),
        }


@dataclass(frozen=True)
class ConflictPictures:
    """Some of the conflict pictures, and how they are resampled.

    Attributes:
        rows: `[n]` of the data set.
        bootstrap: over their own exemplars.
    """

    rows: npt.NDArray[np.intp]
    bootstrap: TwoWayBootstrap

    @classmethod
    def of(cls, dataset: CueConflictDataset, chosen: npt.NDArray[np.bool_]) -> ConflictPictures:
        """Those of a data set that are chosen, `[N]`."""
        rows = np.flatnonzero(chosen)
        shape = np.array(dataset.shape_exemplar, np.str_)[rows]
        return cls(rows, TwoWayBootstrap(shape, np.array(dataset.texture_exemplar, np.str_)[rows]))

    def counts(self, taken: npt.NDArray[np.bool_], classes: int) -> CueCounts:
        """Counts `[B + 1]` from columns is_shape and is_texture, `[2, N]`; the sample's first."""
        shape, texture = taken[:, self.rows]
        sums = self.bootstrap.sums([shape, texture, ~(shape | texture)])
        return CueCounts(sums[0], sums[1], sums[2], classes)

    def at_chance(self, counts: CueCounts) -> bool:
        """Cue accuracy is not above 2 / classes, or its interval, where it has one, is not."""
        accuracy = counts.cue_accuracy
        low = self.bootstrap.interval(accuracy[1:]).low
        lowest = accuracy[0] if low is None else min(low, accuracy[0])
        return bool(lowest <= 2 / counts.classes)


class ShapeBias(ZeroShotEvaluator):
    """Zero-shot decisions among the set's classes, over conflict and non-conflict pictures.

    `n` of every row is the number of pictures decided on. Intervals over conflict pictures are
    two-way bootstraps over shape and texture exemplars, a category's over its own; `n_units` counts
    the rarer kind of exemplar. `nonconflict_accuracy` has Wilson's, over its pictures.

    Rows over conflict pictures are flagged "at_chance" where their own cue accuracy, or that over
    the whole set, is not above 2/K beyond its interval (beyond its value, where there is no
    interval). NA with flag "no_cue_decision" where no decision took a cue, "no_pictures" where
    there are none; the guess-corrected bias is NA where cue accuracy is not above 2/K.
    """

    task: ClassVar[str] = "shape-bias"
    revision: ClassVar[int] = 2
    dataset: CueConflictDataset

    def __init__(self, dataset: CueConflictDataset, pixels: PixelSpec, prompts: Prompts) -> None:
        super().__init__(dataset, pixels, prompts)
        self._conflict = dataset.shape != dataset.texture
        self._whole = ConflictPictures.of(dataset, self._conflict)
        of_class = {c: self._conflict & (dataset.shape == k) for k, c in enumerate(dataset.classes)}
        self._categories = {
            category: ConflictPictures.of(dataset, chosen)
            for category, chosen in of_class.items()
            if chosen.any()
        }
        classes = np.array(dataset.classes)
        names = [dataset.pictures.name(row) for row in range(len(dataset.pictures))]
        self._items: dict[str, npt.NDArray[Any] | Sequence[str]] = {
            "picture": names,
            "shape": classes[dataset.shape],
            "texture": classes[dataset.texture],
            "shape_exemplar": dataset.shape_exemplar,
            "texture_exemplar": dataset.texture_exemplar,
        }

    def finish(self, earlier: Result | None = None) -> Result:
        """See `Evaluator.finish`; items are one row per picture.

        `is_shape` and `is_texture` are both true for a non-conflict picture decided right.
        """
        found = self._classifier.finish()
        taken = np.stack(
            [found.decision == self.dataset.shape, found.decision == self.dataset.texture]
        )
        items = {
            **self._items,
            "decision": np.array(self.dataset.classes)[found.decision],
            "is_shape": taken[0],
            "is_texture": taken[1],
            "conflict": self._conflict,
            "margin": found.margin,
            "tie": found.tie,
        }
        return Result(tuple(self._scores(taken, found.tie)), items)

    def _scores(self, taken: npt.NDArray[np.bool_], tie: npt.NDArray[np.bool_]) -> Iterator[Score]:
        whole, classes = self._whole, len(self.dataset.classes)
        counts = whole.counts(taken, classes)
        guesses = whole.at_chance(counts)
        for metric, values in counts.measures().items():
            yield self._conflict_score(metric, values, whole, guesses)
        for name in ("shape", "texture", "other"):
            decisions = getattr(counts, name)[:1]
            yield self._conflict_score(f"{name}_decisions", decisions, whole, guesses)
        ties = tie[whole.rows].sum(keepdims=True)
        yield self._conflict_score("tied_decisions", ties, whole, guesses)
        yield self._agreement(taken[0, ~self._conflict])
        for category, own in self._categories.items():
            counts = own.counts(taken, classes)
            chance = guesses or own.at_chance(counts)
            yield self._conflict_score("shape_bias", counts.shape_bias, own, chance, category)

    def _conflict_score(
        self,
        metric: str,
        values: npt.NDArray[Any],
        pictures: ConflictPictures,
        at_chance: bool,
        category: str | None = None,
    ) -> Score:
        """A row from a measure `[B + 1]`, or `[1]` where it has no interval."""
        n, bootstrap = len(pictures.rows), pictures.bootstrap
        value = None if np.isnan(values[0]) else float(values[0])
        interval = no_interval(bootstrap.units)
        if value is not None and len(values) > 1:
            interval = bootstrap.interval(values[1:])
        reasons = ["at_chance"] if at_chance and n else []
        if value is None and n == 0:
            reasons.append("no_pictures")
        elif value is None and metric != "shape_bias_guess_corrected":
            reasons.append("no_cue_decision")
        return Score(
            metric,
            value,
            n,
            flag=";".join(reasons),
            prompts=self._prompts.name,
            category=category,
            **interval_columns(interval),
        )

    def _agreement(self, right: npt.NDArray[np.bool_]) -> Score:
        """Accuracy where shape and texture agree, `[n]`."""
        n = len(right)
        return Score(
            "nonconflict_accuracy",
            float(right.mean()) if n else None,
            n,
            flag="" if n else "no_pictures",
            prompts=self._prompts.name,
            **interval_columns(wilson(int(right.sum()), n)),
        )
