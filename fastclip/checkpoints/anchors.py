"""open_clip's published weights as anchors: `openclip:ViT-B-16/openai`."""

from __future__ import annotations

from pathlib import Path

from fastclip.errors import RefusalError, UsageError

PREFIX = "openclip:"


def resolve_anchor(anchor: str) -> Path:
    """The local file of an open_clip tag, from the hub cache or downloaded into it.

    Args:
        anchor: `openclip:MODEL/TAG`, as `open_clip.list_pretrained()` lists them.

    Raises:
        UsageError: no such model or tag; lists the tags there are.
        RefusalError: not in the cache, and the download failed.
    """
    from open_clip import pretrained

    model, _, tag = anchor.removeprefix(PREFIX).partition("/")
    config = pretrained.get_pretrained_cfg(model, tag)
    if not config:
        tags = pretrained.list_pretrained_tags_by_model(model)
        raise UsageError(
            f"open_clip has no weights '{tag}' of '{model}'" if tag else "the anchor names no tag",
            where=anchor,
            mend=f"tags of {model}: {', '.join(tags)}"
            if tags
            else "write openclip:MODEL/TAG, as open_clip.list_pretrained() lists them",
        )
    try:
        return Path(pretrained.download_pretrained(config))
    except Exception as error:  # whatever the hub's and the url's clients raise
        raise RefusalError(
            f"not in the local cache, and cannot be downloaded: {error}",
            where=anchor,
            mend="download it where there is a network and copy the cache folder (HF_HOME), "
            "or leave the anchor out",
        ) from None
