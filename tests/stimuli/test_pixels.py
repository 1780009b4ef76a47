"""Resizing against Pillow, geometry against open_clip's transform."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from fastclip import _kernels
from fastclip.errors import DataError, UsageError
from fastclip.stimuli.base import PixelSpec
from fastclip.stimuli.pixels import Geometry, geometry, preprocess

FILTERS = {"bicubic": Image.Resampling.BICUBIC, "bilinear": Image.Resampling.BILINEAR}


def pillow(picture: np.ndarray, height: int, width: int, interpolation: str) -> np.ndarray:
    """Pillow with the pass order of 12.1: one axis in each call forces it."""
    image = Image.fromarray(picture)
    filter_ = FILTERS[interpolation]
    return np.asarray(image.resize((width, image.height), filter_).resize((width, height), filter_))


def own(picture: np.ndarray, height: int, width: int, interpolation: str, isa: str) -> np.ndarray:
    out = np.empty((1, height, width, 3), np.uint8)
    window = np.array([[height, width, 0, 0]], np.int32)
    _kernels.resize([picture], window, out, interpolation, isa=isa)
    return out[0]


def test_500_random_sizes_differ_from_pillow_in_no_pixel() -> None:
    rng = np.random.default_rng(0)
    sets = _kernels.instruction_sets()
    whole_calls = 0
    for case in range(500):
        h, w, height, width = rng.integers(1, 260, 4).tolist()
        picture = rng.integers(0, 256, (h, w, 3), np.uint8)
        interpolation = ("bicubic", "bilinear")[case % 2]
        result = own(picture, height, width, interpolation, sets[case % len(sets)])
        expected = pillow(picture, height, width, interpolation)
        assert np.array_equal(result, expected), (h, w, height, width, interpolation)
        # Pillow 13 resizes tall pictures vertically first; elsewhere one call has our order.
        if h - height <= 2 * (w - width) or h <= height:
            whole = Image.fromarray(picture).resize((width, height), FILTERS[interpolation])
            assert np.array_equal(result, np.asarray(whole))
            whole_calls += 1
    assert whole_calls > 250


def test_512_by_384_becomes_298_by_224_cropped_at_37() -> None:
    assert geometry(384, 512, PixelSpec(224, 224)) == Geometry(224, 298, 0, 37)


@pytest.mark.parametrize("mode", ["shortest", "longest", "squash"])
@pytest.mark.parametrize("interpolation", ["bicubic", "bilinear"])
@pytest.mark.parametrize("size", [(48, 48), (40, 56), (57, 31)])
def test_equal_to_open_clips_transform(
    mode: str, interpolation: str, size: tuple[int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    """open_clip's own transform, with Pillow made to resize horizontally first."""
    from open_clip.transform import PreprocessCfg, image_transform_v2

    transform = image_transform_v2(
        PreprocessCfg(size, resize_mode=mode, interpolation=interpolation, fill_color=90), False
    )
    resize_and_crop = transform.transforms[:-2]  # what follows makes a normalised tensor
    spec = PixelSpec(*size, resize_mode=mode, interpolation=interpolation, fill=90)
    resize = Image.Image.resize

    def horizontal_first(image: Image.Image, size: tuple[int, int], filter_: int) -> Image.Image:
        return resize(resize(image, (size[0], image.height), filter_), size, filter_)

    monkeypatch.setattr(Image.Image, "resize", horizontal_first)
    rng = np.random.default_rng(5)
    for _ in range(25):
        h, w = rng.integers(20, 150, 2).tolist()
        picture = rng.integers(0, 256, (h, w, 3), np.uint8)
        expected = Image.fromarray(picture)
        for step in resize_and_crop:
            expected = step(expected)
        assert np.array_equal(preprocess([picture], spec)[0], np.asarray(expected)), (h, w)


def test_threads_and_batches_leave_the_bytes_alone() -> None:
    rng = np.random.default_rng(6)
    pictures = [rng.integers(0, 256, (*rng.integers(20, 90, 2), 3), np.uint8) for _ in range(9)]
    spec = PixelSpec(32, 32)
    one = preprocess(pictures, spec, threads=1)
    assert np.array_equal(preprocess(pictures, spec, threads=2), one)
    assert np.array_equal(np.concatenate([preprocess([p], spec) for p in pictures]), one)
    flipped = [np.asfortranarray(p) for p in pictures]
    assert np.array_equal(preprocess(flipped, spec), one)


def test_what_cannot_be_done_is_said() -> None:
    thin = np.zeros((1, 1000, 3), np.uint8)
    with pytest.raises(DataError, match="too narrow"):
        preprocess([thin], PixelSpec(224, 224, resize_mode="longest"))
    with pytest.raises(UsageError, match="resize mode"):
        geometry(10, 10, PixelSpec(8, 8, resize_mode="stretch"))
    with pytest.raises(UsageError, match="interpolation"):
        preprocess([thin], PixelSpec(8, 8, interpolation="lanczos"))
