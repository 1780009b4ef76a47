"""Shape bias: whether a model decides by shape or by texture where the two conflict."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from fastclip.evaluators.base import Evaluator, Result, Score
from fastclip.evaluators.options import TaskOptions
from fastclip.evaluators.zero_shot import (
    Decisions,
    Prompts,
    ZeroShotEvaluator,
    own_templates,
)
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
    from open_clip import OPENAI_IMAGENET_TEMPLATES

    templates = tuple(template("{}") for template in OPENAI_IMAGENET_TEMPLATES)
    return Prompts(f"gavrikov-{way}", dataset.classes, templates)


@dataclass(frozen=True)
class CueCounts:
    """Decisions over conflict pictures: how many took the shape, the texture, neither.

    Every measure is a pure function of the counts and of `classes`, the number of classes
    offered (16). Undefined values are None.
    """

    shape: int
    texture: int
    other: int
    classes: int = 16

    @property
    def pictures(self) -> int:
        """All conflict pictures."""
        return self.shape + self.texture + self.other

    @property
    def shape_bias(self) -> float | None:
        """shape / (shape + texture) (Geirhos et al. 2019); None where no decision took a cue."""
        cue = self.shape + self.texture
        return self.shape / cue if cue else None

    @property
    def at_chance(self) -> bool:
        """Cue accuracy is not above 2 / classes, by point estimate: no test is made.

        A model that guesses has a shape bias of 0.5 whatever it sees.
        """
        return (self.shape + self.texture) * self.classes <= 2 * self.pictures

    @property
    def guess_corrected(self) -> float | None:
        """Shape bias with guesses taken out: (s - g) / (s + t - 2g), g = other / (classes - 2).

        Guesses spread evenly over classes, so each wrong class's share, g, is also in s and t.
        None at chance: the denominator is above 0 exactly where cue accuracy is above chance.
        It may leave [0, 1] where a cue is taken less often than a wrong class.
        """
        if self.at_chance:
            return None
        guesses = self.other / (self.classes - 2)
        return (self.shape - guesses) / (self.shape + self.texture - 2 * guesses)


class ShapeBias(ZeroShotEvaluator):
    """Zero-shot decisions among the set's classes, over conflict and non-conflict pictures.

    `n` of every row is the number of pictures decided on, `n_units` the shape exemplars among
    them. Rows over conflict pictures are flagged "at_chance" where their own cue accuracy, or
    that over the whole set, is not above 2/K (point estimate). NA with flag "no_cue_decision"
    where no decision took a cue, "no_pictures" where there are none.
    """

    task: ClassVar[str] = "shape-bias"
    revision: ClassVar[int] = 1
    dataset: CueConflictDataset

    def __init__(self, dataset: CueConflictDataset, pixels: PixelSpec, prompts: Prompts) -> None:
        super().__init__(dataset, pixels, prompts)
        self._conflict = dataset.shape != dataset.texture
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
        items = {
            **self._items,
            "decision": np.array(self.dataset.classes)[found.decision],
            "is_shape": found.decision == self.dataset.shape,
            "is_texture": found.decision == self.dataset.texture,
            "conflict": self._conflict,
            "margin": found.margin,
            "tie": found.tie,
        }
        return Result(tuple(self._scores(found)), items)

    def count(self, decision: npt.NDArray[np.int32], pictures: npt.NDArray[np.bool_]) -> CueCounts:
        """Count the decisions on the chosen pictures, `[N]` each."""
        shape = int((decision == self.dataset.shape)[pictures].sum())
        texture = int((decision == self.dataset.texture)[pictures].sum())
        other = int(pictures.sum()) - shape - texture
        return CueCounts(shape, texture, other, len(self.dataset.classes))

    def _scores(self, found: Decisions) -> Iterator[Score]:
        whole = self.count(found.decision, self._conflict)
        yield from self._conflict_scores(whole, int(found.tie[self._conflict].sum()))
        right = (found.decision == self.dataset.shape)[~self._conflict]
        yield self._score("nonconflict_accuracy", _share(right.sum(), len(right)), ~self._conflict)
        for row, category in enumerate(self.dataset.classes):
            pictures = self._conflict & (self.dataset.shape == row)
            if pictures.any():
                counts = self.count(found.decision, pictures)
                chance = counts.at_chance or whole.at_chance
                yield self._score("shape_bias", counts.shape_bias, pictures, chance, category)

    def _conflict_scores(self, counts: CueCounts, ties: int) -> Iterator[Score]:
        bias, n = counts.shape_bias, counts.pictures
        values = {
            "shape_bias": bias,
            "texture_bias": None if bias is None else 1 - bias,
            "shape_bias_guess_corrected": counts.guess_corrected,
            "cue_accuracy": _share(counts.shape + counts.texture, n),
            "shape_accuracy": _share(counts.shape, n),
            "texture_accuracy": _share(counts.texture, n),
            "shape_decisions": float(counts.shape),
            "texture_decisions": float(counts.texture),
            "other_decisions": float(counts.other),
            "tied_decisions": float(ties),
        }
        for metric, value in values.items():
            yield self._score(metric, value, self._conflict, counts.at_chance)

    def _score(
        self,
        metric: str,
        value: float | None,
        pictures: npt.NDArray[np.bool_],
        at_chance: bool = False,
        category: str | None = None,
    ) -> Score:
        n = int(pictures.sum())
        exemplars = {self.dataset.shape_exemplar[row] for row in np.flatnonzero(pictures)}
        reasons = ["at_chance"] if at_chance and n else []
        if value is None and n == 0:
            reasons.append("no_pictures")
        elif value is None and metric != "shape_bias_guess_corrected":
            reasons.append("no_cue_decision")
        return Score(
            metric,
            value,
            n,
            len(exemplars),
            flag=";".join(reasons),
            prompts=self._prompts.name,
            category=category,
        )


def _share(count: int, total: int) -> float | None:
    return float(count / total) if total else None
