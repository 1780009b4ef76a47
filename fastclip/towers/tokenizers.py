"""From prompts to token ids, with nothing fetched from anywhere."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from fastclip.errors import RefusalError, UsageError
from fastclip.facts import installed
from fastclip.files import atomic_path, digest_of
from fastclip.towers.base import Architecture
from fastclip.towers.configs import text_pooling

SIMPLE = "simple"
"""open_clip's own byte-pair tokenizer, whose vocabulary comes with the package."""

_SIMPLE_VOCABULARY = 49408
_FILES = ("tokenizer.json", "tokenizer_config.json", "spiece.model", "vocab.txt")

Tokenizer = Callable[[Sequence[str]], npt.NDArray[np.int64]]


def find_tokenizer(config: Mapping[str, Any], override: str | None = None) -> str | None:
    """Which tokenizer the config asks for, if it is on this machine.

    Args:
        config: open_clip's model config.
        override: `--tokenizer`: a folder of Hugging Face tokenizer files, or a byte-pair
            vocabulary (`.txt.gz`) for open_clip's own tokenizer.

    Returns:
        `SIMPLE`, a hub name whose files are in the local cache, a path, or None.

    Raises:
        UsageError: the override is not there.
    """
    if override is not None:
        path = Path(override)
        if path.is_dir() or path.name.endswith(".gz"):
            if not path.exists() or (path.is_dir() and not _has_files(path)):
                raise UsageError("no tokenizer there", where=path, mend=_mend())
            return str(path.resolve())
        raise UsageError("not a tokenizer", where=path, mend=_mend())
    return None if _problem(config) else _wanted(config)


def tokenizer_problem(architecture: Architecture) -> str | None:
    """Why an architecture has no tokenizer here, one sentence; None where it has one."""
    return None if architecture.tokenizer is not None else _problem(architecture.config)


@lru_cache(maxsize=8)
def _open(spec: str, context_length: int, mode: str | None, options: tuple[Any, ...]) -> Any:
    from open_clip.tokenizer import HFTokenizer, SimpleTokenizer

    settings = dict(options)
    if spec == SIMPLE:
        return SimpleTokenizer(context_length=context_length, **settings)
    if spec.endswith(".gz"):
        return SimpleTokenizer(bpe_path=spec, context_length=context_length, **settings)
    return HFTokenizer(
        spec,
        context_length=context_length,
        tokenizer_mode=mode,
        local_files_only=True,
        **settings,
    )


def load_tokenizer(architecture: Architecture) -> Tokenizer:
    """The architecture's tokenizer: prompts `[n]` to ids int64 `[n, L]`, L the context length.

    Raises:
        RefusalError: there is none on this machine, with the reason.
    """
    text = architecture.config["text_cfg"]
    if architecture.tokenizer is None:
        raise RefusalError(
            f"{architecture.name} has no tokenizer here: {tokenizer_problem(architecture)}",
            mend=_mend(),
        )
    options = tuple(sorted((text.get("tokenizer_kwargs") or {}).items()))
    length = int(text.get("context_length", 77))
    tokenizer = _open(architecture.tokenizer, length, text.get("tokenizer_mode"), options)

    def tokenize(prompts: Sequence[str]) -> npt.NDArray[np.int64]:
        return np.asarray(tokenizer(list(prompts)).numpy(), dtype=np.int64)

    return tokenize


def token_ids(
    architecture: Architecture, prompts: Sequence[str], cache_dir: Path | None = None
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Token ids and where the text ends, by the rule the tower itself pools with.

    Args:
        cache_dir: ids are kept in its folder `tokens/`, so that the same prompts a second time
            neither import open_clip nor take long; None keeps none.

    Returns:
        ids int64 `[n, L]` and end-of-text positions int64 `[n]`: the highest id where the tower
        pools by argmax, the first `eos_id` where it pools by that, else the last position.

    Raises:
        RefusalError: the architecture has no tokenizer here.
    """
    ids = _ids(architecture, prompts, cache_dir)
    return ids, end_of_text(architecture.config, ids)


def _ids(
    architecture: Architecture, prompts: Sequence[str], cache_dir: Path | None
) -> npt.NDArray[np.int64]:
    if cache_dir is None or architecture.tokenizer is None:
        return load_tokenizer(architecture)(prompts)
    identity = digest_of([_identity(architecture), list(prompts)])
    path = cache_dir / "tokens" / f"{identity}.npy"
    with suppress(OSError, ValueError, EOFError):  # none yet, or not ours: made anew
        kept: npt.NDArray[np.int64] = np.load(path).astype(np.int64)
        return kept
    ids = load_tokenizer(architecture)(prompts)
    with suppress(OSError), atomic_path(path) as temporary, temporary.open("wb") as file:
        np.save(file, ids.astype(np.min_scalar_type(ids.max(initial=0))))
    return ids


def _identity(architecture: Architecture) -> list[Any]:
    """Everything that decides what the tokenizer does, as JSON values."""
    text, spec = architecture.config["text_cfg"], architecture.tokenizer
    packages = ("open_clip_torch", "ftfy", "regex", "transformers", "tokenizers")
    return [
        spec,
        [text.get(key) for key in ("context_length", "tokenizer_mode", "tokenizer_kwargs")],
        [installed(package) for package in packages],
        [[str(f), f.stat().st_size, f.stat().st_mtime_ns] for f in _files_of(str(spec))],
    ]


def _files_of(spec: str) -> list[Path]:
    """The files of a tokenizer that does not come with open_clip."""
    if spec == SIMPLE:
        return []
    path = Path(spec)
    if path.is_file():
        return [path]
    if not path.is_dir():
        found = _in_hub_cache(spec)
        assert found is not None  # `find_tokenizer` has seen it
        path = found.parent
    return sorted(file for file in path.iterdir() if file.is_file())


def end_of_text(config: Mapping[str, Any], ids: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """End-of-text positions int64 `[n]` of ids int64 `[n, L]`."""
    pooling = text_pooling(config)
    if pooling == "argmax":
        return np.asarray(ids.argmax(axis=1), dtype=np.int64)
    if pooling == "eos":
        eos = int(config["text_cfg"].get("eos_id", 2))
        return np.asarray((ids == eos).argmax(axis=1), dtype=np.int64)
    return np.full(len(ids), ids.shape[1] - 1, dtype=np.int64)


def _wanted(config: Mapping[str, Any]) -> str:
    text = config["text_cfg"]
    return str(text.get("hf_tokenizer_name") or text.get("hf_model_name") or SIMPLE)


def _problem(config: Mapping[str, Any]) -> str | None:
    wanted = _wanted(config)
    if wanted == SIMPLE:
        text = config["text_cfg"]
        size = int(text.get("vocab_size", _SIMPLE_VOCABULARY))
        added = len((text.get("tokenizer_kwargs") or {}).get("additional_special_tokens") or ())
        if size == _SIMPLE_VOCABULARY + added:
            return None
        return f"its vocabulary has {size} entries, open_clip's own has {_SIMPLE_VOCABULARY}"
    if _has_files(Path(wanted)) or _in_hub_cache(wanted):
        return None
    return f"it needs the files of '{wanted}', which are not in the local Hugging Face cache"


def _in_hub_cache(name: str) -> Path | None:
    """One of the tokenizer's files."""
    from huggingface_hub import try_to_load_from_cache

    try:
        found = [try_to_load_from_cache(name, file) for file in _FILES]
    except ValueError:  # a path, and no folder is there
        return None
    return next((Path(path) for path in found if isinstance(path, str)), None)


def _has_files(folder: Path) -> bool:
    return any((folder / file).is_file() for file in _FILES)


def _mend() -> str:
    return (
        "give --tokenizer PATH: a folder with a Hugging Face tokenizer's files "
        f"({', '.join(_FILES)}), or a byte-pair vocabulary ending in .gz"
    )
