"""Checkpoints saved by `torch.save`: only the names are unpickled, only asked tensors are read.

`torch.load(map_location="meta")` unpickles the structure and notes where each storage lies in
the archive; values are then read with `pread`. The optimizer is never read.
"""

from __future__ import annotations

import os
import pickle
import threading
from bisect import bisect_right
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from hashlib import blake2b
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fastclip.checkpoints.base import CheckpointFile, Metadata, Reader
from fastclip.checkpoints.tensor_file import PreadFile, Stored, own_names
from fastclip.checkpoints.zip_directory import Entry, read_directory
from fastclip.errors import CheckpointError

if TYPE_CHECKING:
    import torch

SUFFIXES = (".pt", ".pth", ".bin", ".ckpt")
_EMA_KEYS = ("state_dict_ema", "ema_state_dict", "model_ema")
_RAW_KEYS = ("state_dict", "model_state_dict", "model")
_STEP_KEYS = ("global_step", "step", "steps", "iteration")
# The allow-list is a table of the whole process; two threads must not open at once.
_LOADING = threading.Lock()


class TorchReader(Reader):
    """`.pt`, `.pth`, `.bin`, `.ckpt` written by `torch.save` as a zip archive."""

    name = "torch"

    @classmethod
    def recognises(cls, path: Path) -> bool:
        return path.suffix.lower() in SUFFIXES

    @classmethod
    def stamp(cls, path: Path) -> str:
        try:
            return read_directory(path).stamp
        except CheckpointError:
            legacy = _legacy_stamp(path)
            if legacy is None:
                raise
            return legacy

    @classmethod
    def open(
        cls, path: Path, *, weights: str = "raw", trust_pickle: bool = False
    ) -> CheckpointFile:
        if _legacy_stamp(path) is not None:
            raise CheckpointError(
                "saved in torch's old format, before zip archives (torch 1.6)",
                where=path,
                mend=f'convert it once: python -c "import torch; '
                f"torch.save(torch.load('{path}', weights_only=True, map_location='cpu'), "
                f"'new.pt')\"",
            )
        directory = read_directory(path)
        entries = directory.entries()
        if any(entry.name == "constants.pkl" for entry in entries):
            raise CheckpointError(
                "a TorchScript archive: it holds code, which fastclip does not run",
                where=path,
                mend="for OpenAI's models give openclip:ViT-B-32/openai (or another of "
                "open_clip's tags); for your own, and only if you trust the file: "
                f"python -c \"import torch; torch.save(torch.jit.load('{path}', "
                "map_location='cpu').state_dict(), 'new.pt')\"",
            )
        saved = load_structure(path, trust_pickle=trust_pickle)
        state = _pick_state(saved, weights, path)
        stored = _places(state, entries, directory.start, path)
        return PreadFile(path, stored, _metadata(saved, entries, directory.start, path))


def load_structure(path: Path, *, trust_pickle: bool = False) -> Any:
    """What `torch.save` was given, with every tensor on the meta device (no values).

    Raises:
        CheckpointError: the pickle names a global outside the allow-list (named in the message),
            or the archive is damaged.
    """
    import torch

    try:
        with _allow_list():
            return torch.load(path, map_location="meta", weights_only=not trust_pickle, mmap=False)
    except pickle.UnpicklingError as error:
        raise _forbidden(path, error) from None
    except Exception as error:  # damaged files raise anything, as do pickles that are trusted
        reason = f"{type(error).__name__}: {error}".strip().splitlines()[0]
        raise CheckpointError(
            f"torch cannot read it: {reason}",
            where=path,
            mend="copy it again; if training wrote it so, save it again with torch.save",
        ) from None


@contextmanager
def _allow_list() -> Iterator[None]:
    """Allow exactly `_allowed_globals`, whatever else this process has registered with torch.

    Importing torch.distributed alone registers dozens; a file that opens must open everywhere.
    """
    from torch.serialization import add_safe_globals, clear_safe_globals, get_safe_globals

    with _LOADING:
        registered = get_safe_globals()
        clear_safe_globals()
        add_safe_globals(_allowed_globals())
        try:
            yield
        finally:
            clear_safe_globals()
            add_safe_globals(registered)


def _allowed_globals() -> list[Any]:
    """What numpy scalars in a checkpoint need (LAION's series from epoch 3 on), and no more.

    numpy 2 moved `numpy.core` to `numpy._core`; files carry the name of the numpy that wrote them.
    """
    from codecs import encode

    import numpy as np
    from numpy._core.multiarray import scalar

    return [
        (scalar, "numpy.core.multiarray.scalar"),
        (scalar, "numpy._core.multiarray.scalar"),
        (encode, "_codecs.encode"),
        np.dtype,
        *{type(np.dtype(kind)) for kind in "?bhilqBHILQefd"},
    ]


def _forbidden(path: Path, error: Exception) -> CheckpointError:
    import torch

    try:
        with _allow_list():
            named = sorted(torch.serialization.get_unsafe_globals_in_checkpoint(path))
    except (RuntimeError, ValueError, pickle.UnpicklingError, EOFError):
        named = []
    if named:
        what = f"its pickle names {', '.join(named)}, which is not on the allow-list"
    else:
        what = f"its pickle cannot be read safely: {str(error).strip().splitlines()[0]}"
    return CheckpointError(
        what,
        where=path,
        mend="unpickling runs code: if you trust whoever made the file, add --trust-pickle; "
        "else save its state_dict alone",
    )


def _pick_state(saved: Any, weights: str, path: Path) -> Mapping[str, torch.Tensor]:
    """The model's tensors inside what was saved."""
    keys = _EMA_KEYS if weights == "ema" else _RAW_KEYS
    candidates = [saved[key] for key in keys if isinstance(saved, Mapping) and key in saved]
    if weights == "raw":
        candidates.append(saved)
    for candidate in candidates:
        state = _tensors(candidate)
        if state:
            return state
    found = (
        ", ".join(map(str, list(saved)[:12])) if isinstance(saved, Mapping) else repr(type(saved))
    )
    if weights == "ema":
        raise CheckpointError(
            f"no averaged weights in it; it holds: {found}",
            where=path,
            mend=f"leave --ema out, or store them under one of: {', '.join(_EMA_KEYS)}",
        )
    raise CheckpointError(
        f"no model weights in it; it holds: {found}",
        where=path,
        mend=f"save a state_dict, alone or under one of: {', '.join(_RAW_KEYS)}",
    )


def _tensors(candidate: Any) -> dict[str, torch.Tensor]:
    import torch

    if isinstance(candidate, torch.nn.Module):  # only with --trust-pickle
        candidate = candidate.state_dict()
    if not isinstance(candidate, Mapping):
        return {}
    return {k: v for k, v in candidate.items() if isinstance(v, torch.Tensor)}


def _places(
    state: Mapping[str, torch.Tensor], entries: list[Entry], end: int, path: Path
) -> dict[str, Stored]:
    own = own_names(list(state), path)
    in_order = sorted(entries, key=lambda entry: entry.header)
    headers = [entry.header for entry in in_order]
    ends = [*headers[1:], end]
    stored = {}
    for name, tensor in state.items():
        if tensor.is_sparse or not tensor.numel():
            dtype = "sparse" if tensor.is_sparse else _dtype(tensor)
            stored[own[name]] = Stored(path, 0, dtype, tuple(tensor.shape))
            continue
        data = _position(tensor, path)
        index = bisect_right(headers, data) - 1
        place = Stored(
            path,
            data + int(tensor.storage_offset()) * tensor.element_size(),
            _dtype(tensor),
            tuple(tensor.shape),
            None if tensor.is_contiguous() else tuple(tensor.stride()),
            (headers[index], data),
        )
        if in_order[index].method != 0:
            raise CheckpointError(
                "its zip entries are compressed, so single tensors cannot be read",
                where=path,
                mend="load it with torch and save it again with torch.save",
            )
        if place.offset + place.span * tensor.element_size() > ends[index]:
            raise CheckpointError(f"tensor '{name}' reaches beyond its zip entry", where=path)
        stored[own[name]] = place
    return stored


def _metadata(saved: Any, entries: list[Entry], end: int, path: Path) -> Metadata:
    if not isinstance(saved, Mapping):
        return Metadata()
    if all(hasattr(value, "untyped_storage") for value in saved.values()):
        # A plain state dict: a buffer of the model may be called "step".
        return Metadata(extra={"optimizer": False})

    def number(*keys: str) -> int | None:
        for key in keys:
            value: Any = saved.get(key)
            if hasattr(value, "untyped_storage"):  # a tensor: its value is still in the file
                place = _places({key: value}, entries, end, path)
                with PreadFile(path, place, Metadata()) as file:
                    value = file.read([key])[key]
            try:
                if value is not None and float(value).is_integer():
                    return int(value)
            except (TypeError, ValueError):
                continue
        return None

    keys = [str(key) for key in saved]
    return Metadata(
        step=number(*_STEP_KEYS),
        epoch=number("epoch"),
        samples_seen=number("samples_seen", "seen_samples"),
        extra={
            "keys": keys,
            "optimizer": any(key.startswith("optimizer") for key in keys),
            "ema": any(key in saved for key in _EMA_KEYS),
            "name": str(saved["name"]) if "name" in saved else None,
        },
    )


def _position(tensor: torch.Tensor, path: Path) -> int:
    """Where torch.load saw the tensor's storage begin in the file."""
    position: int | None = getattr(tensor.untyped_storage(), "_checkpoint_offset", None)
    if position is None:
        raise CheckpointError("a tensor is not stored in an entry of its own", where=path)
    return position


def _dtype(tensor: torch.Tensor) -> str:
    return str(tensor.dtype).removeprefix("torch.")


def _legacy_stamp(path: Path) -> str | None:
    """The stamp of a file in the format before zip archives; None for any other."""
    try:
        with path.open("rb") as file:
            head = file.read(4096)
            # Pickle protocol 2 and torch's magic number as a ten byte integer.
            if not head.startswith(b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19."):
                return None
            stat = os.fstat(file.fileno())
    except OSError as error:
        raise CheckpointError(f"cannot open: {error.strerror}", where=path) from None
    return f"{stat.st_size}-{stat.st_mtime_ns}-{blake2b(head, digest_size=12).hexdigest()}"
