"""The three measurements as a plain script does them: open_clip, PIL, scipy, one checkpoint.

Written to be an independent reference for the whole program: it shares no code with fastclip and
takes no shortcut. Every picture is opened and transformed by open_clip's own transform, every
pair's reference is encoded again, every prompt is padded to the full context.
"""

from __future__ import annotations

import pickle
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import open_clip
import torch
from PIL import Image
from scipy import stats

CIFAR_TEMPLATES = [
    "a photo of a {}.",
    "a blurry photo of a {}.",
    "a black and white photo of a {}.",
    "a low contrast photo of a {}.",
    "a high contrast photo of a {}.",
    "a bad photo of a {}.",
    "a good photo of a {}.",
    "a photo of a small {}.",
    "a photo of a big {}.",
    "a photo of the {}.",
    "a blurry photo of the {}.",
    "a black and white photo of the {}.",
    "a low contrast photo of the {}.",
    "a high contrast photo of the {}.",
    "a bad photo of the {}.",
    "a good photo of the {}.",
    "a photo of the small {}.",
    "a photo of the big {}.",
]


def measure(
    checkpoint_path: Path,
    config_json: Path,
    tid_dir: Path | None = None,
    cue_dir: Path | None = None,
    cifar_dir: Path | None = None,
    noisy_pictures: Mapping[str, np.ndarray] | None = None,
) -> dict[str, Any]:
    """Measure one checkpoint on the sets that are given.

    Args:
        checkpoint_path: open_clip training checkpoint (fp16 weights are used in fp32).
        config_json: open_clip model config.
        tid_dir: folder in TID2013's layout.
        cue_dir: folder in the cue-conflict layout.
        cifar_dir: `cifar-100-python`.
        noisy_pictures: by condition, uint8 `[N, 32, 32, 3]`: CIFAR pictures distorted already.

    Returns:
        "iqa": `{"cosine" | "rmse" | "rmse_dimnorm": {"srcc", "plcc", "krcc"}}` and
        "iqa_distances": `{distorted name, lower case: {distance: value}}`;
        "shape_bias": the metrics, and `"decisions": {"shape/file.png": class name}`;
        "clean" and each noisy condition: acc1, acc5, "decisions" `[N]`, and noisy ones drop_abs,
        drop_rel and drop_rel_chance.
    """
    torch.set_grad_enabled(False)
    try:
        model, transform, tokenizer = load(checkpoint_path, config_json)
        found: dict[str, Any] = {}
        if tid_dir is not None:
            found["iqa"], found["iqa_distances"] = image_quality(model, transform, tid_dir)
        if cue_dir is not None:
            found["shape_bias"] = shape_bias(model, transform, tokenizer, cue_dir)
        if cifar_dir is not None:
            found |= accuracy(model, transform, tokenizer, cifar_dir, noisy_pictures or {})
        return found
    finally:
        torch.set_grad_enabled(True)


def load(checkpoint_path: Path, config_json: Path) -> tuple[Any, Any, Any]:
    """Model in fp32, open_clip's evaluation transform, tokenizer."""
    open_clip.add_model_config(config_json)
    name = config_json.stem
    model = open_clip.create_model(name, precision="fp32").eval()
    checkpoint = torch.load(checkpoint_path, map_location="cpu", weights_only=True)
    state = checkpoint.get("state_dict", checkpoint)
    model.load_state_dict({key.removeprefix("module."): value for key, value in state.items()})
    preprocess = open_clip.get_model_preprocess_cfg(model)
    transform = open_clip.image_transform(
        preprocess["size"],
        is_train=False,
        mean=preprocess["mean"],
        std=preprocess["std"],
        interpolation=preprocess["interpolation"],
        resize_mode=preprocess["resize_mode"],
    )
    return model, transform, open_clip.get_tokenizer(name)


def encode(model: Any, transform: Any, pictures: list[Image.Image]) -> np.ndarray:
    """Raw embeddings `[N, D]`, float64 of the fp32 output."""
    parts = []
    for low in range(0, len(pictures), 64):
        batch = torch.stack([transform(picture) for picture in pictures[low : low + 64]])
        parts.append(model.encode_image(batch).double().numpy())
    return np.concatenate(parts)


def unit(rows: np.ndarray) -> np.ndarray:
    return rows / np.linalg.norm(rows, axis=-1, keepdims=True)


def class_weights(model: Any, tokenizer: Any, names: list[str], templates: list[str]) -> np.ndarray:
    """Zero-shot weights `[K, D]`: normalise each prompt, mean over templates, normalise."""
    weights = []
    for name in names:
        tokens = tokenizer([template.format(name) for template in templates])
        weights.append(unit(model.encode_text(tokens).double().numpy()).mean(axis=0))
    return unit(np.stack(weights))


def image_quality(model: Any, transform: Any, tid_dir: Path) -> tuple[dict, dict]:
    files = {path.name.lower(): path for path in tid_dir.rglob("*") if path.is_file()}
    names, scores, references, distorted = [], [], [], []
    for line in (tid_dir / "mos_with_names.txt").read_text().split("\n"):
        if not line.strip():
            continue
        score, name = line.split()
        names.append(name.lower())
        scores.append(float(score))
        reference = Image.open(files[name.lower()[:3] + ".bmp"])
        references.append(encode(model, transform, [reference])[0])
        distorted.append(encode(model, transform, [Image.open(files[name.lower()])])[0])
    a, b = np.stack(references), np.stack(distorted)
    squares = (a - b) ** 2
    means = squares.mean(axis=0)
    distances = {
        "cosine": 1 - (unit(a) * unit(b)).sum(axis=1),
        "rmse": np.sqrt(squares.mean(axis=1)),
        "rmse_dimnorm": np.sqrt((squares[:, means > 0] / means[means > 0]).mean(axis=1)),
    }
    correlations = {
        name: {
            "srcc": -stats.spearmanr(distance, scores).statistic,
            "plcc": -stats.pearsonr(distance, scores).statistic,
            "krcc": -stats.kendalltau(distance, scores).statistic,
        }
        for name, distance in distances.items()
    }
    by_picture = {
        name: {distance: float(values[row]) for distance, values in distances.items()}
        for row, name in enumerate(names)
    }
    return correlations, by_picture


def shape_bias(model: Any, transform: Any, tokenizer: Any, cue_dir: Path) -> dict[str, Any]:
    classes = sorted(path.name for path in cue_dir.iterdir() if path.is_dir())
    templates = [template("{}") for template in open_clip.OPENAI_IMAGENET_TEMPLATES]
    weights = class_weights(model, tokenizer, classes, templates)
    decisions = {}
    shape = texture = conflicts = right = others = 0
    for path in sorted(cue_dir.glob("*/*.png")):
        embedding = unit(encode(model, transform, [Image.open(path).convert("RGB")]))[0]
        decision = classes[int(np.argmax(weights @ embedding))]
        decisions[f"{path.parent.name}/{path.name}"] = decision
        its_shape, its_texture = (part.rstrip("0123456789") for part in path.stem.split("-"))
        if its_shape == its_texture:
            others += 1
            right += decision == its_shape
        else:
            conflicts += 1
            shape += decision == its_shape
            texture += decision == its_texture
    guess = (conflicts - shape - texture) / (len(classes) - 2)
    return {
        "decisions": decisions,
        "shape_decisions": shape,
        "texture_decisions": texture,
        "shape_bias": shape / (shape + texture) if shape + texture else None,
        "cue_accuracy": (shape + texture) / conflicts,
        "shape_accuracy": shape / conflicts,
        "texture_accuracy": texture / conflicts,
        "nonconflict_accuracy": right / others if others else None,
        "shape_bias_guess_corrected": (
            (shape - guess) / (shape + texture - 2 * guess)
            if (shape + texture) / conflicts > 2 / len(classes)
            else None
        ),
    }


def text(word: str | bytes) -> str:
    return word.decode("latin1") if isinstance(word, bytes) else word


def read_pickle(path: Path) -> dict[str, Any]:
    """A CIFAR pickle; keys are bytes in files that Python 3 has written again."""
    content = pickle.loads(path.read_bytes(), encoding="latin1")
    return {text(key): value for key, value in content.items()}


def accuracy(
    model: Any,
    transform: Any,
    tokenizer: Any,
    cifar_dir: Path,
    noisy_pictures: Mapping[str, np.ndarray],
) -> dict[str, dict[str, Any]]:
    batch, meta = (read_pickle(cifar_dir / name) for name in ("test", "meta"))
    names = [text(name).replace("_", " ") for name in meta["fine_label_names"]]
    labels = np.array(batch["fine_labels"])
    clean = np.asarray(batch["data"]).reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1)
    weights = class_weights(model, tokenizer, names, CIFAR_TEMPLATES)
    found: dict[str, dict[str, Any]] = {}
    for condition, pictures in {"clean": clean, **noisy_pictures}.items():
        embeddings = encode(model, transform, [Image.fromarray(picture) for picture in pictures])
        cosines = unit(embeddings) @ weights.T
        order = np.argsort(-cosines, axis=1, kind="stable")
        found[condition] = {
            "decisions": order[:, 0],
            "acc1": float(np.mean(order[:, 0] == labels)),
            "acc5": float(
                np.mean([label in row[:5] for label, row in zip(labels, order, strict=True)])
            ),
        }
    before, chance = found["clean"]["acc1"], 1 / len(names)
    for condition in noisy_pictures:
        lost = before - found[condition]["acc1"]
        found[condition] |= {
            "drop_abs": lost,
            "drop_rel": lost / before if before > chance else None,
            "drop_rel_chance": lost / (before - chance) if before > chance else None,
        }
    return found
