"""Image quality: how well embedding distances follow human quality scores."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from fastclip.evaluators.base import Evaluator, Result, Score, WholeSetEvaluator
from fastclip.evaluators.embeddings import Float32Array, Rows, check_pictures
from fastclip.evaluators.options import TaskOptions
from fastclip.statistics.correlation import CORRELATIONS
from fastclip.statistics.distances import DISTANCES
from fastclip.stimuli.base import Dataset, ImageQualityDataset, PixelSpec

Float64Array = npt.NDArray[np.float64]

ZERO_NORM = "zero_norm_embedding"


def build(datasets: Sequence[Dataset], pixels: PixelSpec, options: TaskOptions) -> list[Evaluator]:
    """One evaluator per image-quality set; other sets are passed over."""
    return [
        ImageQuality(dataset, options.iqa_pixels(pixels), options.distances)
        for dataset in datasets
        if isinstance(dataset, ImageQualityDataset)
    ]


class ImageQuality(WholeSetEvaluator):
    """SRCC, PLCC and KRCC between distance to the reference and human score.

    Positive means aligned: the sign is turned where a higher score is better. Three families of
    rows per distance:

    - `subset` "pooled": over all pairs, the headline;
    - `distortion` a type's name: over the pairs of that type;
    - `subset` "within-reference": the plain mean of the coefficients of each reference's own
      pairs. References without a coefficient are left out; `n_units` counts those that are in.

    NA where undefined, with flag "constant", "fewer_than_2" or "zero_norm_embedding".
    """

    task: ClassVar[str] = "iqa"
    revision: ClassVar[int] = 1
    dataset: ImageQualityDataset

    def __init__(
        self, dataset: ImageQualityDataset, pixels: PixelSpec, distances: Sequence[str]
    ) -> None:
        super().__init__(dataset, pixels)
        self._distances = tuple(distances)
        self._types = np.array(dataset.type)
        self._sign = -1 if dataset.higher_is_better else 1
        names = [dataset.pictures.name(row) for row in range(len(dataset.pictures))]
        self._items: dict[str, npt.NDArray[Any] | Sequence[str]] = {
            "reference": [names[row] for row in dataset.reference],
            "distorted": [names[row] for row in dataset.distorted],
            "type": dataset.type,
            "level": dataset.level,
            "score": dataset.score,
        }

    def protocol(self) -> dict[str, Any]:
        """See `Evaluator.protocol`."""
        return super().protocol() | {"distances": list(self._distances)}

    def start(self, logit_scale: float | None) -> None:
        """See `Evaluator.start`."""
        self._rows = Rows(len(self.dataset.pictures))

    def update(self, view: str, rows: slice, embeddings: Float32Array) -> None:
        """See `Evaluator.update`."""
        check_pictures(embeddings, self.dataset, rows)
        self._rows.put(rows, embeddings)

    def finish(self, earlier: Result | None = None) -> Result:
        """See `Evaluator.finish`; items are one row per pair, with every distance."""
        embeddings = self._rows.all()
        first, second = embeddings[self.dataset.reference], embeddings[self.dataset.distorted]
        measured = {name: DISTANCES[name](first, second) for name in self._distances}
        scores = [
            score
            for name, distances in measured.items()
            for score in (
                *self._over_pairs(name, distances, slice(None), subset="pooled"),
                *self._per_type(name, distances),
                *self._within_reference(name, distances),
            )
        ]
        return Result(tuple(scores), {**self._items, **measured})

    def _per_type(self, name: str, distances: Float64Array) -> Iterator[Score]:
        for kind in np.unique(self._types[self._types != ""]):
            pairs = np.flatnonzero(self._types == kind)
            yield from self._over_pairs(name, distances, pairs, distortion=str(kind))

    def _over_pairs(
        self,
        name: str,
        distances: Float64Array,
        pairs: slice | npt.NDArray[np.int64],
        *,
        subset: str | None = None,
        distortion: str | None = None,
    ) -> Iterator[Score]:
        units = len(np.unique(self.dataset.reference[pairs]))
        for metric in CORRELATIONS:
            value, reason = self._correlate(metric, distances[pairs], self.dataset.score[pairs])
            n = len(distances[pairs])
            yield Score(
                metric,
                value,
                n,
                units,
                flag=reason,
                subset=subset,
                distance=name,
                distortion=distortion,
            )

    def _within_reference(self, name: str, distances: Float64Array) -> Iterator[Score]:
        references = self.dataset.reference
        groups = [np.flatnonzero(references == row) for row in np.unique(references)]
        for metric in CORRELATIONS:
            found = [self._correlate(metric, distances[g], self.dataset.score[g]) for g in groups]
            defined = [
                (v, len(g)) for (v, _), g in zip(found, groups, strict=True) if v is not None
            ]
            left_out = sorted({reason for value, reason in found if value is None})
            yield Score(
                metric,
                float(np.mean([v for v, _ in defined])) if defined else None,
                sum(n for _, n in defined),
                len(defined),
                flag=_left_out(len(found) - len(defined), left_out),
                subset="within-reference",
                distance=name,
            )

    def _correlate(
        self, metric: str, distances: Float64Array, scores: Float64Array
    ) -> tuple[float | None, str]:
        if np.isnan(distances).any():
            return None, ZERO_NORM
        found = CORRELATIONS[metric](distances, scores)
        return None if found.value is None else self._sign * found.value, found.reason


def _left_out(count: int, reasons: Sequence[str]) -> str:
    return f"{'+'.join(reasons)} in {count} references" if count else ""
