"""Exported towers against open_clip's own encode_image and encode_text, by architecture.

    python bench/architectures.py [NAME ...] [--output bench/results/architectures.json]

For each architecture: one export, two states of random weights with large biases, a few random
pictures and texts, onnxruntime on the CPU against the model that `open_clip.create_model` makes.
Prints the largest |1 - cos| and the relative L2 of the raw embeddings. Each architecture runs in
a process of its own, so that memory is given back.
"""

from __future__ import annotations

import argparse
import gc
import json
import os
import platform
import resource
import subprocess
import sys
import tempfile
import time
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

NAMES = (
    "ViT-B-32",
    "RN50",
    "ViT-B-16-SigLIP",
    "coca_ViT-B-32",
    "convnext_base",
    "EVA02-B-16",
    "ViT-B-16",
    "ViT-B-32-quickgelu",
    "ViT-L-14",
)
PROMPTS = ("a photo of a dog.", "a cat", "an origami of many small airplanes over the sea", "x")
PICTURES = 4
SEEDS = (1, 2)


def measure(name: str, cache_dir: Path) -> dict[str, Any]:
    """Export one architecture and compare it under two random states."""
    import open_clip
    import torch

    from fastclip.checkpoints.base import TensorInfo
    from fastclip.towers import get_towers
    from fastclip.towers.identify import architecture_of
    from fastclip.towers.manifest import adapt
    from fastclip.towers.random_state import lively_state
    from fastclip.towers.tokenizers import end_of_text, token_ids

    architecture = architecture_of(name)
    began = time.perf_counter()
    towers = get_towers(architecture, cache_dir=cache_dir)
    seconds = time.perf_counter() - began
    assert towers.text is not None
    gc.collect()

    generator = np.random.default_rng(0)
    size = architecture.preprocessing.pixels
    shape = (PICTURES, size.height, size.width, 3)
    pixels = generator.integers(0, 256, shape, dtype=np.uint8)
    if architecture.tokenizer is not None:
        ids, eot = token_ids(architecture, PROMPTS)
    else:
        vocabulary = architecture.config["text_cfg"]["vocab_size"]
        ids = generator.integers(1, vocabulary, (len(PROMPTS), towers.context_length))
        eot = end_of_text(architecture.config, ids)

    reference = open_clip.create_model(name, load_weights=False, pretrained_text=False).eval()
    mean, std = (torch.tensor(v).view(1, 3, 1, 1) for v in _mean_std(architecture))
    x = (torch.from_numpy(pixels).permute(0, 3, 1, 2).float() / 255 - mean) / std
    found: dict[str, Any] = {"architecture": name, "export_seconds": round(seconds, 1)}
    found["graph_bytes"] = towers.visual.path.stat().st_size + towers.text.path.stat().st_size
    found["dynamic_text"] = towers.dynamic_text
    for part in ("image", "text"):
        found[part] = {"one_minus_cos": 0.0, "relative_l2": 0.0}
    for seed in SEEDS:
        shapes = {
            key: tuple(value.shape)
            for key, value in reference.state_dict().items()
            if value.is_floating_point()
        }
        state = lively_state(shapes, seed)
        tensors = {key: torch.from_numpy(array) for key, array in state.items()}
        reference.load_state_dict(tensors, strict=False, assign=True)
        info = {key: TensorInfo(shape, "float32") for key, shape in shapes.items()}
        manifest = adapt(towers, info, "open_clip").manifest
        with torch.no_grad():
            extra = {"normalize": False}
            images = reference.encode_image(x, **extra).numpy()
            texts = reference.encode_text(torch.from_numpy(ids), **extra).numpy()
        _widen(found["image"], images, _run(towers.visual, manifest, state, {"pixels": pixels}))
        feeds = {"ids": ids, "eot": eot}
        lengths = [ids.shape[1]]
        if towers.dynamic_text:
            lengths.append(int(eot.max()) + 1)
        for length in lengths:
            feeds["ids"] = ids[:, :length]
            given = {key: feeds[key] for key in towers.text.inputs}
            _widen(found["text"], texts, _run(towers.text, manifest, state, given))
    found["peak_gib"] = round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20, 2)
    return found


def _mean_std(architecture: Any) -> tuple[tuple[float, ...], tuple[float, ...]]:
    return architecture.preprocessing.mean, architecture.preprocessing.std


def _run(graph: Any, manifest: Any, state: Any, feeds: dict[str, np.ndarray]) -> np.ndarray:
    import onnxruntime as ort

    from fastclip.towers import Manifest, pack

    own = Manifest(
        {name: manifest.recipes[name] for name in graph.initializers},
        {name: manifest.shapes[name] for name in graph.initializers},
    )
    packed = pack(own, state)
    options = ort.SessionOptions()
    options.add_external_initializers(
        list(packed), [ort.OrtValue.ortvalue_from_numpy(array) for array in packed.values()]
    )
    session = ort.InferenceSession(str(graph.path), options, providers=["CPUExecutionProvider"])
    return np.asarray(session.run([graph.output], feeds)[0])


def _widen(worst: dict[str, float], wanted: np.ndarray, got: np.ndarray) -> None:
    a, b = wanted.astype(np.float64), got.astype(np.float64)
    cos = (a * b).sum(1) / np.linalg.norm(a, axis=1) / np.linalg.norm(b, axis=1)
    worst["one_minus_cos"] = max(worst["one_minus_cos"], float(np.abs(1 - cos).max()))
    l2 = np.linalg.norm(a - b) / np.linalg.norm(a)
    worst["relative_l2"] = max(worst["relative_l2"], float(l2))


def main() -> None:
    """Run every architecture in a child, print a line for each, write the JSON."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="*", default=list(NAMES))
    parser.add_argument("--output", type=Path, default=ROOT / "bench/results/architectures.json")
    parser.add_argument("--child", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        with tempfile.TemporaryDirectory() as folder:
            print(json.dumps(measure(options.names[0], Path(folder))))
        return
    old = json.loads(options.output.read_text()) if options.output.is_file() else {}
    results = {row["architecture"]: row for row in old.get("results", [])}
    for name in options.names:
        child = subprocess.run(
            [sys.executable, __file__, name, "--child"], capture_output=True, text=True
        )
        if child.returncode:
            reason = (child.stderr.strip().splitlines() or ["killed"])[-1]
            results[name] = {"architecture": name, "failed": reason[:500]}
        else:
            results[name] = json.loads(child.stdout.strip().splitlines()[-1])
        print(json.dumps(results[name]), flush=True)
        packages = ("torch", "open_clip_torch", "timm", "onnx", "onnxscript", "onnxruntime")
        record = {
            "what": "onnxruntime on the exported towers against open_clip.create_model, fp32",
            "command": "python bench/architectures.py",
            "machine": f"{platform.machine()}, {os.cpu_count()} cores",
            "python": platform.python_version(),
            "versions": {package: version(package) for package in packages},
            "states": len(SEEDS),
            "pictures": PICTURES,
            "texts": len(PROMPTS),
            "results": list(results.values()),
        }
        options.output.parent.mkdir(parents=True, exist_ok=True)
        options.output.write_text(json.dumps(record, indent=1) + "\n")


if __name__ == "__main__":
    main()
