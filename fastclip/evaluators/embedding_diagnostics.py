"""Embedding diagnostics: the shape of the embedding space, from embeddings that exist anyway.

They need no pictures of their own: the image-quality task's view, and the clean view and prompts
of the robustness task.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from fastclip.evaluators.base import Evaluator, Result, Score, WholeSetEvaluator
from fastclip.evaluators.embeddings import Float32Array, Rows, check_pictures, check_prompts
from fastclip.evaluators.options import TaskOptions
from fastclip.evaluators.robustness import classification_prompts
from fastclip.evaluators.zero_shot import Prompts
from fastclip.statistics.distances import cosine, unit
from fastclip.stimuli.base import ClassificationDataset, Dataset, ImageQualityDataset, PixelSpec

Float64Array = npt.NDArray[np.float64]

SAMPLE = 10_000
"""At most so many pictures of a set, evenly spaced over it, are kept for the diagnostics."""


def build(datasets: Sequence[Dataset], pixels: PixelSpec, options: TaskOptions) -> list[Evaluator]:
    """One evaluator per image-quality set and per classification set."""
    evaluators: list[Evaluator] = []
    for dataset in datasets:
        if isinstance(dataset, ImageQualityDataset):
            evaluators.append(PairDiagnostics(dataset, options.iqa_pixels(pixels)))
        elif isinstance(dataset, ClassificationDataset):
            prompts = classification_prompts(dataset, options)
            evaluators.append(ClassDiagnostics(dataset, pixels, prompts))
    return evaluators


def spectrum(embeddings: Float64Array) -> Float64Array:
    """Eigenvalues of the covariance of rows `[N, D]`, largest first, as shares of their sum.

    Empty where the rows do not vary.
    """
    centred = embeddings - embeddings.mean(axis=0)
    # The smaller of the two Gram matrices has the same eigenvalues above zero.
    gram = centred.T @ centred if len(centred) >= centred.shape[1] else centred @ centred.T
    values = np.clip(np.linalg.eigvalsh(gram)[::-1], 0, None)
    # Below this, rounding of equal rows.
    total = values.sum()
    return values / total if total > len(centred) * 1e-24 else np.empty(0)


def effective_rank(shares: Float64Array) -> float | None:
    """exp of the entropy of the covariance spectrum, between 1 and the dimension.

    Roy and Vetterli (EUSIPCO 2007), "The effective rank: a measure of effective
    dimensionality", applied to the covariance matrix, whose singular values are its
    eigenvalues. None where the spectrum is empty.
    """
    kept = shares[shares > 0]
    return float(np.exp(-(kept * np.log(kept)).sum())) if len(kept) else None


def mean_cosine_between(units: Float64Array, group: npt.NDArray[np.int64]) -> float | None:
    """Mean cosine over all pairs of unit rows `[N, D]` of different groups `[N]`.

    Exact, without forming the pairs: all pairs' sum less the groups' own. None with one group.
    """
    sums = np.zeros((int(group.max()) + 1, units.shape[1]))
    np.add.at(sums, group, units)
    pairs = len(group) ** 2 - int(np.square(np.bincount(group)).sum())
    whole = sums.sum(axis=0)
    return float((whole @ whole - np.square(sums).sum()) / pairs) if pairs else None


class _Diagnostics(WholeSetEvaluator):
    """What both kinds of set have: logit scale, effective rank, mean cosine of unrelated."""

    task: ClassVar[str] = "embedding-diagnostics"
    revision: ClassVar[int] = 1
    needs: ClassVar[frozenset[str]] = frozenset({"image", "logit_scale"})

    def start(self, logit_scale: float | None) -> None:
        """See `Evaluator.start`."""
        self._logit_scale = logit_scale

    def _common(self, units: Float64Array) -> tuple[list[Score], Mapping[str, Any]]:
        n = len(units)
        shares = spectrum(units)
        scale_flag = "" if self._logit_scale is not None else "no_logit_scale"
        rank = effective_rank(shares)
        scores = [
            Score("logit_scale", self._logit_scale, n, flag=scale_flag),
            Score("effective_rank", rank, n, flag="" if rank is not None else "constant"),
            self._unrelated(units),
        ]
        items = {"component": np.arange(len(shares), dtype=np.int32), "variance_share": shares}
        return scores, items

    @abstractmethod
    def _unrelated(self, units: Float64Array) -> Score: ...


class PairDiagnostics(_Diagnostics):
    """Diagnostics of an image-quality set.

    `logit_scale`; `effective_rank` of the unit embeddings of all its pictures;
    `mean_cosine_unrelated` over all pairs of two different reference pictures; for each level,
    `median_distance`: the median `cosine` distance of all pairs of that level, all types
    together. Items: the covariance spectrum, largest share first.
    """

    dataset: ImageQualityDataset

    def start(self, logit_scale: float | None) -> None:
        """See `Evaluator.start`."""
        super().start(logit_scale)
        self._rows = Rows(len(self.dataset.pictures))

    def update(self, view: str, rows: slice, embeddings: Float32Array) -> None:
        """See `Evaluator.update`."""
        check_pictures(embeddings, self.dataset, rows)
        self._rows.put(rows, embeddings)

    def finish(self, earlier: Result | None = None) -> Result:
        """See `Evaluator.finish`."""
        embeddings = self._rows.all()
        scores, items = self._common(unit(embeddings))
        return Result((*scores, *self._median_distances(embeddings)), items)

    def _unrelated(self, units: Float64Array) -> Score:
        references = np.unique(self.dataset.reference)
        value = mean_cosine_between(units[references], np.arange(len(references)))
        flag = "" if value is not None else "one_reference"
        return Score("mean_cosine_unrelated", value, len(references), len(references), flag=flag)

    def _median_distances(self, embeddings: Float32Array) -> Iterator[Score]:
        pairs = self.dataset
        distances = cosine(embeddings[pairs.reference], embeddings[pairs.distorted])
        for level in np.unique(pairs.level[pairs.level >= 0]):
            chosen = pairs.level == level
            value = float(np.median(distances[chosen]))
            undefined = bool(np.isnan(value))
            yield Score(
                "median_distance",
                None if undefined else value,
                int(chosen.sum()),
                len(np.unique(pairs.reference[chosen])),
                flag="zero_norm_embedding" if undefined else "",
                distance="cosine",
                level=float(level),
            )


class ClassDiagnostics(_Diagnostics):
    """Diagnostics of a classification set, over at most `SAMPLE` pictures evenly spaced.

    `logit_scale`; `effective_rank` of their unit embeddings; `mean_cosine_unrelated` over all
    pairs of pictures of different classes; `image_text_gap`: length of the difference between
    the mean unit embedding of the pictures and that of all prompts (Liang et al., NeurIPS 2022,
    "Mind the Gap"). Items: the covariance spectrum, largest share first.
    """

    dataset: ClassificationDataset
    needs: ClassVar[frozenset[str]] = frozenset({"image", "text", "logit_scale"})

    def __init__(self, dataset: ClassificationDataset, pixels: PixelSpec, prompts: Prompts) -> None:
        super().__init__(dataset, pixels)
        self._prompts = prompts
        self._step = -(-len(dataset.pictures) // SAMPLE)
        self._labels = dataset.label_index[:: self._step]

    def prompts(self) -> Sequence[str]:
        """See `Evaluator.prompts`."""
        return self._prompts.texts

    def protocol(self) -> dict[str, Any]:
        """See `Evaluator.protocol`."""
        return super().protocol() | self._prompts.identity | {"sample": SAMPLE}

    def start(self, logit_scale: float | None) -> None:
        """See `Evaluator.start`."""
        super().start(logit_scale)
        self._rows = Rows(len(self._labels))

    def texts(self, embeddings: Float32Array) -> None:
        """See `Evaluator.texts`."""
        check_prompts(embeddings, self._prompts.texts)
        # Class by class: all prompts of ImageNet in float64 would be a third of a gigabyte.
        classes = np.split(embeddings, len(self._prompts.classes))
        self._text_mean = np.mean([unit(prompts).mean(axis=0) for prompts in classes], axis=0)

    def update(self, view: str, rows: slice, embeddings: Float32Array) -> None:
        """See `Evaluator.update`."""
        check_pictures(embeddings, self.dataset, rows)
        first = -rows.start % self._step
        kept = embeddings[first :: self._step]
        at = (rows.start + first) // self._step
        if len(kept):
            self._rows.put(slice(at, at + len(kept)), kept)

    def finish(self, earlier: Result | None = None) -> Result:
        """See `Evaluator.finish`."""
        units = unit(self._rows.all())
        scores, items = self._common(units)
        gap = float(np.linalg.norm(units.mean(axis=0) - self._text_mean))
        score = Score("image_text_gap", gap, len(units), prompts=self._prompts.name)
        return Result((*scores, score), items)

    def _unrelated(self, units: Float64Array) -> Score:
        value = mean_cosine_between(units, self._labels)
        flag = "" if value is not None else "one_class"
        return Score("mean_cosine_unrelated", value, len(units), flag=flag)
