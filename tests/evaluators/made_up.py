"""Data sets without pictures and embeddings without a model, for testing evaluators."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from fastclip.evaluators.base import Evaluator, Result, Score
from fastclip.stimuli.base import (
    ClassificationDataset,
    CueConflictDataset,
    DatasetInfo,
    ImageQualityDataset,
    PictureSource,
    PixelSpec,
)

PIXELS = PixelSpec(32, 32)
INFO = DatasetInfo("made-up", "Made up", "", "", "", "")


class Named(PictureSource):
    """Names without files: a picture is some noise that its name gives."""

    def __init__(self, names: Sequence[str]) -> None:
        self._names = names

    def __len__(self) -> int:
        return len(self._names)

    def name(self, row: int) -> str:
        return self._names[row]

    def stat(self, row: int) -> tuple[str, int, int]:
        return self._names[row], 0, 0

    def encoded(self, row: int) -> bytes:
        return self._names[row].encode()

    def decode(self, row: int, encoded: bytes) -> np.ndarray:
        return np.random.default_rng(list(encoded)).integers(0, 256, (4, 4, 3), np.uint8)


def _common(names: Sequence[str]) -> dict:
    return {
        "name": "made-up",
        "kind": "made-up",
        "info": INFO,
        "pictures": Named(names),
        "found": len(names),
        "expected": len(names),
        "labels_digest": "0",
    }


def pairs(
    references: int = 4, types: int = 3, levels: int = 5, seed: int = 0, higher: bool = True
) -> ImageQualityDataset:
    """Every reference in every type at every level, scores at random; references come last."""
    count = types * levels
    rows = [(r, t, lv) for r in range(references) for t in range(types) for lv in range(levels)]
    distorted = [f"i{r}_{t}_{lv}" for r, t, lv in rows]
    return ImageQualityDataset(
        **_common([*distorted, *(f"i{r}" for r in range(references))]),
        reference=np.repeat(np.arange(references), count) + len(rows),
        distorted=np.arange(len(rows)),
        score=np.random.default_rng(seed).uniform(0, 9, len(rows)).round(1),
        type=tuple(f"type_{t:02d}" for _, t, _ in rows),
        level=np.array([lv + 1 for _, _, lv in rows]),
        higher_is_better=higher,
    )


def cues(classes: int = 16, per_pair: int = 1) -> CueConflictDataset:
    """Every (shape, texture) pair `per_pair` times."""
    rows = [(s, t, n) for s in range(classes) for t in range(classes) for n in range(per_pair)]
    return CueConflictDataset(
        **_common([f"c{s:02d}{n}-c{t:02d}{n}" for s, t, n in rows]),
        classes=tuple(f"c{k:02d}" for k in range(classes)),
        shape=np.array([s for s, _, _ in rows]),
        texture=np.array([t for _, t, _ in rows]),
        shape_exemplar=tuple(f"c{s:02d}{n}" for s, _, n in rows),
        texture_exemplar=tuple(f"c{t:02d}{n}" for _, t, n in rows),
    )


def labelled(labels: np.ndarray, classes: int) -> ClassificationDataset:
    """Pictures with these labels."""
    names = tuple(f"the_{k}" for k in range(classes))
    return ClassificationDataset(
        **_common([f"{row:05d}" for row in range(len(labels))]),
        label_index=np.asarray(labels, np.int64),
        class_names={"dataset": names, "openai": tuple(n.replace("_", " ") for n in names)},
        templates=("a photo of {}.", "{} seen from afar.", "a bad {}."),
        templates_name="three",
        noise_at="native",
    )


def run(
    evaluator: Evaluator,
    pictures: np.ndarray,
    texts: np.ndarray | None = None,
    chunks: Sequence[int] = (),
    logit_scale: float | None = 14.3,
    earlier: Result | None = None,
) -> Result:
    """One checkpoint: raw embeddings in, in these chunk sizes (then the rest at once).

    The chunks go through one buffer that is overwritten, as an engine's may be.
    """
    evaluator.start(logit_scale)
    if evaluator.prompts():
        assert texts is not None and len(texts) == len(evaluator.prompts())
        evaluator.texts(texts.astype(np.float32))
    (view,) = evaluator.views()
    low = 0
    for size in (*chunks, len(pictures) - sum(chunks)):
        buffer = pictures[low : low + size].astype(np.float32)
        evaluator.update(view, slice(low, low + len(buffer)), buffer)
        buffer[:] = np.nan
        low += size
    return evaluator.finish(earlier)


def one(result: Result, metric: str, **factors: object) -> Score:
    """The one score with this metric and exactly these factors of subset, category and so on."""
    wanted = {"subset": None, "category": None, "distance": None} | factors
    (score,) = (
        score
        for score in result.scores
        if score.metric == metric and all(getattr(score, k) == v for k, v in wanted.items())
    )
    return score


def assert_same(left: Result, right: Result) -> None:
    """Bit-equal scores and items."""
    assert left.scores == right.scores
    assert left.items.keys() == right.items.keys()
    for name in left.items:
        np.testing.assert_array_equal(left.items[name], right.items[name], err_msg=name)
