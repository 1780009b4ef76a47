from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import open_clip
import pytest
import torch

from fastclip.demo.train import ARCHITECTURE, Training, checkpoint_paths, checkpoint_steps, train

TINY = Training(seed=1, pictures=64, steps=5, batch_size=16, warmup=2, checkpoints=5)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("logs") / "toy"
    losses: list[float] = []
    paths = train(folder, TINY, report=lambda step, loss: losses.append(loss))
    assert paths == checkpoint_paths(folder, TINY)
    assert len(losses) == TINY.steps and np.isfinite(losses).all()
    return folder


def test_steps_are_dense_first_then_evenly_spaced():
    steps = checkpoint_steps(600, 24)
    assert steps[0] == 0 and steps[-1] == 600
    assert 20 <= len(steps) <= 26
    assert steps[1:4] == (1, 2, 3)
    late = np.diff([step for step in steps if step >= 100])
    assert late.max() - late.min() <= 1


def test_checkpoints_are_open_clips_own_format(run):
    paths = checkpoint_paths(run, TINY)
    assert sorted(run.glob("checkpoints/*")) == sorted(paths)
    for path, step in zip(paths, checkpoint_steps(TINY.steps, TINY.checkpoints), strict=True):
        checkpoint = torch.load(path, weights_only=True)
        assert checkpoint["global_step"] == step
        assert checkpoint["samples_seen"] == step * 16
        assert checkpoint["epoch"] == step * 16 // 64
        assert ("optimizer" in checkpoint) == (step == TINY.steps)


def test_open_clip_builds_the_model_and_loads_a_checkpoint(run):
    open_clip.add_model_config(run / f"{ARCHITECTURE}.json")
    model, _, _ = open_clip.create_model_and_transforms(
        ARCHITECTURE, pretrained=str(checkpoint_paths(run, TINY)[-1])
    )
    model.eval()
    tokens = open_clip.get_tokenizer(ARCHITECTURE)(["a photo of a star."])
    with torch.no_grad():
        text = model.encode_text(tokens)
        image = model.encode_image(torch.zeros(1, 3, 32, 32))
    assert text.shape == image.shape == (1, 64)
    assert torch.isfinite(text).all() and torch.isfinite(image).all()


def test_params_name_what_samples_seen_and_the_model_come_from(run):
    lines = (run / "params.txt").read_text().splitlines()
    params = dict(line.split(": ", 1) for line in lines)
    assert lines == sorted(lines)
    assert params["model"] == ARCHITECTURE and params["batch_size"] == "16"
    assert params["train_num_samples"] == "64"
    assert json.loads((run / f"{ARCHITECTURE}.json").read_text())["vision_cfg"]["image_size"] == 32


def test_training_moves_the_weights_and_is_repeatable(run, tmp_path):
    first, *_, last = (
        torch.load(path, weights_only=True)["state_dict"] for path in checkpoint_paths(run, TINY)
    )
    assert all(not torch.equal(first[k], last[k]) for k in first if k.endswith("weight"))
    again = train(tmp_path, TINY)[-1]
    for name, tensor in torch.load(again, weights_only=True)["state_dict"].items():
        torch.testing.assert_close(tensor, last[name], rtol=1e-4, atol=1e-6)
