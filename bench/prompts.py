"""ImageNet's 80,000 prompts: fastclip against open_clip's `build_zero_shot_classifier`.

    python bench/prompts.py [--repeats 3]

Tiny text tower: all 1,000 classes in 80 templates. ViT-B-32: `--classes` of them, evenly spaced.
Both sides end at class weights [K, D]; the largest difference between them is told. open_clip
tokenises for every checkpoint; fastclip does so once for a sweep, which is told apart ("once") and
counted in whole for "first checkpoint".

About 5 minutes on two cores; --quick takes 1.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import numpy.typing as npt
from report import Report, paired_ratio, parser, spread
from workload import architecture, make_checkpoints

Floats = npt.NDArray[np.float64]


def main() -> int:
    """Both models, each engine in each of its precisions."""
    made = parser(__doc__, "prompts")
    made.add_argument("--models", default="tiny,ViT-B-32")
    made.add_argument("--classes", type=int, default=8, help="of ImageNet's, for ViT-B-32")
    made.add_argument("--engines", default="onnxruntime fp32,openvino bf16")
    options = made.parse_args()
    report = Report(options)
    for model in ("tiny",) if options.quick else options.models.split(","):
        classes = 1000 if model == "tiny" else options.classes
        for side in options.engines.split(","):
            engine, precision = side.split()
            repeats = options.repeats or (1 if options.quick else 3)
            classes = 40 if options.quick else classes
            row = compare(model, engine, precision, classes, repeats, options.work)
            report.add("prompts", row)
    return report.finish()


def compare(
    model: str, engine: str, precision: str, classes: int, repeats: int, work: Path
) -> dict[str, Any]:
    """One engine and open_clip in the same precision, in turn."""
    import open_clip

    names = open_clip.IMAGENET_CLASSNAMES
    names = [names[row * len(names) // classes] for row in range(classes)]
    checkpoint = make_checkpoints(work, model, 2, optimizer=False) / "epoch_1.pt"
    ours = Ours(architecture(work, model), checkpoint, engine, precision, names, work / "cache")
    theirs = Theirs(architecture(work, model), checkpoint, precision, names)
    mine: list[dict[str, float]] = []
    others: list[dict[str, float]] = []
    for _ in range(repeats):
        weights, spent = timed(ours.weights)
        mine.append(spent)
        expected, spent = timed(theirs.weights)
        others.append(spent)
    ours.engine.close()
    walls = [row["wall"] for row in others], [row["wall"] for row in mine]
    cpus = [row["cpu"] for row in others], [row["cpu"] for row in mine]
    return {
        "model": model,
        "prompts": classes * len(open_clip.OPENAI_IMAGENET_TEMPLATES),
        "engine": engine,
        "precision": precision,
        "fastclip_seconds": spread(walls[1]),
        "fastclip_once_seconds": ours.once,
        "open_clip_seconds": spread(walls[0]),
        "times_faster": paired_ratio(*walls),
        "times_faster_cpu": paired_ratio(*cpus),
        "times_faster_first_checkpoint": median(walls[0]) / (median(walls[1]) + ours.once["all"]),
        "largest_difference": float(np.abs(weights - expected).max()),
    }


def timed(function: Any) -> tuple[Floats, dict[str, float]]:
    """What it returns, and seconds by the clock and of the processor."""
    wall, cpu = time.perf_counter(), time.process_time()
    found = function()
    return found, {"wall": time.perf_counter() - wall, "cpu": time.process_time() - cpu}


class Ours:
    """The way a sweep goes: tokens and batches once, then per checkpoint encode and average."""

    def __init__(
        self,
        model: str,
        checkpoint: Path,
        engine: str,
        precision: str,
        names: list[str],
        cache_dir: Path,
    ) -> None:
        import open_clip

        from fastclip.engines import ENGINES
        from fastclip.engines.text_batches import plan_text_batches
        from fastclip.evaluators.zero_shot import Prompts
        from fastclip.towers.cache import get_towers
        from fastclip.towers.identify import architecture_of
        from fastclip.towers.tokenizers import token_ids

        described = architecture_of(model)
        towers = get_towers(described, cache_dir=cache_dir)
        templates = tuple(template("{}") for template in open_clip.OPENAI_IMAGENET_TEMPLATES)
        self.prompts = Prompts("imagenet", tuple(names), templates)
        self.engine = ENGINES.get(engine)(precision=precision)
        shapes = self.engine.default_shapes
        began = time.perf_counter()
        ids, eot = token_ids(described, self.prompts.texts)
        tokenised = time.perf_counter() - began
        self.batches = plan_text_batches(
            ids,
            eot,
            dynamic=towers.dynamic_text,
            context_length=towers.context_length,
            batch=shapes.text_batch,
        )
        whole = time.perf_counter() - began
        self.once = {"tokens": tokenised, "batches": whole - tokenised, "all": whole}
        self.engine.open(towers, shapes)
        self._load(towers, checkpoint)

    def _load(self, towers: Any, checkpoint: Path) -> None:
        import torch

        from fastclip.checkpoints.base import TensorInfo
        from fastclip.towers.manifest import adapt
        from fastclip.towers.recipes import pack

        state = torch.load(checkpoint, map_location="cpu", weights_only=True)["state_dict"]
        arrays = {name: tensor.float().numpy() for name, tensor in state.items()}
        info = {name: TensorInfo(array.shape, "float32") for name, array in arrays.items()}
        adapted = adapt(towers, info, "open_clip")
        self.engine.load(pack(self.engine.manifest(adapted), self.engine.upload(arrays)))

    def weights(self) -> Floats:
        """Class weights `[K, D]`."""
        from fastclip.engines.text_batches import encode_prompts, select_text_batches

        count = len(self.prompts.texts)
        batches = select_text_batches(self.batches, np.arange(count))
        return self.prompts.class_weights(encode_prompts(self.engine, batches, count))


class Theirs:
    """open_clip's model, eager, and its own function."""

    def __init__(self, model: str, checkpoint: Path, precision: str, names: list[str]) -> None:
        from peers.common import Request
        from peers.plain_loop import Model

        self.model = Model(Request((), model, precision=precision), str(checkpoint))
        self.names = names

    def weights(self) -> Floats:
        """Class weights `[K, D]`."""
        import open_clip

        found = self.model.classifier(self.names, open_clip.OPENAI_IMAGENET_TEMPLATES)
        weights: Floats = found.double().numpy().T
        return weights


if __name__ == "__main__":
    sys.exit(main())
