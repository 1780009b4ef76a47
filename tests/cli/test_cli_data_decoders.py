"""`fastclip data decoders`, as typed."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from make_sets import draw, make_cifar100, make_cue_conflict
from PIL import Image

from fastclip.cli.data import command
from fastclip.errors import DataError, RefusalError, UsageError
from fastclip.stimuli.base import PixelSpec
from fastclip.stimuli.sources import FilePictures

pytest.importorskip("nvidia.dali")
from dali_helpers import gpus

from fastclip.stimuli.differences import Difference, compare


def run(*arguments: str | Path) -> str:
    result = CliRunner().invoke(
        command, ["decoders", *map(str, arguments)], standalone_mode=False, catch_exceptions=False
    )
    assert result.return_value == 0
    return result.output


def photographs(root: Path, count: int = 5) -> Path:
    root.mkdir()
    for number in range(count):
        Image.fromarray(draw(number, (60, 50))).save(root / f"{number}.jpg", quality=85)
    return root


def test_folders_and_sets(tmp_path: Path) -> None:
    folder = photographs(tmp_path / "jpeg")
    cue = make_cue_conflict(tmp_path / "cue")
    cifar = make_cifar100(tmp_path / "cifar")
    out = tmp_path / "figures.json"
    output = run(
        folder, f"cue-conflict:cue={cue}", f"cifar100:cifar={cifar}", "--size", 32, "--json", out
    )  # fmt: skip
    figures = json.loads(out.read_text())
    mine = {(row["set"], row["decoder"], row["at"]): row for row in figures}
    same = mine[str(folder), "dali", "decode size"]
    assert (same["equal_pixels_percent"], same["max"], same["identical_pictures"]) == (100, 0, 5)
    assert mine["cue", "dali", "32x32"]["pictures"] == 16
    assert ("cifar", "dali", "decode size") not in mine  # pixels are not decoded
    assert mine["cifar", "dali-resize", "32x32"]["max"] == 0
    near = mine[str(folder), "dali-resize", "32x32"]
    assert 50 < near["equal_pixels_percent"] < 100 and 0 < near["mean"] < 0.3
    assert (str(folder), "dali-resize", "decode size") not in mine
    assert "100.0000 % of pixels equal" in output
    if gpus() == 0:
        assert "dali-mixed         not here" in output
        with pytest.raises(RefusalError, match="needs a CUDA device"):
            run(folder, "--decoder", "dali-mixed")


def test_what_cannot_be_compared_is_said(tmp_path: Path) -> None:
    folder = photographs(tmp_path / "jpeg")
    (folder / "2.jpg").write_bytes((folder / "2.jpg").read_bytes()[:500])
    with pytest.raises(DataError) as caught:
        run(folder)
    assert str(caught.value.where).endswith("2.jpg")
    assert "2 of 2 pictures identical" in run(folder, "--limit", 2)
    with pytest.raises(UsageError, match="unknown decoder 'cv2'"):
        run(folder, "--decoder", "cv2")
    (tmp_path / "empty").mkdir()
    with pytest.raises(UsageError, match="no pictures"):
        run(tmp_path / "empty")


def test_figures_count_pixels_and_values() -> None:
    reference = np.zeros((2, 5, 3), np.uint8)
    picture = reference.copy()
    picture[0, 0, 1], picture[1, 4] = 7, 255
    difference = Difference("d", "id", "decode size")
    difference.add([picture, reference], [reference, reference])
    figures = difference.figures()
    assert figures["equal_pixels_percent"] == 90 and figures["identical_pictures"] == 1
    assert figures["mean"] == (7 + 3 * 255) / 60 and figures["max"] == 255


def test_pictures_of_real_photographs_are_equal(tmp_path: Path) -> None:
    from shared_data import SHARED

    root = SHARED / "imagenet-samples"
    if not root.is_dir():
        pytest.skip("real data not present")
    names = sorted(path.name for path in root.iterdir())
    decoded, fitted = compare(FilePictures(root, names), "dali", PixelSpec(224, 224), limit=12)
    assert decoded.largest == fitted.largest == 0 and decoded.pictures == 12
