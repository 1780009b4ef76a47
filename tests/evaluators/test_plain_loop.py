"""Evaluators against the plain loop: same pictures, same model, nothing else in common."""

import json
from pathlib import Path

import numpy as np
import pytest
from made_up import one, run
from make_sets import make_cifar100, make_cue_conflict, make_tid2013
from shared_data import SHARED, needs_shared

from fastclip.evaluators import iqa, robustness, shape_bias
from fastclip.evaluators.options import TaskOptions
from fastclip.stimuli.base import PixelSpec

torch = pytest.importorskip("torch")
Image = pytest.importorskip("PIL.Image")

CONFIG = {
    "embed_dim": 24,
    "vision_cfg": {"image_size": 32, "layers": 2, "width": 32, "patch_size": 8, "head_width": 16},
    "text_cfg": {"context_length": 77, "vocab_size": 49408, "width": 16, "heads": 1, "layers": 1},
}


@pytest.fixture(scope="module")
def sets(tmp_path_factory) -> Path:
    root = tmp_path_factory.mktemp("sets")
    make_tid2013(root / "tid")
    make_cue_conflict(root / "cue")
    make_cifar100(root / "cifar", n=40, classes=7)
    return root


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory) -> tuple[Path, Path]:
    """A random model whose embeddings spread, in a training checkpoint with its config."""
    import open_clip

    folder = tmp_path_factory.mktemp("model")
    config = folder / "plain-loop-tiny.json"
    config.write_text(json.dumps(CONFIG))
    open_clip.add_model_config(config)
    torch.manual_seed(0)
    state = open_clip.create_model(config.stem).state_dict()
    for name, tensor in state.items():
        if name.endswith(("weight", "embedding", "proj")) and tensor.ndim >= 2:
            tensor.mul_(2)
    path = folder / "epoch_1.pt"
    torch.save({"epoch": 1, "state_dict": {f"module.{k}": v for k, v in state.items()}}, path)
    return path, config


def embed(model, transform, dataset) -> np.ndarray:
    source = dataset.pictures
    pictures = [source.decode(row, source.encoded(row)) for row in range(len(source))]
    batch = torch.stack([transform(Image.fromarray(picture)) for picture in pictures])
    with torch.no_grad():
        return model.encode_image(batch).numpy()


def test_evaluators_score_what_the_plain_loop_scores(sets, checkpoint):
    import plain_loop

    from fastclip.stimuli import cifar100, cue_conflict, tid2013

    plain = plain_loop.measure(*checkpoint, sets / "tid", sets / "cue", sets / "cifar")
    model, transform, tokenizer = plain_loop.load(*checkpoint)
    pixels, options = PixelSpec(32, 32), TaskOptions(conditions=())

    def evaluate(task, dataset):
        (evaluator,) = task.build([dataset], pixels, options)
        texts = None
        if evaluator.prompts():
            with torch.no_grad():
                texts = model.encode_text(tokenizer(list(evaluator.prompts()))).numpy()
        return run(evaluator, embed(model, transform, dataset), texts)

    quality = evaluate(iqa, tid2013.load(sets / "tid", name="toy"))
    for distance, metrics in plain["iqa"].items():
        for metric, value in metrics.items():
            found = one(quality, metric, distance=distance, subset="pooled").value
            assert found == pytest.approx(value, abs=1e-6), (distance, metric)

    bias = evaluate(shape_bias, cue_conflict.load(sets / "cue", name="toy"))
    decisions = plain["shape_bias"].pop("decisions")
    assert dict(zip(bias.items["picture"], bias.items["decision"], strict=True)) == decisions
    for metric, value in plain["shape_bias"].items():
        assert one(bias, metric).value == pytest.approx(value, abs=1e-12), metric

    clean = evaluate(robustness, cifar100.load(sets / "cifar", name="toy"))
    np.testing.assert_array_equal(clean.items["decision"], plain["clean"]["decisions"])
    for metric in ("acc1", "acc5"):
        assert one(clean, metric).value == plain["clean"][metric]


def test_noisy_pictures_are_compared_with_clean_ones(sets, checkpoint):
    import plain_loop

    from fastclip.stimuli import cifar100

    source = cifar100.load(sets / "cifar", name="toy").pictures
    clean = np.stack([source.decode(row, source.encoded(row)) for row in range(len(source))])
    given = {"same": clean, "black": np.zeros_like(clean)}
    plain = plain_loop.measure(*checkpoint, cifar_dir=sets / "cifar", noisy_pictures=given)
    np.testing.assert_array_equal(plain["same"]["decisions"], plain["clean"]["decisions"])
    assert plain["same"]["drop_abs"] == 0
    assert len(set(plain["black"]["decisions"])) == 1
    assert plain["black"]["drop_abs"] == plain["clean"]["acc1"] - plain["black"]["acc1"]


@needs_shared
def test_the_trained_checkpoints_load():
    import plain_loop

    folder = SHARED / "ckpts"
    black, white = (Image.new("RGB", (40, 30), (level,) * 3) for level in (0, 255))
    for name in ("epoch_1.pt", "epoch_8.pt", "epoch_16.pt"):
        model, transform, _ = plain_loop.load(folder / name, folder / "tiny-clip.json")
        with torch.no_grad():
            rows = plain_loop.encode(model, transform, [black, white])
        assert rows.shape == (2, 128) and np.isfinite(rows).all()
        assert not np.allclose(rows[0], rows[1])
