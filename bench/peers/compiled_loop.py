"""The plain loop with torch.compile: compiled once, weights loaded into the same module.

Kinder than what is usual, a compilation per checkpoint. Batches are padded to one size, pictures
and prompts alike: a batch of another size would be compiled anew.
"""

from __future__ import annotations

from typing import Any

import torch
from peers import plain_loop
from peers.common import Numbers, Request


class CompiledModel(plain_loop.Model):
    """One module for all checkpoints; each comes in with `load_state_dict`."""

    def __init__(self, request: Request) -> None:
        super().__init__(request, request.checkpoints[0])
        self._image = torch.compile(self.module.encode_image)
        self._text = torch.compile(self.module.encode_text)

    def load(self, checkpoint: str) -> CompiledModel:
        """This model with another checkpoint's weights."""
        body = torch.load(checkpoint, map_location="cpu", weights_only=True)
        self.module.load_state_dict(body["state_dict"])
        return self

    def encode_batch(self, batch: Any) -> Any:
        """See `Model.encode_batch`."""
        return self._padded(self._image, batch)

    def encode_text(self, tokens: Any, normalize: bool = False) -> Any:
        """What `build_zero_shot_classifier` calls, in batches of one size."""
        parts = [self._padded(self._text, part) for part in tokens.split(self.request.batch_size)]
        embeddings = torch.cat(parts)
        return torch.nn.functional.normalize(embeddings, dim=-1) if normalize else embeddings

    def _padded(self, encode: Any, batch: Any) -> Any:
        missing = self.request.batch_size - len(batch)
        padding = batch[-1:].expand(missing, *batch.shape[1:])
        return encode(torch.cat([batch, padding]))[: len(batch)]

    @property
    def text_tower(self) -> Any:
        """See `Model.text_tower`."""
        return self


def measure(request: Request) -> list[Numbers]:
    """Scores of each checkpoint."""
    made: list[CompiledModel] = []

    def model(request: Request, checkpoint: str) -> CompiledModel:
        if not made:
            made.append(CompiledModel(request))
        return made[0].load(checkpoint)

    return plain_loop.measure(request, model)
