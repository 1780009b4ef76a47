"""Checkpoints and pictures for the sweep: distinct weights-only files, 24,305 pictures."""

from __future__ import annotations

import json
import sys
import time
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

import common

FILES = 20


def main() -> int:
    """Draw the sets in processes of their own while the checkpoints are written."""
    parser = common.parser(__doc__)
    parser.add_argument("--work", type=Path, required=True)
    options = parser.parse_args()
    report = common.Report(options.output, options.device)
    began = time.perf_counter()
    work: Path = options.work
    with ProcessPoolExecutor() as pool:
        jobs = [pool.submit(make, work / "sets", options.small) for make in (tid, cue, cifar)]
        size = checkpoints(work / "run", options.small)
        for job in jobs:
            job.result()
    (work / "done").touch()
    report.add("made", {"files": FILES, "bytes_each": size, "seconds": time.perf_counter() - began})
    return report.finish()


def tid(sets: Path, small: bool) -> None:
    """TID2013's 25 references x 24 types x 5 levels, smaller than the real ones."""
    from make_sets import make_tid2013

    make_tid2013(
        sets / "tid2013",
        references=3 if small else 25,
        size=(64, 48) if small else (256, 192),
        types=(1, 16) if small else tuple(range(1, 25)),
        levels=3 if small else 5,
    )


def cue(sets: Path, small: bool) -> None:
    """1,280 cue-conflict pictures."""
    from make_sets import CUE_CLASSES, make_cue_conflict

    from fastclip.stimuli.cue_conflict import CLASSES

    make_cue_conflict(
        sets / "cue-conflict", CUE_CLASSES if small else CLASSES, 1 if small else 5, 64
    )


def cifar(sets: Path, small: bool) -> None:
    """CIFAR-100's 10,000 test pictures."""
    from make_sets import make_cifar100

    make_cifar100(sets / "cifar-100-python", n=20 if small else 10_000)


def checkpoints(folder: Path, small: bool) -> int:
    """Weights-only files as `torch.save` writes them, no two tensors alike; bytes of one."""
    import torch

    from fastclip.towers.identify import architecture_of
    from fastclip.towers.module import TowerModule

    folder.mkdir(parents=True)
    (name,) = common.architectures(small, "ViT-B-32")
    architecture = architecture_of(name)
    if small:
        config: dict[str, Any] = {"model_cfg": json.loads(Path(name).read_text())}
        (folder / "open_clip_config.json").write_text(json.dumps(config))
    shapes = TowerModule(architecture).state_names()
    for number in range(FILES):
        torch.manual_seed(number)
        state = {
            # A plain CLIP keeps its text tower at the top level.
            key.removeprefix("text."): 0.02 * torch.randn(shape) + ("ln" in key) * 1.0
            for key, shape in shapes.items()
        }
        torch.save({"state_dict": state}, folder / f"distinct_{number}.pt")
    return (folder / "distinct_0.pt").stat().st_size


if __name__ == "__main__":
    sys.exit(main())
