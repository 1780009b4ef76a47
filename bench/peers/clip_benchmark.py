"""CLIP_benchmark's own command line on CIFAR-100's zero-shot task, clean and noisy.

The package (`pip install clip-benchmark`) wants an environment of its own beside open_clip's;
`--clip-benchmark PYTHON` names its interpreter. torchvision's CIFAR100 wants the training batch and
its checksum, so the pictures come as the package's other documented format, `wds/` shards of PNG.
Noise is not known to it: noisy pictures are stored as a second data set, as people do with
CIFAR-C. `--no_amp` is fp32 as fastclip computes; automatic precision is slower on a CPU.
"""

from __future__ import annotations

import io
import json
import tarfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from peers.common import Numbers, Request, read_cifar
from processes import Ran, run

TELL = """
import sys, open_clip
if {config!r}:
    open_clip.add_model_config({config!r})
from clip_benchmark import cli
run = cli.run
def told(arguments):
    run(arguments)
    print("done", arguments.pretrained, arguments.dataset, flush=True)
cli.run = told
sys.exit(cli.main())
"""
"""The package's `main`, after open_clip is told of an architecture that it does not know."""


SHARDS = 2
"""As many as workers: one without a shard is an error of the package."""


def make_shards(request: Request, noisy: dict[str, Any], folder: Path) -> Path:
    """Both data sets as shards; `noisy` maps a condition to uint8 pictures `[N, 32, 32, 3]`.

    Returns:
        The folder that holds one folder per condition, "clean" first.
    """
    from peers.plain_loop import CIFAR_TEMPLATES

    assert request.cifar is not None
    pictures, labels, names = read_cifar(request.cifar)
    for condition, found in {"clean": pictures, **noisy}.items():
        root = folder / condition
        (root / "test").mkdir(parents=True, exist_ok=True)
        (root / "classnames.txt").write_text("\n".join(names))
        templates = [template.replace("{}", "{c}") for template in CIFAR_TEMPLATES]
        (root / "zeroshot_classification_templates.txt").write_text("\n".join(templates))
        (root / "test" / "nshards.txt").write_text(str(SHARDS))
        for number in range(SHARDS):
            with tarfile.open(root / "test" / f"{number}.tar", "w") as shard:
                for row in range(number, len(labels), SHARDS):
                    _add(shard, f"{row:06d}.png", _png(found[row]))
                    _add(shard, f"{row:06d}.cls", str(labels[row]).encode())
    return folder


def _png(picture: Any) -> bytes:
    from PIL import Image

    buffer = io.BytesIO()
    Image.fromarray(picture).save(buffer, "PNG")
    return buffer.getvalue()


def _add(shard: tarfile.TarFile, name: str, content: bytes) -> None:
    entry = tarfile.TarInfo(name)
    entry.size = len(content)
    shard.addfile(entry, io.BytesIO(content))


def run_cli(
    python: str, request: Request, shards: Path, conditions: Sequence[str], folder: Path
) -> tuple[Ran, list[Numbers]]:
    """All checkpoints in one call of `clip_benchmark eval`; what it took and found."""
    folder.mkdir(parents=True, exist_ok=True)
    config = request.model if request.model.endswith(".json") else ""
    output = folder / "{dataset}-{pretrained}.json"
    ran = run(
        [
            *(python, "-c", TELL.format(config=config), "eval", "--no_amp", "--quiet"),
            *("--dataset", *(f"wds/{condition}" for condition in conditions)),
            *("--dataset_root", str(shards / "{dataset}"), "--output", str(output)),
            *("--task", "zeroshot_classification", "--pretrained", *request.checkpoints),
            *("--model", Path(request.model).stem if config else request.model),
            *("--batch_size", str(request.batch_size), "--num_workers", str(request.workers)),
        ]
    )
    numbers: list[Numbers] = []
    for checkpoint in request.checkpoints:
        found: Numbers = {}
        for condition in conditions:
            path = Path(str(output).format(dataset=condition, pretrained=Path(checkpoint).name))
            metrics = json.loads(path.read_text())["metrics"]
            # Stored pictures: their numbers can be compared, unlike those of noise drawn anew.
            named = condition.replace("noise-", "noise ")
            found |= {f"robustness {named} {m}": metrics[m] for m in ("acc1", "acc5")}
        numbers.append(found)
    return ran, numbers
