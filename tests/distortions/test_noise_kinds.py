"""The five kinds of noise: moments, levels, keys and how they are written."""

from __future__ import annotations

from hashlib import blake2b

import numpy as np
import pytest
from scipy import stats

from fastclip.distortions.levels import PUBLISHED, parse, sigma_list
from fastclip.distortions.noise import GaussianNoise, picture_key
from fastclip.distortions.poisson import thresholds
from fastclip.errors import UsageError

GREY = np.full((3, 150, 150, 3), 128, np.uint8)
KEYS = np.array([1, 2, 3], np.uint64)


def difference(text: str, seed: int = 0, draw: int = 0) -> np.ndarray:
    """Noise added to mid grey, on [0, 1]."""
    noisy = parse(text, seed, draw).apply(GREY, KEYS)
    return (noisy.astype(float) - 128).ravel() / 255


@pytest.mark.parametrize(
    ("text", "deviation"),
    [
        ("gaussian_noise:sigma=0.1", 0.1),
        ("speckle_noise:sigma=0.2", 0.2 * 128 / 255),
        ("uniform_noise:width=0.2", 0.2 / 3**0.5),
        ("shot_noise:photons=60", (128 / 255 / 60) ** 0.5),
    ],
)
def test_moments(text: str, deviation: float) -> None:
    noise = difference(text)
    assert abs(noise.mean()) < 5 * deviation / noise.size**0.5
    assert noise.std() == pytest.approx(deviation, rel=0.01)


def test_gaussian_is_gaussian() -> None:
    noise = difference("gaussian_noise:sigma=0.1") / 0.1
    assert abs(stats.skew(noise)) < 0.02
    assert abs(stats.kurtosis(noise)) < 0.05


def test_neighbours_are_independent() -> None:
    noise = parse("gaussian_noise:sigma=0.1").apply(GREY, KEYS).astype(float)
    for other in (noise[:, 1:, :, :], noise[:, :, 1:, :], noise[..., 1:]):
        same = noise[:, : other.shape[1], : other.shape[2], : other.shape[3]]
        assert abs(np.corrcoef(same.ravel(), other.ravel())[0, 1]) < 0.02
    assert abs(np.corrcoef(noise[0].ravel(), noise[1].ravel())[0, 1]) < 0.02


def test_impulse_amount_and_balance() -> None:
    noisy = parse("impulse_noise:amount=0.1").apply(GREY, KEYS)
    assert np.isin(noisy, (0, 128, 255)).all()
    assert (noisy != 128).mean() == pytest.approx(0.1, rel=0.03)
    assert (noisy == 255).sum() / (noisy != 128).sum() == pytest.approx(0.5, abs=0.02)


@pytest.mark.parametrize("kind", ["gaussian_noise:sigma", "uniform_noise:width"])
def test_levels_scale_one_field(kind: str) -> None:
    weak, strong = difference(f"{kind}=0.05"), difference(f"{kind}=0.1")
    assert np.abs(strong - 2 * weak).max() <= 1.5 / 255 + 1e-9


def test_impulse_and_shot_levels_are_nested() -> None:
    weak = parse("impulse_noise:amount=0.05").apply(GREY, KEYS)
    strong = parse("impulse_noise:amount=0.2").apply(GREY, KEYS)
    assert np.array_equal(strong[weak != 128], weak[weak != 128])
    few, many = difference("shot_noise:photons=60"), difference("shot_noise:photons=240")
    assert np.corrcoef(few, many)[0, 1] > 0.98


def test_seed_draw_and_kind_give_other_fields() -> None:
    fields = [
        difference("gaussian_noise:sigma=0.1"),
        difference("gaussian_noise:sigma=0.1", seed=1),
        difference("gaussian_noise:sigma=0.1", seed=2**32),
        difference("gaussian_noise:sigma=0.1", draw=1),
        difference("speckle_noise:sigma=0.2"),
    ]
    correlation = np.corrcoef(fields) - np.eye(len(fields))
    assert np.abs(correlation).max() < 0.02


def test_level_zero_changes_nothing() -> None:
    rng = np.random.default_rng(0)
    pictures = rng.integers(0, 256, (3, 20, 20, 3), np.uint8)
    for text in ("gaussian_noise:sigma=0", "impulse_noise:amount=0", "uniform_noise:width=0"):
        assert np.array_equal(parse(text).apply(pictures, KEYS), pictures)


def test_poisson_tables_against_scipy() -> None:
    photons = 12.0
    table = thresholds(photons)
    counts = np.arange(200)
    pixel = np.round(255 * np.minimum(counts / photons, 1))
    for x in (0, 1, 100, 255):
        mass = stats.poisson.pmf(counts, x / 255 * photons)
        exact = np.array([mass[pixel <= value].sum() for value in range(255)])
        assert np.abs(table[x] / 2**31 - exact).max() < 1e-9


def test_key_is_the_start_of_blake2b() -> None:
    digest = blake2b(b"encoded", digest_size=32).hexdigest()
    assert f"{picture_key(b'encoded'):016x}" == bytes.fromhex(digest[:16])[::-1].hex()


GOLDEN = {
    "gaussian_noise": "d2cf3b17282512a5",
    "speckle_noise": "c220497c854a6f42",
    "uniform_noise": "4539183271af76c7",
    "impulse_noise": "2e289cc8df36822b",
    "shot_noise": "0d1cb81ac2127ae0",
}


def test_golden_bytes() -> None:
    """Bytes that must never change: results on disk depend on them."""
    picture = np.arange(48, dtype=np.uint8).reshape(1, 4, 4, 3) * 5
    sums = {}
    for kind, setting in (
        ("gaussian_noise", "sigma=0.1"),
        ("speckle_noise", "sigma=0.2"),
        ("uniform_noise", "width=0.2"),
        ("impulse_noise", "amount=0.5"),
        ("shot_noise", "photons=60"),
    ):
        noisy = parse(f"{kind}:{setting}", seed=42).apply(picture, np.array([99], np.uint64))
        sums[kind] = blake2b(noisy.tobytes(), digest_size=8).hexdigest()
    assert sums == GOLDEN


def test_published_levels() -> None:
    assert parse("gaussian_noise:cifar-c=3").level == 0.08
    assert parse("gaussian_noise:imagenet-c=5").level == 0.38
    assert parse("shot_noise:imagenet-c=1").level == 60
    for name, kinds in PUBLISHED.items():
        for kind, levels in kinds.items():
            found = [parse(f"{kind}:{name}={i + 1}") for i in range(len(levels))]
            assert [distortion.kind for distortion in found] == [kind] * len(levels)


def test_sigma_list() -> None:
    assert sigma_list("0.1,cifar-c") == tuple(
        GaussianNoise(sigma) for sigma in (0.1, 0.04, 0.06, 0.08, 0.09)
    )
    with pytest.raises(UsageError, match="'0'"):
        sigma_list("0")
    with pytest.raises(UsageError, match="cifar-d"):
        sigma_list("cifar-d")


@pytest.mark.parametrize(
    "text",
    [
        "pink_noise:sigma=1",
        "gaussian_noise",
        "gaussian_noise:sigma=x",
        "gaussian_noise:cifar-c=6",
        "gaussian_noise:width=1",
        "impulse_noise:amount=1.5",
        "gaussian_noise:sigma=-1",
        "shot_noise:photons=0",
        "uniform_noise:cifar-c=1",
    ],
)
def test_mistakes_are_usage_errors(text: str) -> None:
    with pytest.raises(UsageError):
        parse(text)


def test_identity_names_the_definition() -> None:
    identity = parse("gaussian_noise:sigma=0.1", seed=3, draw=1).identity()
    assert identity["kind"] == "gaussian_noise" and identity["seed"] == 3
    assert identity["draw"] == 1 and "philox" in identity["definition"]
