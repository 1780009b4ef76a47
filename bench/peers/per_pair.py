"""The published method of the image-quality group: pair by pair, batch 1, both pictures encoded.

As in the scripts around arXiv 2508.09814: for each line of the score table the reference and the
distorted picture are opened and encoded, the distance is kept, and scipy correlates at the end.
"""

from __future__ import annotations

from typing import Any

import torch
from peers import common, plain_loop
from peers.common import Numbers, Request
from PIL import Image


def measure(request: Request) -> list[Numbers]:
    """Correlations of each checkpoint; image quality only."""
    with torch.inference_mode():
        return list(common.each(request, lambda path: _measure_one(request, path)))


def _measure_one(request: Request, checkpoint: str) -> Numbers:
    assert request.tid is not None
    model = plain_loop.Model(request, checkpoint)
    quality = common.read_tid(request.tid)
    pairs = []
    for row, path in zip(quality.reference_of, quality.distorted, strict=True):
        pairs.append((_encode(model, quality.references[row]), _encode(model, path)))
    references, distorted = (torch.cat(side) for side in zip(*pairs, strict=True))
    return common.correlations(references, distorted, quality.scores)


def _encode(model: plain_loop.Model, path: Any) -> Any:
    picture = model.transform(Image.open(path)).unsqueeze(0).to(model.dtype)
    return model.encode_batch(picture).float()
