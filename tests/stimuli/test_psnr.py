"""PSNR of a set's pairs: a plain loop's, computed once and kept."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from make_sets import make_tid2013
from PIL import Image

from fastclip.errors import DataError
from fastclip.stimuli import psnr, tid2013
from fastclip.stimuli.base import ImageQualityDataset
from fastclip.stimuli.cache import entries


def test_psnr_of_equal_and_of_unequal_pictures() -> None:
    black, white = np.zeros((4, 6, 3), np.uint8), np.full((4, 6, 3), 255, np.uint8)
    assert psnr.peak_signal_to_noise(black, black) == np.inf
    assert psnr.peak_signal_to_noise(black, white) == 0
    one = black.copy()
    one[0, 0, 0] = 255
    assert psnr.peak_signal_to_noise(black, one) == pytest.approx(10 * np.log10(4 * 6 * 3))
    assert np.isnan(psnr.peak_signal_to_noise(black, white[:3]))


def plain(data: ImageQualityDataset) -> list[float]:
    def pixels(row: int) -> np.ndarray:
        return np.asarray(Image.open(data.pictures.stat(row)[0]).convert("RGB"), float)

    pairs = zip(data.reference, data.distorted, strict=True)
    return [10 * np.log10(255**2 / np.mean((pixels(r) - pixels(d)) ** 2)) for r, d in pairs]


def test_pairs_are_a_plain_loops_and_kept(
    tmp_path: Path, own_cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = make_tid2013(tmp_path / "set")
    data = tid2013.load(root, name="toy")
    found = psnr.of_pairs(data)
    np.testing.assert_allclose(found, plain(data), rtol=1e-12)
    assert psnr.of_pairs(data) is found
    assert [entry.kind for entry in entries(own_cache)].count("psnr") == 1
    monkeypatch.setattr(psnr, "_compute", None)
    np.testing.assert_array_equal(psnr.of_pairs(tid2013.load(root, name="toy")), found)


def test_other_pictures_or_pairs_are_computed_anew(tmp_path: Path, own_cache: Path) -> None:
    root = make_tid2013(tmp_path / "set")
    first = psnr.of_pairs(tid2013.load(root, name="toy"))
    cut = psnr.of_pairs(tid2013.load(root, name="toy", partial=True, limit=6))
    np.testing.assert_array_equal(cut, first[:6])
    picture = root / "distorted_images" / "i01_01_1.bmp"
    Image.open(root / "reference_images" / "I01.BMP").save(picture)
    again = psnr.of_pairs(tid2013.load(root, name="toy"))
    assert again[0] == np.inf
    np.testing.assert_array_equal(again[1:], first[1:])


def test_a_damaged_file_in_the_cache_is_made_anew(tmp_path: Path, own_cache: Path) -> None:
    root = make_tid2013(tmp_path / "set")
    first = psnr.of_pairs(tid2013.load(root, name="toy"))
    (path,) = (own_cache / "psnr").iterdir()
    path.write_bytes(path.read_bytes()[:40])
    np.testing.assert_array_equal(psnr.of_pairs(tid2013.load(root, name="toy")), first)


def test_pairs_of_different_size_and_damaged_pictures(tmp_path: Path) -> None:
    root = make_tid2013(tmp_path / "set")
    Image.new("RGB", (5, 5)).save(root / "distorted_images" / "i03_16_1.bmp")
    found = psnr.of_pairs(tid2013.load(root, name="toy"))
    assert np.isnan(found).sum() == 1
    bad = root / "distorted_images" / "i02_01_3.bmp"
    bad.write_bytes(bad.read_bytes()[:300])
    with pytest.raises(DataError, match="i02_01_3"):
        psnr.of_pairs(tid2013.load(root, name="toy"))
