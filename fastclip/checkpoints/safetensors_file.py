"""`.safetensors` files: a JSON header, then the tensors one after another."""

from __future__ import annotations

import json
import os
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path
from typing import Any

import numpy as np

from fastclip.checkpoints.base import CheckpointFile, Metadata, Reader
from fastclip.checkpoints.tensor_file import NUMPY_KINDS, PreadFile, Stored, own_names
from fastclip.checkpoints.unfinished import unfinished
from fastclip.errors import CheckpointError

_DTYPES = {
    "F64": "float64",
    "F32": "float32",
    "F16": "float16",
    "BF16": "bfloat16",
    "I64": "int64",
    "I32": "int32",
    "I16": "int16",
    "I8": "int8",
    "U64": "uint64",
    "U32": "uint32",
    "U16": "uint16",
    "U8": "uint8",
    "BOOL": "bool",
    "F8_E4M3": "float8_e4m3fn",
    "F8_E5M2": "float8_e5m2",
}
_WIDTHS = {name: np.dtype(kind).itemsize for name, kind in NUMPY_KINDS.items()}
_LONGEST_HEADER = 100_000_000  # the format's own limit


class SafetensorsReader(Reader):
    """`.safetensors`, the format of https://huggingface.co/docs/safetensors."""

    name = "safetensors"

    @classmethod
    def recognises(cls, path: Path) -> bool:
        return path.suffix.lower() == ".safetensors"

    @classmethod
    def stamp(cls, path: Path) -> str:
        return read_header(path).stamp

    @classmethod
    def open(
        cls, path: Path, *, weights: str = "raw", trust_pickle: bool = False
    ) -> CheckpointFile:
        if weights != "raw":
            raise CheckpointError(
                f"a safetensors file holds one set of weights, so none called '{weights}'",
                where=path,
                mend="leave --ema out, or give the file with the averaged weights",
            )
        header = read_header(path)
        own = own_names(list(header.stored), path)
        stored = {own[name]: place for name, place in header.stored.items()}
        return PreadFile(path, stored, _metadata(header.said))


@dataclass(frozen=True)
class Header:
    """What stands before the tensors.

    Attributes:
        stored: `{name in the file: its place}`.
        said: the header's `__metadata__`: strings by name.
        stamp: size, mtime and a digest of the header.
    """

    stored: Mapping[str, Stored]
    said: Mapping[str, str]
    stamp: str


def read_header(path: Path) -> Header:
    """Read the header; one open, one stat, two reads.

    Raises:
        CheckpointError: the header is damaged, or the file has another length than it says.
    """
    try:
        with path.open("rb") as file:
            stat = os.fstat(file.fileno())
            prefix = file.read(8)
            length = struct.unpack("<Q", prefix)[0] if len(prefix) == 8 else stat.st_size
            if length > min(stat.st_size - 8, _LONGEST_HEADER):
                raise CheckpointError(
                    f"no whole header: {unfinished(stat)}, or not a safetensors file",
                    where=path,
                )
            raw = file.read(length)
    except OSError as error:
        raise CheckpointError(f"cannot open: {error.strerror}", where=path) from None
    try:
        entries = json.loads(raw)
        said = entries.pop("__metadata__", None) or {}
        end = max((e["data_offsets"][1] for e in entries.values()), default=0)
        stored = {name: _place(path, 8 + length, entry) for name, entry in entries.items()}
    except (ValueError, TypeError, KeyError, AttributeError, IndexError) as error:
        raise CheckpointError(f"its header is damaged: {error}", where=path) from None
    if 8 + length + end != stat.st_size:
        raise CheckpointError(
            f"{stat.st_size} bytes long where its header says {8 + length + end}: "
            + unfinished(stat),
            where=path,
        )
    digest = blake2b(raw, digest_size=12).hexdigest()
    return Header(stored, said, f"{stat.st_size}-{stat.st_mtime_ns}-{digest}")


def _place(path: Path, base: int, entry: Mapping[str, Any]) -> Stored:
    begin, end = entry["data_offsets"]
    place = Stored(
        path, base + begin, _DTYPES.get(entry["dtype"], entry["dtype"]), tuple(entry["shape"])
    )
    width = _WIDTHS.get(place.dtype)
    if width is not None and place.span * width != end - begin:
        raise ValueError(f"{end - begin} bytes for {place.dtype} {list(place.shape)}")
    return place


def _metadata(said: Mapping[str, str]) -> Metadata:
    def number(*keys: str) -> int | None:
        values = (said.get(key, "") for key in keys)
        return next((int(value) for value in values if value.isdecimal()), None)

    return Metadata(
        step=number("global_step", "step"),
        epoch=number("epoch"),
        samples_seen=number("samples_seen"),
        extra={"optimizer": False, **said},
    )
