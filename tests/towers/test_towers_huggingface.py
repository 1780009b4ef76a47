"""Hugging Face CLIPModel against transformers' own forward."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tower_helpers import (
    CONFIGS,
    HUGGINGFACE,
    example_ids,
    example_pixels,
    far_apart,
    info_of,
    run_graph,
)

from fastclip.errors import CheckpointError
from fastclip.towers import get_towers, pack
from fastclip.towers.huggingface import open_clip_config, preprocess_cfg
from fastclip.towers.identify import architecture_of
from fastclip.towers.manifest import adapt
from fastclip.towers.module import build_module


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> tuple[Any, Path]:
    from transformers import CLIPConfig, CLIPModel

    torch.manual_seed(0)
    config = CLIPConfig(**HUGGINGFACE)
    model = CLIPModel(config).eval()
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.3)
    folder = tmp_path_factory.mktemp("hf")
    model.save_pretrained(folder)
    return model, folder


def test_config_in_open_clips_words(saved: tuple[Any, Path], tmp_path: Path) -> None:
    _, place = saved
    assert architecture_of(str(place / "config.json")).config == CONFIGS["quickgelu"]

    (tmp_path / "config.json").write_text((place / "config.json").read_text())
    (tmp_path / "preprocessor_config.json").write_text(
        json.dumps({"image_mean": [0.1, 0.2, 0.3], "image_std": [0.4, 0.5, 0.6], "resample": 2})
    )
    preprocessing = architecture_of(str(tmp_path / "config.json")).preprocessing
    assert preprocessing.mean == (0.1, 0.2, 0.3)
    assert preprocessing.std == (0.4, 0.5, 0.6)
    assert preprocessing.pixels.interpolation == "bilinear"


def test_embeddings_equal_transformers(saved: tuple[Any, Path], folder: Path) -> None:
    model, place = saved
    architecture = architecture_of(str(place / "config.json"))
    state = {name: tensor.numpy() for name, tensor in model.state_dict().items()}
    towers = get_towers(architecture, cache_dir=folder / "cache")
    preprocessing = architecture.preprocessing
    assert towers.text is not None and towers.dynamic_text
    own = adapt(towers, info_of(state), "huggingface")
    assert own.module_manifest.needed == tuple(sorted(state))
    # Softmax does not see the bias of keys.
    assert set(state) - set(own.manifest.needed) == {n for n in state if "k_proj.bias" in n}

    pixels, (ids, eot) = example_pixels(towers), example_ids(towers)
    mean, std = (np.array(v, np.float32) for v in (preprocessing.mean, preprocessing.std))
    x = torch.from_numpy((pixels / np.float32(255) - mean) / std).permute(0, 3, 1, 2)
    with torch.no_grad():
        images = model.visual_projection(model.vision_model(pixel_values=x).pooler_output)
        hidden = model.text_model(input_ids=torch.from_numpy(ids)).pooler_output
        texts = model.text_projection(hidden)
    got = run_graph(towers.visual, own.manifest, state, pixels=pixels)
    assert far_apart(images.numpy(), got) < 1e-6
    got = run_graph(towers.text, own.manifest, state, ids=ids, eot=eot)
    assert far_apart(texts.numpy(), got) < 1e-6

    module = build_module(towers)
    module.load(pack(own.module_manifest, state))
    assert far_apart(images.numpy(), module.encode_image(torch.from_numpy(pixels)).numpy()) < 1e-6


def test_old_config_files_leave_defaults_out() -> None:
    config = open_clip_config(
        {"model_type": "clip", "projection_dim": 512, "text_config": {"eos_token_id": 2}}, "x"
    )
    assert config["vision_cfg"]["width"] == 768 and config["vision_cfg"]["head_width"] == 64
    assert config["text_cfg"]["heads"] == 8
    # 2 stands for OpenAI's rule: the highest id is the end of text.
    assert "pool_type" not in config["text_cfg"]


@pytest.mark.parametrize(
    ("config", "said"),
    [
        ({"model_type": "siglip"}, "only 'clip'"),
        ({"model_type": "clip", "vision_config": {"hidden_act": "gelu"}}, "both"),
    ],
)
def test_what_cannot_be_mapped_is_refused(config: dict[str, Any], said: str) -> None:
    with pytest.raises(CheckpointError, match=said):
        open_clip_config(config, "config.json")


@pytest.mark.parametrize(
    "config",
    [
        {"size": {"shortest_edge": 256}, "crop_size": {"height": 224, "width": 224}},
        {"size": {"shortest_edge": 224}, "resample": 1},
        {"size": {"shortest_edge": 224}, "do_normalize": False},
        {"size": {"height": 256, "width": 256}, "do_center_crop": True, "crop_size": 224},
    ],
)
def test_preprocessing_that_open_clip_cannot_do_is_refused(config: dict[str, Any]) -> None:
    with pytest.raises(CheckpointError, match="cannot do") as caught:
        preprocess_cfg(config)
    assert "--model" in str(caught.value)


def test_preprocessor_config() -> None:
    squash = preprocess_cfg({"size": {"height": 8, "width": 8}, "resample": 3})
    assert squash["resize_mode"] == "squash" and squash["interpolation"] == "bicubic"
    crop = preprocess_cfg({"size": {"shortest_edge": 8}, "do_center_crop": True})
    assert crop["resize_mode"] == "shortest"
