"""Cue-conflict, CIFAR-100 and ImageNet folders."""

from __future__ import annotations

import os
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from make_sets import CUE_CLASSES, make_cifar100, make_cue_conflict
from PIL import Image
from shared_data import SHARED, needs_shared

from fastclip.errors import DataError
from fastclip.stimuli import cifar100, cue_conflict, imagenet


def test_cue_conflict_reads_shape_and_texture(tmp_path: Path) -> None:
    data = cue_conflict.load(make_cue_conflict(tmp_path / "set", per_pair=2), name="toy")
    assert data.classes == CUE_CLASSES and data.label == "toy" and data.found == 32
    for row in range(data.found):
        folder, file = data.pictures.name(row).split("/")
        shape, texture = file.removesuffix(".png").split("-")
        assert (shape, texture) == (data.shape_exemplar[row], data.texture_exemplar[row])
        assert data.classes[data.shape[row]] == folder == shape.rstrip("12")
        assert data.classes[data.texture[row]] == texture.rstrip("12")
    assert np.sum(data.shape == data.texture) == 8


def test_cue_conflict_limit_takes_from_every_shape(tmp_path: Path) -> None:
    root = make_cue_conflict(tmp_path / "set", per_pair=2)
    data = cue_conflict.load(root, name="toy", limit=10)
    assert data.label == "toy[10/32]"
    assert np.bincount(data.shape).tolist() == [3, 3, 2, 2]
    assert len(data.pictures) == 10 == len(data.texture_exemplar)


def test_cue_conflict_defects(tmp_path: Path) -> None:
    root = make_cue_conflict(tmp_path / "set")
    (root / "LICENSE").write_text("CC BY 4.0")
    (root / "bear" / "thumb.png").write_bytes(b"")
    (root / "cat").mkdir()
    data = cue_conflict.load(root, name="toy")
    assert data.found == 16
    assert data.notes == ("2 extra files left out: bear/thumb.png, cat/",)
    with pytest.raises(DataError, match=r"16 of 1280 rows .*4 airplane.*0 truck"):
        cue_conflict.load(root, name="cue-conflict")
    data = cue_conflict.load(root, name="cue-conflict", partial=True)
    assert data.label == "cue-conflict[16/1280]"
    assert data.classes == cue_conflict.CLASSES and len(data.classes) == 16
    (root / "bear" / "bear1-zebra1.png").write_bytes(b"")
    with pytest.raises(DataError, match="texture 'zebra'"):
        cue_conflict.load(root, name="toy")
    with pytest.raises(DataError, match="no usable picture"):
        cue_conflict.load(tmp_path / "set" / "cat", name="toy", partial=True)


def test_cue_conflict_in_a_clone(tmp_path: Path) -> None:
    make_cue_conflict(tmp_path / "stimuli" / "style-transfer-preprocessed-512")
    assert cue_conflict.load(tmp_path, name="toy").found == 16


@needs_shared
def test_real_cue_conflict_pictures() -> None:
    data = cue_conflict.load(SHARED / "cue-conflict", name="cue-conflict", partial=True)
    assert data.label == "cue-conflict[384/1280]"
    assert np.bincount(data.shape).tolist() == [24] * 16
    row = next(r for r in range(384) if "airplane10-cat2" in data.pictures.name(r))
    assert (data.shape_exemplar[row], data.texture_exemplar[row]) == ("airplane10", "cat2")
    with pytest.raises(DataError, match=r"384 of 1280 rows .*there are: 24 of each"):
        cue_conflict.load(SHARED / "cue-conflict", name="cue-conflict")


def test_cifar100_pictures_and_names(tmp_path: Path) -> None:
    root = make_cifar100(tmp_path / "cifar-100-python", n=12, classes=5)
    raw = pickle.loads((root / "test").read_bytes())
    for path in (root, tmp_path):
        data = cifar100.load(path, name="toy-cifar")
        assert data.label == "toy-cifar" and data.found == 12
    assert data.pictures.encoded(3) == raw["data"][3].tobytes()
    picture = data.pictures.decode(3, data.pictures.encoded(3))
    assert picture.shape == (32, 32, 3) and picture.dtype == np.uint8
    np.testing.assert_array_equal(picture[:, :, 2].ravel(), raw["data"][3][2048:])  # blue is last
    assert data.class_names["dataset"][1] == "some_class_1"
    assert data.class_names["openai"][1] == "some class 1"
    assert data.label_index.tolist() == raw["fine_labels"]
    assert data.noise_at == "native"
    assert data.pictures.name(3) == "00003_some_class_3_s_000003.png"
    assert data.pictures.stat(3)[0] == str(root / "test")
    part = cifar100.load(root, name="toy-cifar", limit=4)
    assert part.label == "toy-cifar[4/12]" and len(part.pictures) == 4


def test_cifar100_templates() -> None:
    """18 different ones; the words that openai/CLIP's data/prompts.md lists."""
    assert len(set(cifar100.TEMPLATES)) == 18
    assert cifar100.TEMPLATES[0] == "a photo of a {}."
    assert cifar100.TEMPLATES[8:10] == ("a photo of a big {}.", "a photo of the {}.")
    assert cifar100.TEMPLATES[-1] == "a photo of the big {}."
    assert all(t.count("{}") == 1 and t.endswith("{}.") for t in cifar100.TEMPLATES)
    assert "a black and white photo of the {}." in cifar100.TEMPLATES


class Evil:
    def __reduce__(self) -> tuple[Callable[..., Any], tuple[str]]:
        return os.system, ("touch owned",)


def test_cifar100_runs_no_code(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    root = make_cifar100(tmp_path / "set")
    (root / "test").write_bytes(pickle.dumps({"data": Evil()}))
    with pytest.raises(DataError, match=r"asks for 'posix.system'") as caught:
        cifar100.load(root, name="toy")
    assert str(root / "test") in str(caught.value)
    assert not (tmp_path / "owned").exists()


@pytest.mark.parametrize("protocol", [2, 4])
@pytest.mark.parametrize("keys", [str, str.encode])
def test_cifar100_pickle_dialects(tmp_path: Path, protocol: int, keys: Any) -> None:
    root = make_cifar100(tmp_path / "set")
    for file in ("test", "meta"):
        content = pickle.loads((root / file).read_bytes())
        content = {keys(key): value for key, value in content.items()}
        (root / file).write_bytes(pickle.dumps(content, protocol=protocol))
    assert cifar100.load(root, name="toy").found == 20


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"data": np.zeros((20, 3072), np.float32)}, "not an array of uint8"),
        ({"data": np.zeros((19, 3072), np.uint8)}, r"not an array of uint8 \[20, 3072\]"),
        ({"fine_labels": [100] * 20}, "not one of 100 classes"),
        ({"fine_labels": None}, "has no 'fine_labels'"),
    ],
)
def test_cifar100_layout_defects(tmp_path: Path, change: dict[str, Any], message: str) -> None:
    root = make_cifar100(tmp_path / "set")
    content = pickle.loads((root / "test").read_bytes()) | change
    content = {key: value for key, value in content.items() if value is not None}
    (root / "test").write_bytes(pickle.dumps(content, protocol=2))
    with pytest.raises(DataError, match=message):
        cifar100.load(root, name="toy")


def test_cifar100_missing_and_damaged(tmp_path: Path) -> None:
    root = make_cifar100(tmp_path / "set")
    with pytest.raises(DataError, match="20 of 10000"):
        cifar100.load(root, name="cifar100")
    (root / "test").write_bytes((root / "test").read_bytes()[:5000])
    with pytest.raises(DataError, match="damaged"):
        cifar100.load(root, name="toy")
    (root / "meta").unlink()
    with pytest.raises(DataError, match="missing"):
        cifar100.load(root, name="toy")


@needs_shared
def test_real_cifar100_pictures() -> None:
    data = cifar100.load(SHARED, name="cifar100", partial=True)
    assert data.label == "cifar100[916/10000]"
    names = data.class_names["openai"]
    assert len(names) == 100 and names[0] == "apple" and "aquarium fish" in names
    first = data.pictures.name(0)
    assert first == "00000_volcano_s_000012.png"
    assert names[data.label_index[0]] == "mountain"


def make_imagenet(root: Path, wnids: list[str], per_class: int = 2) -> Path:
    for wnid in wnids:
        (root / wnid).mkdir(parents=True)
        for n in range(per_class):
            Image.new("RGB", (8, 6)).save(root / wnid / f"ILSVRC2012_val_{n:08d}.JPEG")
    return root


def test_imagenet_class_order_is_open_clips(tmp_path: Path) -> None:
    """wnids of well-known classes stand at the index of open_clip's name for them."""
    make_imagenet(tmp_path / "val", ["n02510455", "n01440764", "n07880968"])
    data = imagenet.load(tmp_path, name="mine")
    labels = dict(zip((data.pictures.name(r)[:9] for r in range(6)), data.label_index, strict=True))
    names = data.class_names["openai"]
    assert names[labels["n01440764"]] == "tench"
    assert names[labels["n02510455"]] == "giant panda"
    assert names[labels["n07880968"]] == "burrito"
    assert data.class_names["dataset"][labels["n02510455"]].startswith("giant panda")
    assert len(data.templates) == 80 and data.templates[0] == "a bad photo of a {}."
    assert data.noise_at == "input" and data.label == "mine"
    wnids, _ = imagenet.wordnet_ids()
    assert list(wnids) == sorted(wnids) and len(set(wnids)) == 1000


def test_imagenet_subset_is_partial(tmp_path: Path) -> None:
    make_imagenet(tmp_path, ["n01440764", "n01443537"])
    (tmp_path / "n01440764" / "notes.txt").write_text("")
    (tmp_path / "n99999999").mkdir()
    with pytest.raises(DataError, match=r"4 of 50000 rows \(998 class folders missing: n01484850"):
        imagenet.load(tmp_path, name="imagenet")
    data = imagenet.load(tmp_path, name="imagenet", partial=True, limit=3)
    assert data.label == "imagenet[3/50000]" and data.label_index.tolist() == [0, 0, 1]
    assert any("n99999999" in note and "notes.txt" in note for note in data.notes)
    with pytest.raises(DataError, match="no class folders"):
        imagenet.load(tmp_path / "n01440764", name="imagenet")
