"""Folders written by transformers' own save_pretrained."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from transformers import CLIPConfig, CLIPModel

from fastclip.checkpoints import describe, format_of, open_checkpoint
from fastclip.checkpoints.find import find
from fastclip.errors import CheckpointError

SMALL = {"hidden_size": 8, "intermediate_size": 16, "num_hidden_layers": 1}
SMALL |= {"num_attention_heads": 2, "projection_dim": 4}


@pytest.fixture(scope="module")
def model() -> CLIPModel:
    torch.manual_seed(0)
    return CLIPModel(
        CLIPConfig(
            text_config={**SMALL, "vocab_size": 40},
            vision_config={**SMALL, "image_size": 8, "patch_size": 4},
            projection_dim=4,
        )
    )


@pytest.mark.parametrize("form", ["one", "shards", "bin"])
def test_clip_model_folder(form: str, model: CLIPModel, tmp_path: Path) -> None:
    folder = tmp_path / "clip"
    model.save_pretrained(folder, max_shard_size="2KB" if form == "shards" else "1GB")
    if form == "bin":
        (folder / "model.safetensors").unlink()
        torch.save(model.state_dict(), folder / "pytorch_model.bin")
    assert (folder / "model.safetensors.index.json").exists() == (form == "shards")
    checkpoint = describe(folder)
    assert (checkpoint.format, checkpoint.name) == ("huggingface", f"{tmp_path.name}/clip")
    with open_checkpoint(checkpoint) as file:
        assert file.layout == "huggingface"
        state = {k: v for k, v in model.state_dict().items() if k in file.tensors}
        assert "logit_scale" in state and "vision_model.embeddings.class_embedding" in state
        read = file.read(state)
        assert len(file.digest(state)) == 64
    for name, tensor in state.items():
        np.testing.assert_array_equal(read[name], tensor.numpy(), err_msg=name)


def test_trainer_run(model: CLIPModel, tmp_path: Path) -> None:
    """Trainer's output folder: the last model on top, `checkpoint-N` below, with optimizers."""
    out = tmp_path / "out"
    for step, epoch in ((1000, 2.0), (200, 0.4)):
        folder = out / f"checkpoint-{step}"
        model.save_pretrained(folder)
        said = {"global_step": step, "epoch": epoch}
        (folder / "trainer_state.json").write_text(json.dumps(said))
        for name in ("optimizer.pt", "scheduler.pt", "rng_state.pth", "training_args.bin"):
            torch.save({"state": torch.zeros(3)}, folder / name)
    model.save_pretrained(out)
    found = find([out])
    assert [(c.name, c.step) for c in found.checkpoints] == [
        ("out/checkpoint-200", 200),
        ("out/checkpoint-1000", 1000),
        (f"{tmp_path.name}/out", None),
    ]
    assert len(found.checkpoints) == 3 and not found.skipped
    places = {}
    for checkpoint in found.checkpoints:
        with open_checkpoint(checkpoint) as file:
            places[checkpoint.path.name] = (file.metadata.step, file.metadata.epoch)
    # 0.4 of an epoch is no whole number of epochs, and none is made of it.
    assert places == {
        "checkpoint-200": (200, None),
        "checkpoint-1000": (1000, 2),
        "out": (None, None),
    }


def test_missing_shard_is_named(model: CLIPModel, tmp_path: Path) -> None:
    model.save_pretrained(tmp_path / "clip", max_shard_size="2KB")
    shard = sorted((tmp_path / "clip").glob("model-*.safetensors"))[1]
    shard.unlink()
    with pytest.raises(CheckpointError, match=shard.name):
        describe(tmp_path / "clip")


def test_stamp_of_shards_follows_each(model: CLIPModel, tmp_path: Path) -> None:
    model.save_pretrained(tmp_path / "clip", max_shard_size="2KB")
    first = describe(tmp_path / "clip").stamp
    shard = sorted((tmp_path / "clip").glob("model-*.safetensors"))[0]
    shard.touch()
    assert describe(tmp_path / "clip").stamp != first


def test_open_clip_hub_folder_wins_over_its_twin(
    model: CLIPModel, state: dict[str, torch.Tensor], tmp_path: Path
) -> None:
    """LAION's repositories hold both layouts side by side: one checkpoint, open_clip's."""
    folder = tmp_path / "hub"
    model.save_pretrained(folder)
    (folder / "open_clip_config.json").write_text("{}")
    save_file(state, folder / "open_clip_model.safetensors")
    torch.save(state, folder / "open_clip_pytorch_model.bin")
    (checkpoint,) = find([folder]).checkpoints
    with open_checkpoint(checkpoint) as file:
        assert file.layout == "open_clip"
        assert set(file.tensors) == set(state)


def test_a_folder_with_a_config_and_no_weights_is_none(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text("{}")
    assert format_of(tmp_path) is None
