"""Output folders with curves whose truth is known, written as a sweep writes them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from fastclip.evaluators.base import Result, Score
from fastclip.files import write_json
from fastclip.results.record import Record, record_path, write_items, write_record
from fastclip.results.sightings import Sighting

PRIMARY = {
    "iqa": {"metric": "srcc", "factors": {"subset": "pooled", "distance": "cosine"}},
    "shape-bias": {"metric": "shape_bias", "factors": {"category": None}},
    "robustness": {
        "metric": "drop_rel_chance",
        "factors": {"distortion": "gaussian_noise", "level": 0.1, "noise_seed": 0},
    },
}
CLASSES = tuple(f"class{k}" for k in range(8))
REFERENCES, PAIRS, PICTURES = 20, 400, 1000

Floats = Sequence[float]


class MadeSweep:
    """An output folder that is filled curve by curve; same seed, same bytes."""

    def __init__(self, out: Path, *, primary: Any = PRIMARY, precision: str = "fp32") -> None:
        self.out, self.precision, self.revision = out, precision, 2
        config = {
            "engine": "onnxruntime", "precision": precision, "threads": 1, "image_batch": 8,
            "options": {}, "fastclip_version": "0", "device": "cpu", "trials": [],
            "primary": primary,
        }  # fmt: skip
        write_json(out / "config.json", config)
        write_json(out / "env.json", {"versions": {}, "datasets": {}})

    def checkpoints(
        self, count: int, run: str = "run", *, offset: int = 0, steps: bool = True
    ) -> list[str]:
        """Sightings of `count` checkpoints, doubling samples seen; returns their ids."""
        ids = []
        for t in range(count):
            cid = f"{offset + t:016x}"
            place = (10 * (t + 1), t + 1, 640 * 2**t) if steps else (None, None, None)
            name = f"{run}/epoch_{t + 1}.pt"
            sighting = Sighting(
                name, run, f"/{name}", "raw", f"stamp{cid}", "request", cid, "digest", "needed",
                "ViT-B-32", "archdigest", "given", (), {}, {}, *place,
                canary={"image_relative_l2": 3e-7},
            )  # fmt: skip
            write_json(self.out / "checkpoints" / f"{cid}.json", asdict(sighting))
            ids.append(cid)
        return ids

    def image_quality(
        self,
        ids: Sequence[str],
        signal: Floats,
        *,
        seed: int = 0,
        dataset: str = "tid2013",
        references: int = REFERENCES,
        **protocol: Any,
    ) -> None:
        """Distances that follow scores the closer, the larger `signal` is."""
        rng = np.random.default_rng(seed)
        reference = np.repeat(np.arange(references), PAIRS // references)
        score = rng.normal(5, 1, PAIRS)
        own = rng.normal(0, 0.3, references)[reference]
        noise, psnr = rng.normal(0, 1, PAIRS), 30 + 2 * score + rng.normal(0, 3, PAIRS)
        names = [f"i{row:02d}" for row in reference]
        for cid, weight in zip(ids, signal, strict=True):
            distance = own - weight * score + noise + rng.normal(0, 0.05, PAIRS)
            value = _spearman(-distance, score)
            pooled = {"subset": "pooled", "distance": "cosine"}
            psnr_value = _spearman(psnr, score)
            scores = [
                Score(
                    "srcc", value, PAIRS, REFERENCES, "", value - 0.1, value + 0.1, "t", **pooled
                ),
                Score("srcc", psnr_value, PAIRS, references, subset="pooled", distance="psnr"),
            ]
            items = {
                "reference": names,
                "type": ["blur" if row % 2 else "noise" for row in range(PAIRS)],
                "score": score,
                "psnr": psnr,
                "cosine": distance,
            }
            self._write(cid, "iqa", dataset, scores, items, higher_is_better=True, **protocol)

    def shape_bias(self, ids: Sequence[str], cue: Floats, bias: Floats, seed: int = 0) -> None:
        """Cue accuracy and shape bias near these values, over 8 classes, 5 exemplars of each."""
        rng = np.random.default_rng(seed)
        shape, texture = (np.repeat(np.arange(8), 40), np.tile(np.arange(8), 40))
        exemplar = [np.char.add(f"{kind}", [f"{k}-{rng.integers(5)}" for k in of]) for kind, of in
                    (("s", shape), ("t", texture))]  # fmt: skip
        conflict = shape != texture
        picks, sides = rng.random(len(shape)), rng.random(len(shape))
        for cid, accuracy, share in zip(ids, cue, bias, strict=True):
            is_shape = (picks < accuracy) & (sides < share)
            is_texture = (picks < accuracy) & ~(sides < share)
            s, t = int(is_shape[conflict].sum()), int(is_texture[conflict].sum())
            n = int(conflict.sum())
            flag = "at_chance" if (s + t) / n <= 2 / 8 else ""
            scores = [
                Score("shape_bias", s / (s + t), n, 40, flag),
                Score("cue_accuracy", (s + t) / n, n, 40, flag),
            ]
            items = {
                "picture": [f"p{row}" for row in range(len(shape))],
                "shape_exemplar": exemplar[0],
                "texture_exemplar": exemplar[1],
                "is_shape": is_shape,
                "is_texture": is_texture,
                "conflict": conflict,
            }
            self._write(cid, "shape-bias", "cue-conflict", scores, items, classes=8)

    def robustness(self, ids: Sequence[str], clean: Floats, noisy: Floats, seed: int = 0) -> None:
        """Clean and noisy accuracy near these values, 10 classes."""
        rng = np.random.default_rng(seed)
        easy, label = rng.random(PICTURES), rng.integers(0, 10, PICTURES)
        for cid, first, second in zip(ids, clean, noisy, strict=True):
            before = self._accuracy(cid, easy < first, label, None, None)
            self._accuracy(
                cid, easy < second, label, {"kind": "gaussian_noise", "level": 0.1}, before
            )

    def _accuracy(
        self,
        cid: str,
        right: npt.NDArray[np.bool_],
        label: npt.NDArray[np.int64],
        distortion: dict[str, Any] | None,
        clean: float | None,
    ) -> float:
        accuracy = float(right.mean())
        factors: dict[str, Any] = {"distortion": "none"}
        if distortion is not None:
            factors = {"distortion": distortion["kind"], "level": distortion["level"],
                       "noise_at": "native", "noise_seed": 0}  # fmt: skip
        scores = [Score("acc1", accuracy, PICTURES, PICTURES, **factors)]
        if clean is not None:
            low = clean <= 0.1
            drop = None if low else (clean - accuracy) / (clean - 0.1)
            flag = "clean_at_chance" if low else ""
            scores.append(Score("drop_rel_chance", drop, PICTURES, PICTURES, flag, **factors))
        items = {"label": label, "decision": np.where(right, label, (label + 1) % 10)}
        place = {} if distortion is None else {"noise_at": "native"}
        self._write(
            cid, "robustness", "cifar100", scores, items,
            classes=10, distortion=distortion, **place,
        )  # fmt: skip
        return accuracy

    def _write(
        self, cid: str, task: str, dataset: str, scores: list[Score], items: Any, **protocol: Any
    ) -> None:
        body = {
            "task": task, "dataset": dataset, "revision": self.revision, "engine": "onnxruntime",
            "precision": self.precision, "pixels": {"height": 224, "width": 224}, **protocol,
        }  # fmt: skip
        from fastclip.results.identity import protocol_family, protocol_id

        name = protocol_id(body)
        path = record_path(self.out, cid, task, name)
        path.parent.mkdir(parents=True, exist_ok=True)
        digest = write_items(path.with_suffix(".items.parquet"), Result(tuple(scores), items))
        record = Record(
            cid, "ViT-B-32", task, dataset, "", name, protocol_family(body), body, "onnxruntime",
            self.precision, tuple(scores), path.with_suffix(".items.parquet").name, digest,
            {"read": 0.1}, 1.0, "0",
        )  # fmt: skip
        write_record(self.out, record)


def _spearman(x: npt.ArrayLike, y: npt.ArrayLike) -> float:
    from scipy.stats import spearmanr

    return float(spearmanr(x, y).statistic)
