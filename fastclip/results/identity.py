"""Ids: what makes two measurements the same measurement."""

from __future__ import annotations

from typing import Any

from fastclip.evaluators.base import Evaluator
from fastclip.files import digest_of
from fastclip.stimuli.base import PIXEL_DEFINITION
from fastclip.towers.base import Architecture

ID_LENGTH = 16


def checkpoint_id(weights_digest: str, architecture: Architecture) -> str:
    """Id of a checkpoint: its needed tensors' digest and its architecture's, nothing else.

    The same weights under two names have one id, so they are measured once.
    """
    return digest_of([weights_digest, architecture.digest], ID_LENGTH)


def protocol_of(
    evaluator: Evaluator,
    architecture: Architecture,
    *,
    pictures: str,
    tokens: str,
    engine: str,
    precision: str,
    pixel_definition: str = PIXEL_DEFINITION,
) -> dict[str, Any]:
    """Everything the evaluator's numbers depend on besides the weights, as JSON values.

    Args:
        pictures: digest of the data set's encoded pictures.
        tokens: digest of the token ids of its prompts, "" where it has none: what a tokenizer
            does, whatever its path.
        engine: family; engines agree to rounding, and one record is one engine's.
        pixel_definition: of the decoder that made the pixels (`ViewStore.pixel_definition`).
    """
    protocol = {
        "dataset": evaluator.dataset.label,
        "pictures": pictures,
        "pixel_definition": pixel_definition,
        "mean": list(architecture.preprocessing.mean),
        "std": list(architecture.preprocessing.std),
        "engine": engine,
        "precision": precision,
        **evaluator.protocol(),
    }
    if tokens:
        protocol["tokens"] = tokens
    return protocol


def protocol_id(protocol: dict[str, Any]) -> str:
    """Id of a protocol: equal ids mean comparable numbers."""
    return digest_of(protocol, ID_LENGTH)


def protocol_family(protocol: dict[str, Any]) -> str:
    """Id of a protocol whatever the evaluator's revision: the newest revision supersedes.

    Polarity is left out too: the labels' digest has it, and earlier revisions do not name it.
    """
    apart = ("revision", "higher_is_better")
    return digest_of({k: v for k, v in protocol.items() if k not in apart}, ID_LENGTH)
