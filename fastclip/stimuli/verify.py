"""Is a data set what it says it is? Every picture is decoded; known facts are compared."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from hashlib import blake2b
from pathlib import Path

import numpy as np

from fastclip.errors import DataError
from fastclip.files import digest_of
from fastclip.stimuli.base import (
    ClassificationDataset,
    CueConflictDataset,
    Dataset,
    Float64Array,
    ImageQualityDataset,
    UInt8Array,
)
from fastclip.stimuli.psnr import peak_signal_to_noise
from fastclip.stimuli.sources import ArrayPictures, counted, some

PSNR = {"tid2013": (0.6869, 0.4958), "kadid10k": (0.6757, 0.4876)}
"""SRCC and KRCC of RGB PSNR on the real files, pooled, as IQA-PyTorch and piq publish them."""

PSNR_TOLERANCE = 5e-4

CIFAR_MD5 = {
    "test": "f0ef6b0ae62326f3e7ffdfab6717acfc",
    "train": "16019d7e3df5f24257cddd939b257f8d",
    "cifar-100-python.tar.gz": "eb9058c3a382ffc7106e4002c42a8d85",
}
"""As published on https://www.cs.toronto.edu/~kriz/cifar.html and in torchvision."""

CHUNK = 128


@dataclass(frozen=True)
class Check:
    """One fact that was compared; `passed` is None where there is nothing to compare with."""

    passed: bool | None
    text: str


@dataclass(frozen=True)
class Report:
    """What was found.

    Attributes:
        label: the set's label, with `[found/expected]` when incomplete.
        lines: what the set holds, one fact a line.
        digest: BLAKE2b hex of the pictures' names and encoded bytes, in order; the one that a
            sweep writes to its `env.json`.
        labels_digest: of everything but the pixels.
        checks: every comparison made.
    """

    label: str
    lines: tuple[str, ...]
    digest: str
    labels_digest: str
    checks: tuple[Check, ...]

    @property
    def passed(self) -> bool:
        return all(check.passed is not False for check in self.checks)


@dataclass
class _Seen:
    """What decoding every picture has shown; keyed by row."""

    digests: dict[int, str] = field(default_factory=dict)
    sizes: dict[int, tuple[int, int]] = field(default_factory=dict)
    bad: dict[int, str] = field(default_factory=dict)


def verify(dataset: Dataset, workers: int = 2) -> Report:
    """Decode every picture and compare the set with what is known about it.

    Args:
        dataset: as loaded, complete or not.
        workers: threads that read and decode.

    Raises:
        DataError: a file that was there a moment ago cannot be read.
    """
    seen = _Seen()
    checks: list[Check] = []
    with ThreadPoolExecutor(max_workers=workers) as pool:
        if isinstance(dataset, ImageQualityDataset):
            psnr = _decode_pairs(dataset, seen, pool)
            checks += _psnr_checks(dataset, psnr)
        else:
            for _ in _decode(dataset, range(len(dataset.pictures)), seen, pool):
                pass
    if isinstance(dataset, CueConflictDataset):
        checks += _cue_conflict_checks(dataset)
    if dataset.kind == "cifar100" and isinstance(dataset.pictures, ArrayPictures):
        checks += _cifar_checks(dataset, dataset.pictures.path)
    rows = range(len(dataset.pictures))
    return Report(
        label=dataset.label,
        lines=_lines(dataset, seen),
        digest=digest_of(
            [[dataset.pictures.name(r) for r in rows], [seen.digests[r] for r in rows]]
        ),
        labels_digest=dataset.labels_digest,
        checks=(_decoding_check(dataset, seen), _complete_check(dataset), *checks),
    )


def _decode(
    dataset: Dataset, rows: Sequence[int], seen: _Seen, pool: ThreadPoolExecutor
) -> Iterator[tuple[int, UInt8Array | None]]:
    """Yield (row, picture) in order; None where it cannot be decoded."""

    def read(row: int) -> tuple[str, UInt8Array | None, str]:
        encoded = dataset.pictures.encoded(row)
        digest = blake2b(encoded, digest_size=32).hexdigest()
        try:
            return digest, dataset.pictures.decode(row, encoded), ""
        except DataError as error:
            return digest, None, error.what

    for start in range(0, len(rows), CHUNK):
        chunk = rows[start : start + CHUNK]
        for row, (digest, picture, problem) in zip(chunk, pool.map(read, chunk), strict=True):
            seen.digests[row] = digest
            if picture is None:
                seen.bad[row] = problem
            else:
                seen.sizes[row] = (picture.shape[1], picture.shape[0])
            yield row, picture


def _decode_pairs(
    dataset: ImageQualityDataset, seen: _Seen, pool: ThreadPoolExecutor
) -> Float64Array:
    """PSNR of each pair in dB, `[P]`; NaN where one picture is bad or their sizes differ."""
    psnr = np.full(len(dataset.score), np.nan)
    for reference in dict.fromkeys(dataset.reference.tolist()):
        ((_, original),) = _decode(dataset, [reference], seen, pool)
        pairs = np.flatnonzero(dataset.reference == reference)
        decoded = _decode(dataset, dataset.distorted[pairs].tolist(), seen, pool)
        for pair, (_, distorted) in zip(pairs, decoded, strict=True):
            if original is not None and distorted is not None:
                psnr[pair] = peak_signal_to_noise(original, distorted)
    return psnr


def _psnr_checks(dataset: ImageQualityDataset, psnr: Float64Array) -> list[Check]:
    from scipy.stats import kendalltau, spearmanr

    usable = ~np.isnan(psnr)
    checks = []
    if not usable.all():
        checks.append(
            Check(False, f"{counted(int(np.sum(~usable)), 'pair')} cannot be compared: a picture "
                  "is bad, or reference and distorted differ in size")
        )  # fmt: skip
    if np.unique(psnr[usable]).size < 2:
        return [*checks, Check(None, "PSNR: too few pairs to correlate")]
    score = dataset.score[usable] * (1 if dataset.higher_is_better else -1)
    srcc = float(spearmanr(psnr[usable], score).statistic)
    krcc = float(kendalltau(psnr[usable], score).statistic)
    text = f"RGB PSNR with the scores, pooled: SRCC {srcc:.4f}, KRCC {krcc:.4f}"
    if dataset.name in PSNR and dataset.complete:
        known_srcc, known_krcc = PSNR[dataset.name]
        close = abs(srcc - known_srcc) < PSNR_TOLERANCE and abs(krcc - known_krcc) < PSNR_TOLERANCE
        return [*checks, Check(close, f"{text}; published {known_srcc:.4f}, {known_krcc:.4f}")]
    return [*checks, Check(None, text)]


def _cue_conflict_checks(dataset: CueConflictDataset) -> list[Check]:
    shapes = np.bincount(dataset.shape, minlength=len(dataset.classes))
    textures = np.bincount(dataset.texture, minlength=len(dataset.classes))
    same = int(np.sum(dataset.shape == dataset.texture))
    text = (
        f"{len(dataset.classes)} classes, {_span(shapes)} pictures for each shape, "
        f"{_span(textures)} for each texture, {same} of {len(dataset.shape)} not in conflict"
    )
    if dataset.name != "cue-conflict" or not dataset.complete:
        return [Check(None, text)]
    as_published = bool((shapes == 80).all() and (textures == 80).all() and same == 80)
    return [Check(as_published, f"{text}; published 80, 80 and 80")]


def _cifar_checks(dataset: Dataset, path: Path) -> list[Check]:
    """MD5 of the files of the published archive that are there."""
    checks = []
    for name, known in CIFAR_MD5.items():
        file = path.parent.parent / name if name.endswith(".gz") else path.parent / name
        if not file.is_file():
            continue
        with file.open("rb") as opened:
            found = hashlib.file_digest(opened, "md5").hexdigest()
        if dataset.name == "cifar100":
            wrong = False if dataset.complete else None  # a cut set is known to be another file
            text = f"MD5 of {name} {found}; published {known}"
            checks.append(Check(True if found == known else wrong, text))
        else:
            checks.append(Check(None, f"MD5 of {name} {found}"))
    return checks


def _decoding_check(dataset: Dataset, seen: _Seen) -> Check:
    if not seen.bad:
        return Check(True, f"all {counted(len(dataset.pictures), 'picture')} can be decoded")
    named = some(f"{dataset.pictures.name(row)} ({seen.bad[row]})" for row in sorted(seen.bad))
    return Check(False, f"{counted(len(seen.bad), 'picture')} cannot be decoded: {named}")


def _complete_check(dataset: Dataset) -> Check:
    if dataset.complete:
        return Check(True, f"complete: {dataset.found} of {dataset.expected} rows")
    return Check(None, f"incomplete: {dataset.found} of {dataset.expected} rows")


def _lines(dataset: Dataset, seen: _Seen) -> tuple[str, ...]:
    sizes = Counter(seen.sizes.values()).most_common()
    copies = len(seen.digests) - len(set(seen.digests.values()))
    lines = [
        f"{dataset.info.title}",
        f"source: {dataset.info.source}; licence: {dataset.info.licence}",
        f"{counted(len(dataset.pictures), 'picture')}, width x height: "
        + some((f"{w}x{h} ({count})" for (w, h), count in sizes), 4),
    ]
    if copies:
        lines.append(f"{counted(copies, 'picture')} with the same bytes as another")
    if isinstance(dataset, ImageQualityDataset):
        better = "higher" if dataset.higher_is_better else "lower"
        lines.append(
            f"{counted(len(dataset.score), 'pair')} of {len(set(dataset.reference.tolist()))} "
            f"references, {len(set(dataset.type))} distortion types; scores "
            f"{dataset.score.min():g} to {dataset.score.max():g}, mean {dataset.score.mean():.4f}, "
            f"{better} is better"
        )
    if isinstance(dataset, ClassificationDataset):
        counts = np.bincount(dataset.label_index)
        lines.append(
            f"{int(np.sum(counts > 0))} of {len(dataset.class_names['dataset'])} classes, "
            f"{_span(counts[counts > 0])} pictures each"
        )
    return (*lines, *(f"note: {note}" for note in dataset.notes))


def _span(counts: np.ndarray[tuple[int], np.dtype[np.int64]]) -> str:
    low, high = int(counts.min()), int(counts.max())
    return str(low) if low == high else f"{low} to {high}"
