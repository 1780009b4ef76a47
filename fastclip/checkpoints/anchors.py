"""open_clip's published weights as anchors: `openclip:ViT-B-16/openai`."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from fastclip.errors import RefusalError, UsageError
from fastclip.facts import installed, known

PREFIX = "openclip:"


def published(model: str, tag: str, cache_dir: Path | None = None) -> Mapping[str, Any]:
    """open_clip's entry of published weights (`url`, `hf_hub`, `mean`, ...); empty for none.

    Args:
        cache_dir: entries are kept in its folder `anchors/`, so that a second look does not
            import open_clip; None keeps none.
    """
    return dict(_look_up(model, tag, cache_dir)["entry"])


def published_tags(model: str, cache_dir: Path | None = None) -> list[str]:
    """The tags of open_clip's published weights of an architecture."""
    return list(_look_up(model, "", cache_dir)["tags"])


def resolve_anchor(anchor: str, cache_dir: Path | None = None) -> Path:
    """The local file of an open_clip tag, from the hub cache or downloaded into it.

    Args:
        anchor: `openclip:MODEL/TAG`, as `open_clip.list_pretrained()` lists them.
        cache_dir: see `published`.

    Raises:
        UsageError: no such model or tag; lists the tags there are.
        RefusalError: not in the cache, and the download failed.
    """
    local = local_anchor(anchor, cache_dir)
    if local is not None:
        return local
    from open_clip import pretrained

    try:
        return Path(pretrained.download_pretrained(pretrained.get_pretrained_cfg(*_parts(anchor))))
    except Exception as error:  # whatever the hub's and the url's clients raise
        raise RefusalError(
            f"not in the local cache, and cannot be downloaded: {error}",
            where=anchor,
            mend="download it where there is a network and copy the cache folder (HF_HOME), "
            "or leave the anchor out",
        ) from None


def local_anchor(anchor: str, cache_dir: Path | None = None) -> Path | None:
    """The file of an open_clip tag if the local hub cache has it; downloads nothing.

    Raises:
        UsageError: no such model or tag; lists the tags there are.
    """
    model, tag = _parts(anchor)
    found = _look_up(model, tag, cache_dir)
    if not found["entry"]:
        raise UsageError(
            f"open_clip has no weights '{tag}' of '{model}'" if tag else "the anchor names no tag",
            where=anchor,
            mend=f"tags of {model}: {', '.join(found['tags'])}"
            if found["tags"]
            else "write openclip:MODEL/TAG, as open_clip.list_pretrained() lists them",
        )
    if not found["files"]:
        return None
    from huggingface_hub import try_to_load_from_cache

    for file in found["files"]:
        path = try_to_load_from_cache(found["repository"], file)
        if isinstance(path, str):
            return Path(path)
    return None


def _parts(anchor: str) -> tuple[str, str]:
    model, _, tag = anchor.removeprefix(PREFIX).partition("/")
    return model, tag


def _look_up(model: str, tag: str, cache_dir: Path | None) -> dict[str, Any]:
    """What open_clip's tables say of a tag, and the files it would take, the preferred first."""

    def ask() -> dict[str, Any]:
        from open_clip import constants, pretrained

        entry = pretrained.get_pretrained_cfg(model, tag)
        repository, name = os.path.split(entry.get("hf_hub", ""))
        name = name or constants.HF_WEIGHTS_NAME
        safe = constants.HF_SAFE_WEIGHTS_NAME
        if name != constants.HF_WEIGHTS_NAME:
            safe = os.path.splitext(name)[0] + ".safetensors"  # noqa: PTH122 (a name, not a path)
        return {
            "entry": entry,
            "tags": pretrained.list_pretrained_tags_by_model(model),
            "repository": repository,
            "files": list(dict.fromkeys((safe, name))) if repository else [],
        }

    identity = [installed("open_clip_torch"), model, tag]
    return dict(known(cache_dir, "anchors", identity, ask))
