"""What `verify` finds, against a plain loop and on damaged files."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from make_sets import make_cifar100, make_cue_conflict, make_tid2013
from PIL import Image
from scipy.stats import kendalltau, spearmanr
from shared_data import SHARED, needs_shared

from fastclip.stimuli import cifar100, cue_conflict, tid2013, verify
from fastclip.stimuli.manifest import read_manifest


def texts(report: verify.Report, passed: bool | None) -> str:
    return "\n".join(check.text for check in report.checks if check.passed is passed)


def test_psnr_is_that_of_a_plain_loop(tmp_path: Path) -> None:
    root = make_tid2013(tmp_path / "set")
    psnr, scores = [], []
    for line in (root / "mos_with_names.txt").read_text().split("\n")[:-1]:
        score, name = line.split()
        a = np.asarray(Image.open(root / "reference_images" / f"{name[:3].upper()}.BMP"), float)
        b = np.asarray(Image.open(root / "distorted_images" / name.lower()), float)
        psnr.append(10 * np.log10(255**2 / np.mean((a - b) ** 2)))
        scores.append(float(score))
    data = tid2013.load(root, name="toy")
    report = verify.verify(data)
    assert report.passed
    srcc, krcc = spearmanr(psnr, scores).statistic, kendalltau(psnr, scores).statistic
    assert f"SRCC {srcc:.4f}, KRCC {krcc:.4f}" in texts(report, None)
    assert report.digest == read_manifest(data.pictures, tmp_path / "cache", 1).digest


def test_a_set_that_claims_to_be_tid2013_must_have_its_psnr(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from fastclip.stimuli import iqa_table

    monkeypatch.setitem(iqa_table.COUNTS, "tid2013", 18)
    report = verify.verify(tid2013.load(make_tid2013(tmp_path / "set"), name="tid2013"))
    assert not report.passed
    assert "published 0.6869, 0.4958" in texts(report, False)


def test_corrupt_and_mismatched_pictures_are_named(tmp_path: Path) -> None:
    root = make_tid2013(tmp_path / "set")
    folder = root / "distorted_images"
    bad = folder / "i02_01_3.bmp"
    bad.write_bytes(bad.read_bytes()[:300])
    Image.new("RGB", (5, 5)).save(folder / "i03_16_1.bmp")
    report = verify.verify(tid2013.load(root, name="toy"))
    assert not report.passed
    found = texts(report, False)
    assert "1 picture cannot be decoded: distorted_images/i02_01_3.bmp" in found
    assert "2 pairs cannot be compared" in found


def test_corrupt_png_in_cue_conflict(tmp_path: Path) -> None:
    root = make_cue_conflict(tmp_path / "set")
    (root / "bear" / "bear1-bird1.png").write_bytes(b"\x89PNG\r\n\x1a\n rubbish")
    report = verify.verify(cue_conflict.load(root, name="toy"))
    assert "bear/bear1-bird1.png" in texts(report, False)
    assert "4 classes, 4 pictures for each shape, 4 for each texture, 4 of 16" in texts(
        report, None
    )


def test_digest_follows_bytes_and_labels(tmp_path: Path) -> None:
    root = make_cue_conflict(tmp_path / "set")
    first = verify.verify(cue_conflict.load(root, name="toy"))
    assert verify.verify(cue_conflict.load(root, name="other"), workers=1).digest == first.digest
    picture = root / "bear" / "bear1-bird1.png"
    Image.new("RGB", (32, 32)).save(picture)
    second = verify.verify(cue_conflict.load(root, name="toy"))
    assert second.digest != first.digest and second.labels_digest == first.labels_digest
    picture.rename(picture.with_name("bear1-airplane9.png"))
    assert verify.verify(cue_conflict.load(root, name="toy")).labels_digest != first.labels_digest


def test_cifar_md5(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = make_cifar100(tmp_path / "set")
    report = verify.verify(cifar100.load(root, name="cifar100", partial=True))
    assert report.passed and "published f0ef6b0ae62326f3e7ffdfab6717acfc" in texts(report, None)
    monkeypatch.setitem(cifar100.COUNTS, "cifar100", 20)
    report = verify.verify(cifar100.load(root, name="cifar100"))
    assert not report.passed and "MD5 of test" in texts(report, False)
    assert "MD5 of test" in texts(verify.verify(cifar100.load(root, name="toy")), None)


@needs_shared
def test_real_cue_conflict_pictures_verify() -> None:
    data = cue_conflict.load(SHARED / "cue-conflict", name="cue-conflict", partial=True, limit=64)
    report = verify.verify(data)
    assert report.passed and report.label == "cue-conflict[64/1280]"
    assert any("224x224 (64)" in line for line in report.lines)
