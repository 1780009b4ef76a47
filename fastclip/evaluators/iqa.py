"""Image quality: how well embedding distances follow human quality scores."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar

from fastclip.evaluators.base import Evaluator, Result, WholeSetEvaluator
from fastclip.evaluators.embeddings import Float32Array, Rows, check_pictures
from fastclip.evaluators.iqa_scores import ERROR, PSNR, Column, ScoredPairs
from fastclip.evaluators.options import TaskOptions
from fastclip.statistics.distances import DISTANCES
from fastclip.stimuli.base import Dataset, ImageQualityDataset, PixelSpec
from fastclip.stimuli.psnr import of_pairs


def build(datasets: Sequence[Dataset], pixels: PixelSpec, options: TaskOptions) -> list[Evaluator]:
    """One evaluator per image-quality set; other sets are passed over."""
    return [
        ImageQuality(dataset, options.iqa_pixels(pixels), options.distances, options.cache_dir)
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

    Intervals are over references: the cluster jackknife ("jackknife-t") of a coefficient, and
    Student's t over the references' coefficients ("t") of a mean.

    The same for `distance` "psnr", RGB PSNR of the whole pictures: the baseline, the same for every
    checkpoint, positive where a higher PSNR goes with better quality. And per distance, pooled,
    `srcc_partial_psnr`: Spearman's partial correlation of distance and score given PSNR, positive
    where the distance is aligned beyond PSNR.

    Where every score's standard error is known, `distance` "human_ceiling", pooled, is what a
    perfect predictor of the true scores would reach (`statistics.ceiling`); no interval.

    NA where undefined, with flag "constant", "fewer_than_2", "zero_norm_embedding", "sizes_differ"
    (no PSNR), "infinite" (`plcc` of the PSNR of equal pictures), "collinear" (nothing is left to
    explain given PSNR) or "unreliable" (the scores' errors explain all their differences).
    """

    task: ClassVar[str] = "iqa"
    revision: ClassVar[int] = 2
    dataset: ImageQualityDataset

    def __init__(
        self,
        dataset: ImageQualityDataset,
        pixels: PixelSpec,
        distances: Sequence[str],
        cache_dir: Path | None = None,
    ) -> None:
        super().__init__(dataset, pixels)
        self._distances = tuple(distances)
        self._cache_dir = cache_dir
        names = [dataset.pictures.name(row) for row in range(len(dataset.pictures))]
        self._facts: dict[str, Column] = {
            "reference": [names[row] for row in dataset.reference],
            "distorted": [names[row] for row in dataset.distorted],
            "type": dataset.type,
            "level": dataset.level,
            "score": dataset.score,
        }
        if len(dataset.score_error):
            self._facts[ERROR] = dataset.score_error
        self._pairs = ScoredPairs(self._facts, higher_is_better=dataset.higher_is_better)

    def protocol(self) -> dict[str, Any]:
        """See `Evaluator.protocol`."""
        return super().protocol() | {
            "distances": list(self._distances),
            "higher_is_better": self.dataset.higher_is_better,
        }

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
        measured[PSNR] = of_pairs(self.dataset, self._cache_dir)
        return Result(self._pairs.scores(measured), {**self._facts, **measured})
