"""An evaluator owns its pictures and prompts, is handed embeddings, and yields scores."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from fastclip.distortions.base import Distortion
from fastclip.statistics.intervals.base import Interval
from fastclip.stimuli.base import Dataset, PixelSpec


@dataclass(frozen=True)
class ViewRequest:
    """A set of pictures as the model shall see them; equal requests are encoded once.

    Attributes:
        dataset: whose `pictures` are wanted, all of them, in order.
        pixels: the input size and resize mode (an evaluator may override the checkpoint's).
        distortion: None for the clean view.
        noise_at: "native" (before resizing) or "input" (after); "" when clean.
    """

    dataset: Dataset
    pixels: PixelSpec
    distortion: Distortion | None = None
    noise_at: str = ""


@dataclass(frozen=True)
class Score:
    """One number with the factors that tell it from its siblings; one row of the table.

    `value` None is NA and needs a `flag` that says why ("clean_at_chance", "constant").
    Factors that do not apply stay None. `n` counts pictures or pairs, `n_units` the
    independent units behind them (reference pictures, exemplars, pictures). `ci_low` and
    `ci_high` bound the value at 95 %, by `ci_method`; None where there is no interval.
    """

    metric: str
    value: float | None
    n: int
    n_units: int | None = None
    flag: str = ""
    ci_low: float | None = None
    ci_high: float | None = None
    ci_method: str | None = None
    subset: str | None = None
    distance: str | None = None
    layer: str | None = None
    distortion: str | None = None
    level: float | None = None
    noise_at: str | None = None
    noise_seed: int | None = None
    prompts: str | None = None
    category: str | None = None


def interval_columns(interval: Interval) -> dict[str, Any]:
    """The fields of a `Score` that an interval fills."""
    return {
        "n_units": interval.units,
        "ci_low": interval.low,
        "ci_high": interval.high,
        "ci_method": interval.method or None,
    }


@dataclass(frozen=True)
class Result:
    """What one evaluator found for one checkpoint.

    Attributes:
        scores: in a fixed order.
        items: per-picture (or per-pair) columns of equal length, for the Parquet file: numpy
            arrays of numbers, or arrays/lists of str.
    """

    scores: tuple[Score, ...]
    items: Mapping[str, npt.NDArray[Any] | Sequence[str]]


class Evaluator(ABC):
    """One protocol of one task on one data set: what one record holds.

    Instances live for the whole sweep of one preprocessing; per checkpoint the sweep calls
    `start`, then `texts` (if it has prompts), `update` for each view, then `finish`.
    """

    task: ClassVar[str]
    revision: ClassVar[int]
    """Raised when the same inputs would give other numbers; part of the protocol id."""

    needs: ClassVar[frozenset[str]] = frozenset({"image"})
    """Which outputs: "image", "text", "logit_scale"."""

    dataset: Dataset

    @abstractmethod
    def views(self) -> Mapping[str, ViewRequest]:
        """The views it wants, by its own names for them."""

    def prompts(self) -> Sequence[str]:
        """All prompts, in its own order; the sweep encodes each distinct prompt once."""
        return ()

    @abstractmethod
    def protocol(self) -> dict[str, Any]:
        """Everything the numbers depend on besides weights and precision, as JSON values:
        labels digest, pixel spec, distortion, prompts, distances, revision. Pictures' digest,
        mean and std, and pixel definition are added by the sweep.
        """

    def after(self) -> Evaluator | None:
        """The evaluator whose scores `finish` needs (clean accuracy for a drop), or None."""
        return None

    @abstractmethod
    def start(self, logit_scale: float | None) -> None:
        """Forget the last checkpoint. `logit_scale` is exp'd, None where the model has none."""

    def texts(self, embeddings: npt.NDArray[np.float32]) -> None:  # noqa: B027
        """Raw text embeddings `[len(prompts()), D]`, one per prompt, in `prompts()` order."""

    @abstractmethod
    def update(self, view: str, rows: slice, embeddings: npt.NDArray[np.float32]) -> None:
        """Raw picture embeddings `[rows, D]` of these rows of the view; rows come in order."""

    @abstractmethod
    def finish(self, earlier: Result | None = None) -> Result:
        """Score the checkpoint. `earlier` is what `after()` found, its items from the file where
        it was measured in an earlier visit.
        """


class WholeSetEvaluator(Evaluator):
    """An evaluator that looks at all pictures of its set in one clean view, called "pictures"."""

    def __init__(self, dataset: Dataset, pixels: PixelSpec) -> None:
        self.dataset = dataset
        self._pixels = pixels

    def views(self) -> Mapping[str, ViewRequest]:
        """One: all pictures, clean."""
        return {"pictures": ViewRequest(self.dataset, self._pixels)}

    def protocol(self) -> dict[str, Any]:
        """See `Evaluator.protocol`."""
        return {
            "task": self.task,
            "revision": self.revision,
            "labels": self.dataset.labels_digest,
            "pixels": asdict(self._pixels),
        }
