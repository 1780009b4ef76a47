"""Philox against the vectors published with Random123, and the normals against theory."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from fastclip import _kernels

ONES = 0xFFFFFFFF

# Random123, kat_vectors: philox4x32, 10 rounds.
VECTORS = [
    ([0] * 4, [0] * 2, [0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8]),
    ([ONES] * 4, [ONES] * 2, [0x408F276D, 0x41C83B0E, 0xA20BC7C6, 0x6D5451FD]),
    (
        [0x243F6A88, 0x85A308D3, 0x13198A2E, 0x03707344],
        [0xA4093822, 0x299F31D0],
        [0xD16CFE09, 0x94FDCCEB, 0x5001E420, 0x24126EA1],
    ),
]


@pytest.mark.parametrize(("counter", "key", "words"), VECTORS)
def test_known_answers(counter: list[int], key: list[int], words: list[int]) -> None:
    assert _kernels.philox4x32(counter, key) == words


def test_numpy_agrees() -> None:
    """numpy's Philox is 4x64; its 4x32 kin is written here from the paper."""

    def reference(counter: list[int], key: list[int]) -> list[int]:
        (a, b, c, d), (k, m) = counter, key
        for _ in range(10):
            p, q = 0xD2511F53 * a, 0xCD9E8D57 * c
            a, b, c, d = (q >> 32) ^ b ^ k, q & ONES, (p >> 32) ^ d ^ m, p & ONES
            k, m = (k + 0x9E3779B9) & ONES, (m + 0xBB67AE85) & ONES
        return [a, b, c, d]

    rng = np.random.default_rng(0)
    for _ in range(50):
        counter, key = rng.integers(0, 2**32, 4).tolist(), rng.integers(0, 2**32, 2).tolist()
        assert _kernels.philox4x32(counter, key) == reference(counter, key)


def test_noise_is_keyed_as_documented() -> None:
    """Impulse noise of amount 1 shows the lowest bit of every word, so the counter is visible."""
    seed, key, draw = 0x0123456789ABCDEF, 0xFEDCBA9876543210, 5
    picture = np.full((1, 4, 5, 3), 128, np.uint8)
    out = np.empty_like(picture)
    keys = np.array([key], np.uint64)
    _kernels.noise("impulse", picture, out, keys, seed, draw, threshold=2**31)
    expected = []
    for block in range(15):
        counter = [block, 2 << 24 | draw, key & ONES, key >> 32]
        words = _kernels.philox4x32(counter, [seed & ONES, seed >> 32])
        expected += [255 if word & 1 else 0 for word in words]
    assert out.ravel().tolist() == expected


def test_normals_against_box_muller_in_double() -> None:
    """Gaussian noise, element by element, from the words by numpy's own log, sine and cosine."""
    seed, key, scale = 3, 17, 20.0
    picture = np.full((1, 40, 40, 3), 128, np.uint8)
    out = np.empty_like(picture)
    _kernels.noise("gaussian", picture, out, np.array([key], np.uint64), seed, 0, scale)
    words = np.array(
        [_kernels.philox4x32([b, 1 << 24, key, 0], [seed, 0]) for b in range(1200)], np.uint64
    )
    radius = np.sqrt(-2 * np.log(((words[:, ::2] >> 9) + 0.5) * 2.0**-23))
    quarter = (words[:, 1::2] >> 30).astype(float)
    fine = ((words[:, 1::2] >> 6) & 0xFFFFFF).astype(float) - 2**23 + 0.5
    angle = (quarter + fine * 2.0**-24) * np.pi / 2
    normals = np.stack([radius * np.cos(angle), radius * np.sin(angle)], -1).reshape(-1)
    exact = np.clip(128 + scale * normals, 0, 255)
    assert np.abs(out.ravel() - exact).max() <= 0.5 + 1e-3
    assert stats.kstest(normals, "norm").pvalue > 1e-3
