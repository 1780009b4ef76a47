"""What probe and canary show to the towers: drawn here, never from a data set."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from fastclip.towers.module import TowerModule

PAIRS = 2


def random_pictures(n: int, height: int, width: int) -> npt.NDArray[np.uint8]:
    """White noise, uint8 `[n, height, width, 3]`: every pixel matters."""
    generator = np.random.default_rng(0)
    return generator.integers(0, 256, (n, height, width, 3), dtype=np.uint8)


def smooth_pairs(height: int, width: int) -> npt.NDArray[np.uint8]:
    """`PAIRS` smooth pictures, then their mildly distorted twins: `[2 * PAIRS, H, W, 3]`.

    Each picture is a sum of slow waves, another phase per channel. One twin is brighter
    by 8, the other striped by +-6 along the diagonal.
    """
    y = np.linspace(0, 2 * np.pi, height)[:, None, None]
    x = np.linspace(0, 2 * np.pi, width)[None, :, None]
    phase = np.arange(3)
    pictures = np.stack(
        [
            127.5
            + 60 * np.cos((k + 1) * x + 0.7 * k * y + phase)
            + 50 * np.sin((2 - k) * y - 1.3 * x + 2 * phase)
            for k in range(PAIRS)
        ]
    )
    stripes = 6 * np.sign(np.sin(40 * (x + y)))
    both = np.concatenate([pictures, pictures + np.stack([np.full_like(stripes, 8), stripes])])
    drawn: npt.NDArray[np.uint8] = np.clip(np.rint(both), 0, 255).astype(np.uint8)
    return drawn


def token_rows(
    module: TowerModule, n: int, length: int
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Random prompts: ids `[n, length]` and end-of-text positions `[n]`, all different.

    The first prompt fills its row, the others end earlier and are padded with 0.
    """
    generator = np.random.default_rng(length)
    # The highest id ends a text in most vocabularies, and 0 pads.
    ids = generator.integers(1, module.vocab_size - 1, (n, length))
    ids[ids == module.eot_id] = 1
    eot = length - 1 - np.arange(n) % (length - 1)
    ids[np.arange(n), eot] = module.eot_id
    ids[np.arange(length) > eot[:, None]] = 0
    return ids, eot
