"""The operator within a DALI pipeline gives the bytes of `fastclip.distortions`."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

from fastclip.distortions.levels import parse
from fastclip.errors import RefusalError

pytest.importorskip("nvidia.dali")
from dali_helpers import cache, compiled_operator, gpus

from fastclip.stimuli.dali import build, operator

pytestmark = compiled_operator

LEVELS = (
    "gaussian_noise:sigma=0.1",
    "speckle_noise:sigma=0.3",
    "uniform_noise:width=0.2",
    "impulse_noise:amount=0.1",
    "impulse_noise:amount=1",
    "shot_noise:photons=12",
    "gaussian_blur:sigma=1.5",
    "brightness:shift=0.2",
    "contrast:factor=0.4",
    "saturate:factor=5:shift=0.1",
)
SIZES = [(31, 17), (1, 1), (64, 48), (200, 333), (5, 7), (31, 17), (48, 64)]

Pictures = Sequence[npt.NDArray[np.uint8]]


@pytest.fixture(scope="module", autouse=True)
def _loaded() -> None:
    operator.load(cache())


@pytest.fixture(scope="module")
def pictures() -> Pictures:
    rng = np.random.default_rng(0)
    return [rng.integers(0, 256, (*size, 3), np.uint8) for size in SIZES]


@pytest.fixture(scope="module")
def keys() -> npt.NDArray[np.uint64]:
    return np.random.default_rng(1).integers(0, 2**64, len(SIZES), np.uint64)


def runs(
    noise: object, batches: Sequence[tuple[Pictures, npt.NDArray]], threads: int = 1, gpu=False
) -> Iterator[list[npt.NDArray[np.uint8]]]:
    """One pipeline, one iteration per batch."""
    from nvidia.dali import Pipeline, fn, types

    most = max(len(batch) for batch, _ in batches)
    pipeline = Pipeline(most, threads, 0 if gpu else None, prefetch_queue_depth=1)
    with pipeline:
        fed = fn.external_source(name="pictures", ndim=3, dtype=types.UINT8, layout="HWC")
        key = fn.external_source(name="keys", ndim=0)
        pipeline.set_outputs(operator.distort(fed.gpu() if gpu else fed, key, noise))
    for batch, of in batches:
        pipeline.feed_input("pictures", list(batch))
        pipeline.feed_input("keys", of)
        (noisy,) = pipeline.run()
        assert noisy.layout() == "HWC"
        yield [np.array(one) for one in (noisy.as_cpu() if gpu else noisy)]


def expected(noise, pictures: Pictures, keys: npt.NDArray) -> list[npt.NDArray[np.uint8]]:
    return [noise.apply(p[None], keys[i : i + 1])[0] for i, p in enumerate(pictures)]


def same(got: Pictures, wanted: Pictures) -> bool:
    return all(np.array_equal(a, b) for a, b in zip(got, wanted, strict=True))


@pytest.mark.parametrize("text", LEVELS)
def test_the_bytes_of_the_module_whatever_the_batch(text: str, pictures, keys) -> None:
    """Alone, in other places, in other batch sizes, iterations and threads."""
    noise = parse(text, seed=2**63 + 5, draw=3)
    wanted = expected(noise, pictures, keys)
    assert not same(wanted, pictures)
    order = [3, 0, 6, 2, 5, 1, 4]
    turned = ([pictures[i] for i in order], keys[order])
    for threads in (1, 3):
        whole, again, moved = runs(
            noise, [(pictures, keys), (pictures, keys), turned], threads=threads
        )
        assert same(whole, wanted) and same(again, wanted)
        assert same(moved, [wanted[i] for i in order])
    alone = runs(noise, [(pictures[i : i + 1], keys[i : i + 1]) for i in range(len(SIZES))])
    assert same([one for (one,) in alone], wanted)


def test_signed_keys_are_the_same_keys(pictures, keys) -> None:
    noise = parse("gaussian_noise:sigma=0.1")
    (got,) = runs(noise, [(pictures, keys.view(np.int64))])
    assert same(got, expected(noise, pictures, keys))


def test_seed_draw_key_and_level_all_matter(pictures, keys) -> None:
    base = parse("gaussian_noise:sigma=0.1", seed=1)
    others = [
        (parse("gaussian_noise:sigma=0.1", seed=2), keys),
        (parse("gaussian_noise:sigma=0.1", seed=1, draw=1), keys),
        (parse("gaussian_noise:sigma=0.11", seed=1), keys),
        (base, keys[::-1].copy()),
    ]
    ((_, _, first, *_),) = runs(base, [(pictures, keys)])
    for noise, of in others:
        ((_, _, other, *_),) = runs(noise, [(pictures, of)])
        assert not np.array_equal(first, other)


def test_what_is_wrong_is_said(pictures, keys) -> None:
    noise = parse("gaussian_noise:sigma=0.1")
    with pytest.raises(RuntimeError, match="keys have 64 bits"):
        list(runs(noise, [(pictures, keys.astype(np.int32))]))
    with pytest.raises(RuntimeError, match=r"\[h, w, 3\]"):
        list(runs(noise, [([p[..., :2].copy() for p in pictures], keys)]))


@pytest.mark.gpu
@pytest.mark.skipif(gpus() == 0, reason="no CUDA device")
@pytest.mark.parametrize("text", LEVELS)
def test_the_gpu_gives_the_bytes_of_the_cpu(text: str, pictures, keys) -> None:
    noise = parse(text, seed=7)
    batches = [(pictures, keys), (pictures * 20, np.tile(keys, 20))]
    first, many = runs(noise, batches, gpu=True)
    assert same(first, expected(noise, pictures, keys))
    assert same(many, first * 20)


def test_built_once_and_only_into_a_folder_of_ones_own(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    library = build.build(cache())
    assert "dali-" in library.name and not library.parent.stat().st_mode & 0o022
    monkeypatch.setattr(build, "_compile", lambda *_: pytest.fail("compiled again"))
    assert build.build(cache()) == library
    (tmp_path / "operators").mkdir()
    (tmp_path / "operators").chmod(0o777)
    with pytest.raises(RefusalError, match="others may write"):
        build.build(tmp_path)


def test_a_compiler_that_fails_is_quoted(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    broken = tmp_path / "broken"
    broken.write_text("#!/bin/sh\necho 'error: no such thing'\nexit 1\n")
    broken.chmod(0o755)
    monkeypatch.setenv("CXX", str(broken))
    monkeypatch.setattr(build, "nvcc", lambda: None)
    monkeypatch.setattr(build, "_headers", list)
    with pytest.raises(RefusalError, match="no such thing"):
        build.build(tmp_path / "cache")
    assert not list((tmp_path / "cache" / "operators").iterdir())
    monkeypatch.setenv("CXX", "no-such-compiler")
    with pytest.raises(RefusalError, match="needs a C\\+\\+ compiler"):
        build.build(tmp_path / "cache")
