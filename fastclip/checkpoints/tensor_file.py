"""Tensors read from files by position: no mapping, no second copy, hashed as they pass.

A file that is cut short under a memory mapping kills the process; a short `pread` is an error.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from hashlib import sha256
from math import prod
from pathlib import Path

import numpy as np

from fastclip.checkpoints.base import CheckpointFile, Metadata, TensorInfo
from fastclip.errors import CheckpointError
from fastclip.machine import usable_cores

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
_FLOATING = {"float64", "float32", "float16", "bfloat16"}
_CHUNK = 1 << 30  # Linux moves at most 2 GiB - 4 KiB in one call
_WORKERS = min(4, usable_cores())


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

    def read(self, names: Iterable[str]) -> dict[str, np.ndarray]:
        wanted = list(dict.fromkeys(names))
        missing = [name for name in wanted if name not in self.stored]
        if missing:
            raise CheckpointError(
                f"{len(missing)} tensors are missing: {', '.join(missing[:5])}"
                + (", ..." if len(missing) > 5 else ""),
                where=self.path,
                mend="give the architecture it was trained with (--model)",
            )
        order = sorted(wanted, key=lambda n: (self.stored[n].path, self.stored[n].offset))
        if _WORKERS > 1 and len(order) > 1:
            with ThreadPoolExecutor(_WORKERS) as pool:
                arrays = dict(zip(order, pool.map(self._read_one, order), strict=True))
        else:
            arrays = {name: self._read_one(name) for name in order}
        if self._stat() != self._state:
            raise CheckpointError(
                "the file changed while it was being read",
                where=self.path,
                mend="sweep it again when training has finished writing it",
            )
        return {name: arrays[name] for name in wanted}

    def digest(self, names: Iterable[str]) -> str:
        wanted = sorted(set(names))
        self.read(name for name in wanted if name not in self._digests)
        whole = sha256()
        for name in wanted:
            info = self.tensors[name]
            whole.update(f"{name}\0{info.dtype}\0{list(info.shape)}\0".encode())
            whole.update(self._digests[name])
        return whole.hexdigest()

    def _read_one(self, name: str) -> np.ndarray:
        stored = self.stored[name]
        if stored.dtype not in NUMPY_KINDS:
            raise CheckpointError(
                f"tensor '{name}' is stored as {stored.dtype}",
                where=self.path,
                mend=f"store it as one of: {', '.join(NUMPY_KINDS)}",
            )
        values = self._read_values(stored)
        self._digests[name] = sha256(values.data).digest()
        if stored.dtype == "bfloat16":
            wide = values.astype("<u4")
            wide <<= 16
            return wide.view("<f4")
        if stored.dtype in _FLOATING:
            return values.astype(np.float32, copy=False)
        return values

    def _read_values(self, stored: Stored) -> np.ndarray:
        """The elements as stored, C-contiguous."""
        descriptor = self._files[stored.path]
        if stored.entry is not None and stored.span:
            self._check_entry(descriptor, stored.path, *stored.entry)
        flat = np.empty(stored.span, NUMPY_KINDS[stored.dtype])
        pread_into(descriptor, flat.view("u1").data, stored.offset, stored.path)
        if stored.strides is None or not stored.span:
            return flat.reshape(stored.shape)
        strides = [s * flat.itemsize for s in stored.strides]
        view = np.lib.stride_tricks.as_strided(flat, stored.shape, strides, writeable=False)
        return np.ascontiguousarray(view).reshape(stored.shape)

    def _check_entry(self, descriptor: int, path: Path, header: int, data: int) -> None:
        # torch works the position of the data out from how its own writer lays archives out;
        # an archive that another program packed would be read from the wrong place, in silence.
        local = bytearray(30)
        pread_into(descriptor, memoryview(local), header, path)
        name_length, extra_length = struct.unpack_from("<HH", local, 26)
        if local[:4] != b"PK\3\4" or header + 30 + name_length + extra_length != data:
            raise CheckpointError(
                "its zip directory and its entries do not agree",
                where=path,
                mend="the file is damaged, or was packed by another program: "
                "load it with torch and save it again",
            )

    def _stat(self) -> list[tuple[int, int]]:
        stats = [os.fstat(descriptor) for descriptor in self._files.values()]
        return [(s.st_size, s.st_mtime_ns) for s in stats]


def pread_into(descriptor: int, buffer: memoryview, offset: int, path: Path) -> None:
    """Fill `buffer` from `offset` of an open file.

    Raises:
        CheckpointError: the file ends before the buffer is full, or cannot be read.
    """
    done = 0
    while done < len(buffer):
        try:
            count = os.preadv(descriptor, [buffer[done : done + _CHUNK]], offset + done)
        except OSError as error:
            raise CheckpointError(f"cannot be read: {error.strerror}", where=path) from None
        if count == 0:
            raise CheckpointError(
                f"the file is cut short: it ends {len(buffer) - done} bytes before the end "
                f"of a tensor at byte {offset}",
                where=path,
                mend="copy it again, or wait until it is written",
            )
        done += count


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
