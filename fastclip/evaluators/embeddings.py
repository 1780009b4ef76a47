"""Keeping the embeddings of a view until they are scored."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt

from fastclip.errors import CheckpointError
from fastclip.stimuli.base import Dataset

Float32Array = npt.NDArray[np.float32]


def check_pictures(embeddings: Float32Array, dataset: Dataset, rows: slice) -> None:
    """Raise CheckpointError where a picture's embedding holds NaN or infinity; names the first."""
    # The canary sees a few pictures only; overflow may strike any.
    bad = _first_bad(embeddings)
    if bad is not None:
        raise _broken(dataset.pictures.name(int(rows.start) + bad), dataset.label)


def check_prompts(embeddings: Float32Array, texts: Sequence[str]) -> None:
    """Raise CheckpointError where a prompt's embedding holds NaN or infinity; names the first."""
    bad = _first_bad(embeddings)
    if bad is not None:
        raise _broken(f"the prompt '{texts[bad]}'", None)


def _first_bad(embeddings: Float32Array) -> int | None:
    finite = np.isfinite(embeddings).all(axis=1)
    return None if finite.all() else int(finite.argmin())


def _broken(what: str, where: str | None) -> CheckpointError:
    return CheckpointError(
        f"the embedding of {what} holds NaN or infinity",
        where=where,
        mend="the weights are broken, or overflow at this precision: try --precision fp32",
    )


class Rows:
    """All embeddings of a view, `[count, D]` float32, filled in any chunking."""

    def __init__(self, count: int) -> None:
        self._count = count
        self._values: Float32Array | None = None

    def put(self, rows: slice, embeddings: Float32Array) -> None:
        """Take the embeddings of these rows."""
        if self._values is None:
            self._values = np.empty((self._count, embeddings.shape[1]), np.float32)
        self._values[rows] = embeddings

    def all(self) -> Float32Array:
        """Every row, once all are here."""
        assert self._values is not None, "no rows have come"
        return self._values


class Blocks:
    """Hands rows on in blocks of one fixed size, whatever sizes they come in.

    A matrix product rounds differently for another number of rows; with fixed blocks no result
    depends on how the engine batches.
    """

    SIZE = 512

    def __init__(self, consume: Callable[[Float32Array], None]) -> None:
        self._consume = consume
        self._buffer = np.empty((self.SIZE, 0), np.float32)
        self._held = 0

    def put(self, embeddings: Float32Array) -> None:
        """Take the next rows, `[n, D]`."""
        if self._buffer.shape[1] != embeddings.shape[1]:
            self._buffer = np.empty((self.SIZE, embeddings.shape[1]), np.float32)
        while len(embeddings):
            taken = embeddings[: self.SIZE - self._held]
            self._buffer[self._held : self._held + len(taken)] = taken
            self._held += len(taken)
            embeddings = embeddings[len(taken) :]
            if self._held == self.SIZE:
                self.close()

    def close(self) -> None:
        """Hand on what is held."""
        if self._held:
            self._consume(self._buffer[: self._held])
        self._held = 0
