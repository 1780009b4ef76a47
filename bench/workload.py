"""What is measured on: checkpoints and data sets, made once into the work folder.

Pictures are real where the files that the tests use are there (`FASTCLIP_SHARED`), drawn where not.
No number measured on these sets is a finding: TID2013's scores belong to other pictures, and a
small set's names are dealt out anew.
"""

from __future__ import annotations

import json
import pickle
import shutil
import sys
from copy import deepcopy
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "tests")]

CUE_TEMPLATES, CIFAR_TEMPLATES = 80, 18
FULL_PROMPTS = 16 * CUE_TEMPLATES + 100 * CIFAR_TEMPLATES
FULL_PAIRS, FULL_CUE, FULL_CIFAR = (25, 120), 384, 916


@dataclass(frozen=True)
class Sets:
    """Three data sets in their published layouts, and what a checkpoint costs on them.

    `pictures` is distinct pictures with one noisy level, `prompts` distinct prompts; `zero_shot`
    both of the CIFAR set alone.
    """

    tid: Path
    cue: Path
    cifar: Path
    pairs: int
    pictures: int
    prompts: int
    zero_shot: tuple[int, int]


def shared() -> Path | None:
    """The folder of real data, where there is one."""
    from shared_data import SHARED

    return SHARED if SHARED.is_dir() else None


def make_sets(work: Path, fraction: float = 1.0) -> Sets:
    """The three sets with `fraction` of TID2013's size: pictures and prompts shrink alike.

    At 1: 25 references with 120 distorted pictures each (512 x 384), 384 cue-conflict pictures of
    16 classes, 916 CIFAR pictures of 100 classes: 5,241 pictures with one noisy level, 3,080
    prompts.
    """
    references = max(1, round(FULL_PAIRS[0] * fraction))
    cue, cifar = round(FULL_CUE * fraction), round(FULL_CIFAR * fraction)
    cue_classes = max(3, round(16 * fraction))
    prompts = round(FULL_PROMPTS * fraction) - cue_classes * CUE_TEMPLATES
    cifar_classes = min(100, max(6, round(prompts / CIFAR_TEMPLATES)))
    folder = work / "sets"
    return Sets(
        make_tid(folder / f"tid-{references}", references),
        make_cue(folder / f"cue-{cue}-{cue_classes}", cue, cue_classes),
        make_cifar(folder / f"cifar-{cifar}-{cifar_classes}", cifar, cifar_classes),
        pairs=references * FULL_PAIRS[1],
        pictures=references * (1 + FULL_PAIRS[1]) + cue + 2 * cifar,
        prompts=cue_classes * CUE_TEMPLATES + cifar_classes * CIFAR_TEMPLATES,
        zero_shot=(2 * cifar, cifar_classes * CIFAR_TEMPLATES),
    )


def make_tid(folder: Path, references: int) -> Path:
    """TID2013's layout: 24 types and 5 levels of photographs, with TID2013's scores by name."""
    if (folder / "mos_with_names.txt").is_file():
        return folder
    from concurrent.futures import ThreadPoolExecutor

    for name in ("reference_images", "distorted_images"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    with ThreadPoolExecutor() as pool:
        names = [n for part in pool.map(_draw_reference(folder), range(references)) for n in part]
    scores = _published_scores()
    lines = [f"{scores.get(name) or 7 - int(name[7])} {name}\n" for name in names]
    (folder / "mos_with_names.txt").write_text("".join(lines))
    return folder


def _draw_reference(folder: Path) -> Any:
    def draw(row: int) -> list[str]:
        from distort import TYPES, distort

        picture, names = _photograph(row), []
        picture.save(folder / "reference_images" / f"I{row + 1:02d}.BMP")
        for kind in range(1, TYPES + 1):
            for level in range(1, 6):
                names.append(f"i{row + 1:02d}_{kind:02d}_{level}.bmp")
                distorted = distort(picture, kind, level, seed=row)
                distorted.save(folder / "distorted_images" / names[-1])
        return names

    return draw


def _photograph(row: int) -> Any:
    from make_sets import draw
    from PIL import Image

    data = shared()
    if data is None:
        return Image.fromarray(draw(row, (512, 384)))
    file = sorted((data / "imagenet-samples").glob("*.JPEG"))[row]
    return Image.open(file).convert("RGB").resize((512, 384), Image.Resampling.LANCZOS)


def _published_scores() -> dict[str, str]:
    data = shared()
    if data is None:
        return {}
    lines = (data / "mos" / "tid2013_mos_with_names.txt").read_text().splitlines()
    return {name.lower(): score for score, name in map(str.split, lines)}


def make_cue(folder: Path, pictures: int, classes: int) -> Path:
    """Cue-conflict layout. Fewer than the whole set are dealt to `classes` classes in turn."""
    from make_sets import draw
    from PIL import Image

    from fastclip.stimuli.cue_conflict import CLASSES

    data = shared()
    if data is not None and pictures == FULL_CUE:
        return data / "cue-conflict"
    if folder.is_dir():
        return folder
    files = sorted((data / "cue-conflict").glob("*/*.png")) if data else []
    for row in range(pictures):
        shape, texture = CLASSES[row % classes], CLASSES[row // classes % classes]
        path = folder / shape / f"{shape}{row}-{texture}{row}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        if files:
            shutil.copyfile(files[row * len(files) // pictures], path)
        else:
            Image.fromarray(draw(10_000 + row, (224, 224))).save(path)
    return folder


def make_cifar(folder: Path, pictures: int, classes: int) -> Path:
    """CIFAR-100's layout with `classes` classes; more pictures than there are come shifted."""
    if (folder / "meta").is_file():
        return folder
    data, labels, names = _cifar()
    rows = np.arange(pictures)
    planes = data[rows % len(data)].reshape(-1, 3, 32, 32)
    # Whole shifts of the picture: other pixels, and as good a picture.
    shifts = rows // len(data)
    for shift in np.unique(shifts[shifts > 0]):
        some = shifts == shift
        planes[some] = np.roll(planes[some], (shift % 32, shift // 32), axis=(3, 2))
    folder.mkdir(parents=True, exist_ok=True)
    batch = {
        "batch_label": "testing batch 1 of 1",
        "filenames": [f"picture_{row:06d}.png" for row in rows],
        "fine_labels": [int(labels[row % len(data)]) % classes for row in rows],
        "coarse_labels": [0] * pictures,
        "data": planes.reshape(pictures, -1),
    }
    (folder / "test").write_bytes(pickle.dumps(batch, protocol=2))
    (folder / "meta").write_bytes(pickle.dumps({"fine_label_names": names[:classes]}, protocol=2))
    return folder


def _cifar() -> tuple[npt.NDArray[np.uint8], list[int], list[str]]:
    from make_sets import draw

    from fastclip.stimuli.cifar100 import load

    data = shared()
    if data is None:
        drawn = [draw(20_000 + row, (32, 32)).transpose(2, 0, 1).ravel() for row in range(916)]
        return np.stack(drawn), list(range(916)), [f"some_class_{n}" for n in range(100)]
    found = load(data / "cifar-100-python", name="cifar100", partial=True)
    pixels = [found.pictures.decode(i, found.pictures.encoded(i)) for i in range(found.found)]
    planes = np.stack(pixels).transpose(0, 3, 1, 2).reshape(found.found, -1)
    return planes, found.label_index.tolist(), list(found.class_names["dataset"])


TINY: dict[str, Any] = {
    "embed_dim": 128,
    "vision_cfg": {
        "image_size": 64,
        "layers": 4,
        "width": 128,
        "patch_size": 8,
        "head_width": 32,
    },
    "text_cfg": {
        "context_length": 77,
        "vocab_size": 49408,
        "width": 64,
        "heads": 2,
        "layers": 2,
    },
}
"""The architecture of the real tiny checkpoints: 0.114 GFLOP a picture."""


NANO: dict[str, Any] = {
    "embed_dim": 16,
    "vision_cfg": {"image_size": 32, "layers": 1, "width": 16, "patch_size": 8, "head_width": 8},
    "text_cfg": {"context_length": 77, "vocab_size": 49408, "width": 16, "heads": 2, "layers": 1},
}
"""Next to nothing, where checkpoints only have to be many."""

CONFIGS = {"tiny": TINY, "nano": NANO}


def architecture(work: Path, model: str) -> str:
    """What `--model` takes: a config's path for "tiny" and "nano", else open_clip's name itself."""
    if model not in CONFIGS:
        return model
    path = work / f"{model}-clip.json"
    work.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(CONFIGS[model]))
    return str(path)


def make_checkpoints(work: Path, model: str, count: int, *, optimizer: bool = True) -> Path:
    """A run of `count` distinct checkpoints, `epoch_1.pt` on, as open_clip's training saves them.

    Tiny ones lie between the real epochs 1, 8 and 16; others are random, every tensor lively.

    Args:
        model: "tiny", "nano" or open_clip's name.
        optimizer: with Adam's moments: two thirds of the file.

    Returns:
        The folder.
    """
    import torch

    folder = work / "runs" / f"{model}-{count}{'' if optimizer else '-weights'}" / "checkpoints"
    if (folder / "done").is_file():
        return folder
    folder.mkdir(parents=True, exist_ok=True)
    for number in range(count):
        state = _state(model, number, count)
        body: dict[str, Any] = {"epoch": number + 1, "name": model, "state_dict": state}
        if optimizer:
            moments = {
                row: {"step": torch.tensor(1.0), "exp_avg": t * 1e-3, "exp_avg_sq": t * t * 1e-6}
                for row, t in enumerate(state.values())
            }
            groups = [{"lr": 1e-3, "params": list(moments)}]
            body["optimizer"] = {"state": moments, "param_groups": groups}
        torch.save(body, folder / f"epoch_{number + 1}.pt")
    (folder / "done").touch()
    return folder


def _state(model: str, number: int, count: int) -> dict[str, Any]:
    import torch

    data = shared()
    if model == "tiny" and data is not None:
        at = 1 + 15 * number / max(1, count - 1)
        low, high = (1, 8) if at < 8 else (8, 16)
        a, b = (_epoch(data / "ckpts" / f"epoch_{epoch}.pt") for epoch in (low, high))
        share = (at - low) / (high - low)
        return {name: torch.lerp(a[name].float(), b[name].float(), share) for name in a}
    from fastclip.towers.random_state import lively_state

    drawn = lively_state(_shapes(model), number)
    return {name: torch.from_numpy(array) for name, array in drawn.items()}


@cache
def _epoch(path: Path) -> dict[str, Any]:
    import torch

    state: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)["state_dict"]
    return state


def _shapes(model: str) -> dict[str, tuple[int, ...]]:
    import open_clip
    from open_clip.model import CLIP

    config = CONFIGS.get(model) or open_clip.get_model_config(model)
    return {key: tuple(t.shape) for key, t in CLIP(**deepcopy(config)).state_dict().items()}


def fill_page_cache(*paths: Path) -> None:
    """Read every file below `paths` once, so that no side pays for the disk."""
    for path in paths:
        for file in [path] if path.is_file() else sorted(path.rglob("*")):
            if file.is_file():
                with file.open("rb") as handle:
                    while handle.read(1 << 24):
                        pass
