"""Zero-shot accuracies as CLIP_benchmark's JSON, one file per checkpoint and data set.

`clip_benchmark build FOLDER --output benchmark.csv` (LAION-AI/CLIP_benchmark) reads the folder.
Besides its fields there are run, step, epoch, samples seen and ids, which its own files lack.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from fastclip.exports.base import Export, Options, Selection
from fastclip.exports.folder import plain, unique_name, write_folder
from fastclip.files import readable_json
from fastclip.results.protocols import condition
from fastclip.results.record import Record, read_items
from fastclip.results.sightings import Sighting

TASK = "zeroshot_classification"
LANGUAGE = "en"
FEWEST_FOR_ACC5 = 5
"""CLIP_benchmark gives no top-5 accuracy below so many classes."""


def write(selection: Selection, target: Path, options: Options) -> str:
    """One JSON per checkpoint and condition."""
    count = write_folder(target, _files(selection))
    return f"{count} files; read them with: clip_benchmark build {target} --output benchmark.csv"


def mean_per_class_recall(
    labels: npt.NDArray[np.integer], decisions: npt.NDArray[np.integer]
) -> float:
    """Mean over the classes that have pictures of the share decided right; `[N]` each.

    As scikit-learn's `balanced_accuracy_score`, which CLIP_benchmark calls.
    """
    pictures = np.bincount(labels)
    right = np.bincount(labels[labels == decisions], minlength=len(pictures))
    there = pictures > 0
    return float((right[there] / pictures[there]).mean())


def dataset_name(record: Record) -> str:
    """The set's name where pictures are clean, with the condition where they are not."""
    where = condition(record)
    return record.dataset if where == "clean" else f"{record.dataset}-{where}"


def _files(selection: Selection) -> Iterator[tuple[str, bytes]]:
    for m in selection.measured:
        name = dataset_name(m.record)
        parts = (plain(name, kept="_.,@="), unique_name(m.sighting, name), LANGUAGE, f"{TASK}.json")
        metrics = _metrics(selection, m.record)
        yield "_".join(parts), readable_json(_body(m.sighting, m.record, name, metrics))


def _metrics(selection: Selection, record: Record) -> dict[str, float | None]:
    items = read_items(selection.record_file(record), ["label", "decision"])
    values = {score.metric: score.value for score in record.scores}
    enough = record.protocol["classes"] >= FEWEST_FOR_ACC5
    return {
        "acc1": values["acc1"],
        "acc5": values["acc5"] if enough else None,
        "mean_per_class_recall": mean_per_class_recall(items["label"], items["decision"]),
    }


def _body(
    sighting: Sighting, record: Record, dataset: str, metrics: dict[str, float | None]
) -> dict[str, Any]:
    averaged = "" if sighting.weights == "raw" else f" ({sighting.weights})"
    return {
        "dataset": dataset,
        "model": sighting.arch,
        "pretrained": f"{sighting.name}{averaged}",
        "task": TASK,
        "metrics": metrics,
        "language": LANGUAGE,
        "run": sighting.run,
        "step": sighting.step,
        "epoch": sighting.epoch,
        "samples_seen": sighting.samples_seen,
        "checkpoint_id": sighting.checkpoint_id,
        "protocol_id": record.protocol_id,
    }


EXPORT = Export("clip-benchmark", write, task="robustness")
