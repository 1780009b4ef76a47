"""Tensors read from files by position: no mapping, no second copy, hashed as they pass.

A file that is cut short under a memory mapping kills the process; a short `pread` is an error.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from hashlib import sha256
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from fastclip.checkpoints.base import CheckpointFile, Metadata, TensorInfo
from fastclip.checkpoints.memory import Memory
from fastclip.checkpoints.ranges import Incoming, Piece, read_pieces
from fastclip.errors import CheckpointError

# Numpy has no bfloat16: its bits travel as uint16 and become the upper half of a float32.
NUMPY_KINDS = {
    "float64": "<f8",
    "float32": "<f4",
    "float16": "<f2",
    "bfloat16": "<u2",
    "int64": "<i8",
    "int32": "<i4",
    "int16": "<i2",
    "int8": "i1",
    "uint8": "u1",
    "uint16": "<u2",
    "uint32": "<u4",
    "uint64": "<u8",
    "bool": "?",
}


@dataclass(frozen=True)
class Stored:
    """Where a tensor's elements lie.

    Attributes:
        path: the file.
        offset: bytes from the start of the file to the first element.
        dtype: torch's name without "torch.".
        shape: sizes.
        strides: in elements; None when contiguous.
        entry: in a zip archive, the positions of the entry's local header and of its data:
            the one must lead to the other.
    """

    path: Path
    offset: int
    dtype: str
    shape: tuple[int, ...]
    strides: tuple[int, ...] | None = None
    entry: tuple[int, int] | None = None

    @property
    def span(self) -> int:
        """Number of elements from the first to the last one used, both included."""
        if 0 in self.shape:
            return 0
        if self.strides is None:
            return prod(self.shape)
        return 1 + sum((n - 1) * s for n, s in zip(self.shape, self.strides, strict=True))


class PreadFile(CheckpointFile):
    """A checkpoint whose tensors lie at known places of one or several files.

    Args:
        path: the checkpoint, for messages.
        stored: `{the model's own name: its place}`.
        metadata: what the file says of its place in training.
        layout: "open_clip" or "huggingface"; by default seen from the names.
    """

    def __init__(
        self,
        path: Path,
        stored: Mapping[str, Stored],
        metadata: Metadata,
        layout: str | None = None,
    ) -> None:
        self.path = path
        self.metadata = metadata
        self.tensors = {name: TensorInfo(s.shape, s.dtype) for name, s in stored.items()}
        self.layout = layout or layout_of(stored)
        self.stored = stored
        self._digests: dict[str, bytes] = {}
        self._files: dict[Path, int] = {}
        try:
            for file in sorted({s.path for s in stored.values()}):
                self._files[file] = os.open(file, os.O_RDONLY | os.O_CLOEXEC)
        except OSError as error:
            self.close()
            raise CheckpointError(f"cannot open: {error.strerror}", where=error.filename) from None
        self._state = self._stat()

    def close(self) -> None:
        for descriptor in self._files.values():
            os.close(descriptor)
        self._files = {}

    def read(self, names: Iterable[str], memory: Memory | None = None) -> dict[str, Any]:
        wanted = list(dict.fromkeys(names))
        self._refuse_unreadable(wanted)
        memory = memory or Memory()
        tensors: dict[str, Any] = {}
        read_pieces(self._pieces(wanted, memory, tensors), lambda: memory.cancelled)
        if self._stat() != self._state:
            raise CheckpointError(
                "the file changed while it was being read",
                where=self.path,
                mend="sweep it again when training has finished writing it",
            )
        return {name: tensors[name] for name in wanted}

    def digest(self, names: Iterable[str]) -> str:
        wanted = sorted(set(names))
        self.read(name for name in wanted if name not in self._digests)
        whole = sha256()
        for name in wanted:
            info = self.tensors[name]
            whole.update(f"{name}\0{info.dtype}\0{list(info.shape)}\0".encode())
            whole.update(self._digests[name])
        return whole.hexdigest()

    def _refuse_unreadable(self, names: Sequence[str]) -> None:
        missing = [name for name in names if name not in self.stored]
        if missing:
            raise CheckpointError(
                f"{len(missing)} tensors are missing: {', '.join(missing[:5])}"
                + (", ..." if len(missing) > 5 else ""),
                where=self.path,
                mend="give the architecture it was trained with (--model)",
            )
        for name in names:
            if self.stored[name].dtype not in NUMPY_KINDS:
                raise CheckpointError(
                    f"tensor '{name}' is stored as {self.stored[name].dtype}",
                    where=self.path,
                    mend=f"store it as one of: {', '.join(NUMPY_KINDS)}",
                )

    def _pieces(
        self, names: Iterable[str], memory: Memory, tensors: dict[str, Any]
    ) -> Iterator[Piece]:
        """What is to be read for these tensors, which are in `tensors` once it all arrived."""
        entries: set[tuple[Path, int, int]] = set()
        for name in names:
            stored = self.stored[name]
            nbytes = stored.span * np.dtype(NUMPY_KINDS[stored.dtype]).itemsize
            if not nbytes:
                nothing = np.empty(0, np.uint8)
                tensors[name] = self._finish(name, nothing, sha256().digest(), memory)
                continue
            if stored.entry is not None and (entry := (stored.path, *stored.entry)) not in entries:
                entries.add(entry)
                yield self._local_header(*entry)
            # What has strides is copied into its order first, and only then stays.
            incoming = Incoming(nbytes, memory.allot if stored.strides is None else _bytes)
            for index, start in enumerate(incoming.starts):
                yield Piece(
                    self._files[stored.path],
                    stored.path,
                    stored.offset + start,
                    incoming.size(index),
                    partial(incoming.buffer, index),
                    partial(self._arrived, name, incoming, index, memory, tensors),
                )

    def _arrived(
        self, name: str, incoming: Incoming, index: int, memory: Memory, tensors: dict[str, Any]
    ) -> None:
        whole = incoming.arrived(index)
        if whole is not None:
            tensors[name] = self._finish(name, *whole, memory)

    def _finish(self, name: str, raw: npt.NDArray[np.uint8], digest: bytes, memory: Memory) -> Any:
        stored = self.stored[name]
        values = raw.view(NUMPY_KINDS[stored.dtype])
        if stored.strides is not None and stored.span:
            strides = [s * values.itemsize for s in stored.strides]
            view = np.lib.stride_tricks.as_strided(values, stored.shape, strides, writeable=False)
            # A copy also where the view is contiguous already: it ends within the span.
            values = np.array(view, order="C")
            digest = sha256(values.data).digest()
        self._digests[name] = digest
        return memory.tensor(values.reshape(stored.shape), stored.dtype)

    def _local_header(self, path: Path, header: int, data: int) -> Piece:
        # torch works the position of the data out from how its own writer lays archives out;
        # an archive that another program packed would be read from the wrong place, in silence.
        local = bytearray(30)

        def check() -> None:
            name_length, extra_length = struct.unpack_from("<HH", local, 26)
            if local[:4] != b"PK\3\4" or header + 30 + name_length + extra_length != data:
                raise CheckpointError(
                    "its zip directory and its entries do not agree",
                    where=path,
                    mend="the file is damaged, or was packed by another program: "
                    "load it with torch and save it again",
                )

        return Piece(self._files[path], path, header, len(local), lambda: memoryview(local), check)

    def _stat(self) -> list[tuple[int, int]]:
        stats = [os.fstat(descriptor) for descriptor in self._files.values()]
        return [(s.st_size, s.st_mtime_ns) for s in stats]


def _bytes(count: int) -> npt.NDArray[np.uint8]:
    return np.empty(count, np.uint8)


def layout_of(names: Iterable[str]) -> str:
    """ "huggingface" when the tensors are named as `CLIPModel` names them, else "open_clip"."""
    hugging = any(name.startswith(("vision_model.", "text_model.")) for name in names)
    return "huggingface" if hugging else "open_clip"


def own_names(names: Sequence[str], path: Path) -> dict[str, str]:
    """`{name in the file: the model's own name}`, without the prefixes of training wrappers.

    `module.` is DistributedDataParallel's and only ever leads; `_orig_mod.` (torch.compile) and
    `_fsdp_wrapped_module.` also stand inside a name, where a part of the model was wrapped.
    """
    own = {}
    for name in names:
        plain = name.replace("_orig_mod.", "").replace("_fsdp_wrapped_module.", "")
        while plain.startswith("module."):
            plain = plain.removeprefix("module.")
        own[name] = plain
    if len(set(own.values())) < len(own):
        raise CheckpointError(
            "two tensors have one name once 'module.' and '_orig_mod.' are taken off",
            where=path,
            mend="save the model's own state_dict",
        )
    return own
