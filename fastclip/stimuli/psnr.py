"""Peak signal-to-noise ratio of a set's pairs: the baseline that knows nothing of pictures.

Over whole decoded pictures, not over what a model sees of them; so it is the same for every
checkpoint and computed once per set, then kept in the cache.
"""

from __future__ import annotations

import math
import weakref
from pathlib import Path

import numpy as np

from fastclip.errors import RefusalError
from fastclip.files import atomic_path, digest_of
from fastclip.machine import usable_cores
from fastclip.stimuli.base import Float64Array, ImageQualityDataset, Int64Array, UInt8Array
from fastclip.stimuli.cache import cache_folder
from fastclip.stimuli.manifest import in_order, read_manifest

DEFINITION = "rgb/255/1"
"""Identity of what is computed, part of its file's name."""
THREADS = 4
"""At most: it runs beside the engine."""

_known: weakref.WeakKeyDictionary[ImageQualityDataset, Float64Array] = weakref.WeakKeyDictionary()


def peak_signal_to_noise(a: UInt8Array, b: UInt8Array) -> float:
    """10 log10(255² / MSE) in dB over all pixels and channels; inf for equal pictures, NaN for
    pictures of different size."""
    if a.shape != b.shape:
        return math.nan
    difference = a.astype(np.int16) - b
    error = float(np.square(difference, dtype=np.int32).mean(dtype=np.float64))
    return 10 * math.log10(255**2 / error) if error else math.inf


def of_pairs(dataset: ImageQualityDataset, cache_dir: Path | None = None) -> Float64Array:
    """RGB PSNR of each pair in dB, `[P]`; inf for equal pictures, NaN where sizes differ.

    Decodes every picture of the set unless that was done before, by this process or another.

    Args:
        dataset: the set; asked again for the same object, nothing is read.
        cache_dir: the cache folder; None for the default one.

    Raises:
        DataError: a picture cannot be read or decoded.
        RefusalError: the cache cannot be written.
    """
    if dataset not in _known:
        _known[dataset] = _from_cache(dataset, cache_folder(cache_dir))
    return _known[dataset]


def _from_cache(dataset: ImageQualityDataset, folder: Path) -> Float64Array:
    threads = min(THREADS, usable_cores())
    try:
        pictures = read_manifest(dataset.pictures, folder, threads).digest
        pairs = [dataset.reference.tolist(), dataset.distorted.tolist()]
        path = folder / "psnr" / f"{digest_of([DEFINITION, pictures, pairs])}.npy"
        if (kept := _read(path, len(dataset.score))) is not None:
            return kept
        values = _compute(dataset, threads)
        with atomic_path(path) as temporary, temporary.open("wb") as file:
            np.save(file, values)
        return values
    except OSError as error:
        raise RefusalError(
            f"cannot keep the PSNR of {dataset.label}: {error.strerror or error}",
            where=folder,
            mend="free some space, or name another folder with --cache-dir",
        ) from error


def _read(path: Path, rows: int) -> Float64Array | None:
    try:
        values: Float64Array = np.load(path, allow_pickle=False)
    except (OSError, ValueError, EOFError):  # none yet, or not ours: made anew
        return None
    return values if values.shape == (rows,) and values.dtype == np.float64 else None


def _compute(dataset: ImageQualityDataset, threads: int) -> Float64Array:
    source = dataset.pictures
    values = np.empty(len(dataset.score))

    def of_reference(pairs: Int64Array) -> None:
        row = int(dataset.reference[pairs[0]])
        original = source.decode(row, source.encoded(row))
        for pair in pairs:
            row = int(dataset.distorted[pair])
            values[pair] = peak_signal_to_noise(original, source.decode(row, source.encoded(row)))

    groups = [np.flatnonzero(dataset.reference == row) for row in np.unique(dataset.reference)]
    for _ in in_order(of_reference, groups, threads):
        pass
    return values
