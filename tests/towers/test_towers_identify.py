"""Where the architecture comes from, and what is refused."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tower_helpers import CONFIGS

from fastclip.checkpoints.base import Checkpoint, CheckpointFile, Metadata, TensorInfo
from fastclip.errors import CheckpointError, UsageError
from fastclip.towers.configs import is_custom_text, named_config
from fastclip.towers.identify import identify
from fastclip.towers.match import states_of
from fastclip.towers.preprocessing import OPENAI_MEAN


class Named(CheckpointFile):
    """A checkpoint of which only names and shapes are looked at."""

    def __init__(self, shapes: Mapping[str, tuple[int, ...]]) -> None:
        self.tensors = {name: TensorInfo(shape, "float32") for name, shape in shapes.items()}
        self.metadata = Metadata()

    def read(self, names: Iterable[str]) -> dict[str, np.ndarray]:
        raise AssertionError("identify reads no values")

    digest = close = read  # type: ignore[assignment]


def weights_of(config: Mapping[str, Any]) -> Named:
    """Names and shapes as open_clip saves this config."""
    states = states_of(config)
    if is_custom_text(config):
        return Named(states)
    return Named({name.removeprefix("text."): shape for name, shape in states.items()})


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """A checkpoint's path as open_clip's training lays it out."""
    folder = tmp_path / "my-run" / "checkpoints"
    folder.mkdir(parents=True)
    path = folder / "epoch_2.pt"
    path.touch()
    return path


def at(path: Path, **known: Any) -> Checkpoint:
    return Checkpoint(path=path, run="my-run", format="torch", stamp="", **known)


def write_params(run: Path, **values: Any) -> None:
    lines = [f"{key}: {value}\n" for key, value in {"batch_size": 64, **values}.items()]
    (run.parents[1] / "params.txt").write_text("".join(lines))


def test_params_of_the_run(run: Path) -> None:
    write_params(
        run,
        model="ViT-B-32",
        force_quick_gelu=True,
        force_image_size=[256],
        image_mean=[0.5, 0.4, 0.3],
        image_std=None,
        image_interpolation="bilinear",
        image_resize_mode="squash",
        pretrained="",
    )
    config = named_config("ViT-B-32")
    config["vision_cfg"]["image_size"] = 256
    found = identify(weights_of(config), at(run))
    assert found.name == "ViT-B-32" and found.source == "params.txt"
    assert found.config["quick_gelu"] is True
    pixels = found.preprocessing.pixels
    assert (pixels.height, pixels.resize_mode, pixels.interpolation) == (256, "squash", "bilinear")
    assert found.preprocessing.mean == (0.5, 0.4, 0.3)
    assert found.guessed == ()
    assert found.tokenizer == "simple"


def test_params_naming_a_config_beside_them(run: Path) -> None:
    write_params(run, model="my-vit")
    with pytest.raises(CheckpointError, match="my-vit") as refusal:
        identify(weights_of(CONFIGS["vit"]), at(run))
    assert "--model" in str(refusal.value)
    (run.parents[1] / "my-vit.json").write_text(json.dumps(CONFIGS["vit"]))
    assert identify(weights_of(CONFIGS["vit"]), at(run)).config == CONFIGS["vit"]


def test_preprocessing_of_the_tag_a_run_began_with(run: Path) -> None:
    write_params(run, model="ViT-B-32", pretrained="laion2b_s34b_b79k", image_mean=None)
    found = identify(weights_of(named_config("ViT-B-32")), at(run))
    assert found.preprocessing.mean == OPENAI_MEAN
    write_params(run, model="ViT-L-14-CLIPA", pretrained="datacomp1b")
    found = identify(weights_of(named_config("ViT-L-14-CLIPA")), at(run))
    assert found.preprocessing.pixels.resize_mode == "squash"
    assert found.preprocessing.pixels.interpolation == "bilinear"


def test_open_clip_config_beside(run: Path) -> None:
    value = {
        "model_cfg": CONFIGS["vit"],
        "preprocess_cfg": {"mean": [0.5] * 3, "std": [0.25] * 3, "resize_mode": "longest"},
    }
    (run.parent / "open_clip_config.json").write_text(json.dumps(value))
    found = identify(weights_of(CONFIGS["vit"]), at(run))
    assert found.name == "my-run" and found.source == "open_clip_config.json"
    assert found.preprocessing.std == (0.25,) * 3
    assert found.preprocessing.pixels.resize_mode == "longest"
    assert len(found.guessed) == 1 and "bicubic" in found.guessed[0]
    assert "mean" not in found.guessed[0]


def test_option_wins_over_files(run: Path) -> None:
    write_params(run, model="ViT-B-32", image_mean=[0.5, 0.5, 0.5])
    weights = weights_of(named_config("ViT-B-32"))
    other = identify(weights, at(run), "ViT-B-32-quickgelu")
    assert other.source == "--model" and other.preprocessing.mean == OPENAI_MEAN
    # The same name: the run's own options complete it.
    assert identify(weights, at(run), "ViT-B/32").preprocessing.mean == (0.5, 0.5, 0.5)


def test_seen_in_the_tensors_what_cannot_be_seen_is_listed(run: Path) -> None:
    found = identify(weights_of(named_config("ViT-L-14-280")), at(run))
    assert found.name == "ViT-L-14-280" and found.source == "tensor names and shapes"
    said = " ".join(found.guessed)
    for word in ("GELU", "heads", "pooling", "tokenizer", "mean", "resizing"):
        assert word in said
    for name in ("coca_ViT-B-32", "ViT-B-16-SigLIP"):
        assert identify(weights_of(named_config(name)), at(run)).name == name


@pytest.mark.parametrize(
    ("name", "rival", "differs"),
    [
        ("ViT-B-32", "ViT-B-32-quickgelu", "quick_gelu"),
        ("convnext_base_w", "convnext_base_w_320", "image_size"),
    ],
)
def test_two_candidates_are_refused(run: Path, name: str, rival: str, differs: str) -> None:
    weights = weights_of(named_config(name))
    with pytest.raises(CheckpointError) as refusal:
        identify(weights, at(run))
    text = str(refusal.value)
    assert differs in text and f"--model {name} or --model {rival}" in text
    assert identify(weights, at(run), name).name == name


def test_unknown_tensors_are_refused_and_a_config_beside_is_offered(run: Path) -> None:
    weights = weights_of(CONFIGS["vit"])
    with pytest.raises(CheckpointError, match="no architecture of open_clip") as refusal:
        identify(weights, at(run))
    beside = run.parent / "tiny.json"
    assert "--model" in str(refusal.value) and "tiny.json" not in str(refusal.value)
    beside.write_text(json.dumps(CONFIGS["vit"]))
    with pytest.raises(CheckpointError) as refusal:
        identify(weights, at(run))
    assert f"--model {beside}" in str(refusal.value)
    found = identify(weights, at(run), str(beside))
    assert found.name == "tiny" and found.source == "--model"


def test_another_architecture_than_told_is_refused(run: Path) -> None:
    with pytest.raises(CheckpointError) as refusal:
        identify(weights_of(named_config("ViT-B-32")), at(run), "ViT-B-16")
    text = str(refusal.value)
    assert "another architecture than ViT-B-16" in text
    assert "'visual.conv1.weight' is 768x3x32x32, not 768x3x16x16" in text
    assert str(run) in text and "--model" in text


def test_anchor_is_what_its_tag_says(run: Path) -> None:
    weights = weights_of(named_config("ViT-B-32"))
    found = identify(weights, at(run, anchor="openclip:ViT-B-32/openai"))
    assert found.name == "ViT-B-32" and found.config["quick_gelu"] is True
    assert found.guessed == ()
    plain = identify(weights, at(run, anchor="openclip:ViT-B-32/laion2b_s34b_b79k"))
    assert not plain.config.get("quick_gelu") and plain.digest != found.digest
    with pytest.raises(UsageError, match="no weights 'nothing'") as refusal:
        identify(weights, at(run, anchor="openclip:ViT-B-32/nothing"))
    assert "laion2b_s34b_b79k" in str(refusal.value)


def test_wrong_model_options(run: Path, tmp_path: Path) -> None:
    weights = weights_of(CONFIGS["vit"])
    with pytest.raises(UsageError, match="'ViT-B-33'") as refusal:
        identify(weights, at(run), "ViT-B-33")
    assert "ViT-B-32" in str(refusal.value)
    with pytest.raises(UsageError, match="no such model config"):
        identify(weights, at(run), str(tmp_path / "absent.json"))
    for content in ("{", '{"embed_dim": 3}', "[]"):
        (tmp_path / "bad.json").write_text(content)
        with pytest.raises(UsageError, match="not a"):
            identify(weights, at(run), str(tmp_path / "bad.json"))
    odd = {"model_cfg": CONFIGS["vit"], "preprocess_cfg": {"resize_mode": "stretch"}}
    (tmp_path / "odd.json").write_text(json.dumps(odd))
    with pytest.raises(CheckpointError, match="'stretch'") as refused:
        identify(weights, at(run), str(tmp_path / "odd.json"))
    assert "squash" in str(refused.value)


def test_huggingface_layout_needs_its_config(run: Path) -> None:
    weights = Named({"vision_model.embeddings.class_embedding": (8,)})
    weights.layout = "huggingface"  # type: ignore[misc]
    with pytest.raises(CheckpointError, match=r"config\.json"):
        identify(weights, at(run))
