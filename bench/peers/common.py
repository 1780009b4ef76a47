"""What the loops have in common: what they are asked, data sets as people read them, scores."""

from __future__ import annotations

import json
import pickle
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Numbers = dict[str, float | None]
"""Scores of one checkpoint by name, e.g. "iqa cosine srcc" or "robustness noise 0.1 acc1"."""


@dataclass(frozen=True)
class Request:
    """What a loop is asked to measure.

    Attributes:
        checkpoints: open_clip training checkpoints, in order.
        model: open_clip's name of the architecture, or a JSON config.
        tid, cue, cifar: folders in the published layouts; None leaves the task out.
        sigmas: Gaussian noise on [0, 1] beside the clean pictures.
        diagnostics: effective rank and mean cosine of references too (of `tid`).
        precision: "fp32" or "bf16", as open_clip names them.
        workers: of the DataLoader.
    """

    checkpoints: tuple[str, ...]
    model: str
    tid: str | None = None
    cue: str | None = None
    cifar: str | None = None
    sigmas: tuple[float, ...] = (0.1,)
    diagnostics: bool = False
    precision: str = "fp32"
    batch_size: int = 64
    workers: int = 0

    def write(self, path: Path) -> None:
        """As JSON, for a loop in a process of its own."""
        path.write_text(json.dumps(asdict(self)))

    @classmethod
    def read(cls, path: Path) -> Request:
        """What `write` wrote."""
        body = {
            k: tuple(v) if isinstance(v, list) else v
            for k, v in json.loads(path.read_text()).items()
        }
        return cls(**body)


def each(
    request: Request, measure: Callable[[str], Numbers], tell: Callable[[str], None] = print
) -> Iterator[Numbers]:
    """Measure checkpoint after checkpoint; tells when each is done."""
    for path in request.checkpoints:
        began = time.perf_counter()
        yield measure(path)
        tell(f"done {path} in {time.perf_counter() - began:.3f} s")


# -- data sets, as a script reads them ----------------------------------------------------------


@dataclass(frozen=True)
class Quality:
    """TID2013: reference files, and per pair the reference's number, the file and the score."""

    references: list[Path]
    distorted: list[Path]
    reference_of: list[int]
    scores: list[float]


def read_tid(folder: str) -> Quality:
    """Read `mos_with_names.txt`; names differ in upper and lower case."""
    root = Path(folder)
    files = {path.name.lower(): path for path in root.rglob("*.[bB][mM][pP]")}
    rows = [line.split() for line in (root / "mos_with_names.txt").read_text().splitlines()]
    names = [name.lower() for _, name in rows]
    stems = sorted({name[:3] for name in names})
    return Quality(
        [files[f"{stem}.bmp"] for stem in stems],
        [files[name] for name in names],
        [stems.index(name[:3]) for name in names],
        [float(score) for score, _ in rows],
    )


def read_cue(folder: str) -> tuple[list[Path], list[str]]:
    """Files and the class names, which are the folders."""
    root = Path(folder)
    return sorted(root.glob("*/*.png")), sorted(p.name for p in root.iterdir() if p.is_dir())


def read_cifar(folder: str) -> tuple[npt.NDArray[np.uint8], list[int], list[str]]:
    """Pictures `[N, 32, 32, 3]`, labels, class names."""
    batch, meta = (
        {_text(key): value for key, value in content.items()}
        for content in (
            pickle.loads((Path(folder) / name).read_bytes(), encoding="latin1")
            for name in ("test", "meta")
        )
    )
    pictures = np.asarray(batch["data"]).reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1)
    names = [_text(name).replace("_", " ") for name in meta["fine_label_names"]]
    return pictures, list(batch["fine_labels"]), names


def _text(word: str | bytes) -> str:
    return word.decode("latin1") if isinstance(word, bytes) else word


# -- scores -------------------------------------------------------------------------------------


def unit(rows: npt.ArrayLike) -> Floats:
    """Rows `[N, D]` divided by their lengths, float64."""
    rows = np.asarray(rows, dtype=np.float64)
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def correlations(a: npt.ArrayLike, b: npt.ArrayLike, scores: Sequence[float]) -> Numbers:
    """scipy's three correlations of human scores with the distances of embeddings `[N, D]`."""
    from scipy import stats

    a, b = np.asarray(a, dtype=np.float64), np.asarray(b, dtype=np.float64)
    distances = {
        "cosine": 1 - (unit(a) * unit(b)).sum(axis=1),
        "rmse": np.sqrt(((a - b) ** 2).mean(axis=1)),
    }
    kinds = {"srcc": stats.spearmanr, "plcc": stats.pearsonr, "krcc": stats.kendalltau}
    return {
        f"iqa {name} {kind}": -float(correlate(distance, scores).statistic)
        for name, distance in distances.items()
        for kind, correlate in kinds.items()
    }


def shape_bias(decisions: Sequence[str], files: Sequence[Path]) -> Numbers:
    """Shape decisions / (shape + texture decisions), and both / pictures in conflict."""
    shape = texture = conflicts = 0
    for decision, path in zip(decisions, files, strict=True):
        cues = [part.rstrip("0123456789") for part in path.stem.split("-")]
        if cues[0] != cues[1]:
            conflicts += 1
            shape += decision == cues[0]
            texture += decision == cues[1]
    decided = shape + texture
    return {
        "shape-bias shape_bias": shape / decided if decided else None,
        "shape-bias cue_accuracy": decided / conflicts,
    }


def accuracy(similarities: Any, labels: Sequence[int], condition: str) -> Numbers:
    """Top-1 and top-5 of `[N, K]` similarities."""
    order = np.argsort(-np.asarray(similarities), axis=1)[:, :5]
    right = order == np.asarray(labels)[:, None]
    return {
        f"robustness {condition} acc1": float(right[:, 0].mean()),
        f"robustness {condition} acc5": float(right.any(axis=1).mean()),
    }


def diagnostics(references: npt.ArrayLike, pictures: npt.ArrayLike) -> Numbers:
    """Effective rank of all pictures' unit embeddings; mean cosine between references."""
    units = unit(pictures)
    values = np.clip(np.linalg.eigvalsh(np.cov(units.T)), 0, None)
    shares = values[values > 0] / values.sum()
    cosines = unit(references) @ unit(references).T
    between = cosines[~np.eye(len(cosines), dtype=bool)]
    return {
        "diagnostics effective_rank": float(np.exp(-(shares * np.log(shares)).sum())),
        "diagnostics mean_cosine_unrelated": float(between.mean()) if len(between) else None,
    }
