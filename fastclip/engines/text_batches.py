"""Prompts in batches of equal length: most are far shorter than the context."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from fastclip.engines.base import Engine

Int64Array = npt.NDArray[np.int64]

LENGTHS = (8, 12, 16, 24, 32)
"""Lengths of the buckets in tokens; the last bucket is the full context."""


@dataclass(frozen=True)
class TextBatch:
    """Distinct prompts cut to one length.

    Attributes:
        ids: token ids, int64 `[b, length]`, distinct rows.
        eot: end-of-text positions, int64 `[b]`.
        rows: prompts (in the caller's order) that this batch answers, int64 `[m]`, `m >= b`.
        source: `[m]`, the row of `ids` that answers each of `rows`.
    """

    ids: Int64Array
    eot: Int64Array
    rows: Int64Array
    source: Int64Array


def plan_text_batches(
    ids: Int64Array, eot: Int64Array, *, dynamic: bool, context_length: int, batch: int
) -> list[TextBatch]:
    """Deduplicate prompts, sort them into length buckets, and cut the buckets into batches.

    Which prompts share a batch depends on the set of prompts alone, not on their order.

    Args:
        ids: token ids `[n, context_length]`.
        eot: end-of-text positions `[n]`.
        dynamic: `Towers.dynamic_text`; where it is False every batch has the full context.
        context_length: length of the last bucket.
        batch: rows per batch; the engine pads a last one that is short.
    """
    if len(ids) == 0:
        return []
    distinct, first, inverse = np.unique(ids, axis=0, return_index=True, return_inverse=True)
    ends = eot[first]
    lengths = [length for length in LENGTHS if length < context_length] if dynamic else []
    lengths.append(context_length)
    bucket = np.searchsorted(lengths, ends + 1) if dynamic else np.zeros(len(distinct), np.int64)
    batches = []
    for number, length in enumerate(lengths):
        members = np.flatnonzero(bucket == number)
        for start in range(0, len(members), batch):
            chosen = members[start : start + batch]
            rows = np.flatnonzero(np.isin(inverse, chosen))
            source = np.searchsorted(chosen, inverse[rows])
            cut = np.ascontiguousarray(distinct[chosen, :length])
            batches.append(TextBatch(cut, ends[chosen], rows, source))
    return batches


def select_text_batches(batches: Iterable[TextBatch], rows: Int64Array) -> list[TextBatch]:
    """The batches that answer any of these prompts.

    The partition stays as it was planned, so a prompt's embedding is the same bytes whichever
    tasks are left to do.
    """
    return [batch for batch in batches if np.isin(batch.rows, rows).any()]


def encode_prompts(engine: Engine, batches: Sequence[TextBatch], n: int) -> npt.NDArray[np.float32]:
    """Raw text embeddings, float32 `[n, D]`, in the order the prompts were planned in.

    Rows that no batch answers are NaN.
    """
    if not batches:
        return np.empty((n, 0), np.float32)
    # Fetched at once: a device must not wait for the host between batches.
    outputs = engine.fetch(*(engine.encode_texts(batch.ids, batch.eot) for batch in batches))
    embeddings = np.full((n, outputs.shape[1]), np.nan, np.float32)
    low = 0
    for batch in batches:
        embeddings[batch.rows] = outputs[low : low + len(batch.ids)][batch.source]
        low += len(batch.ids)
    return embeddings
