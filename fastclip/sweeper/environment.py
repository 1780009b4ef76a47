"""`OUT/env.json`: versions, machine, data sets and their licences."""

from __future__ import annotations

import json
import os
import platform
from collections.abc import Mapping, Sequence
from importlib import metadata
from pathlib import Path
from typing import Any

from fastclip import __version__
from fastclip.files import write_atomic
from fastclip.stimuli.base import Dataset

PACKAGES = (
    "torch",
    "torchvision",
    "open_clip_torch",
    "timm",
    "onnx",
    "onnx-ir",
    "onnxscript",
    "onnxruntime",
    "onnxruntime-gpu",
    "nvidia-dali-cuda130",
    "tensorrt-cu13",
    "numba-cuda",
    "numpy",
    "scipy",
    "pandas",
    "pyarrow",
    "pillow",
    "safetensors",
)


def versions() -> dict[str, str]:
    """Installed versions of what fastclip stands on; absent packages are left out."""
    found = {"fastclip": __version__, "python": platform.python_version()}
    for package in PACKAGES:
        try:
            found[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            continue
    return found


def machine() -> dict[str, Any]:
    """Processor, cores, memory and system of this machine."""
    model = platform.processor()
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.is_file():
        names = [
            line.split(":", 1)[1].strip()
            for line in cpuinfo.read_text().splitlines()
            if line.startswith("model name")
        ]
        model = names[0] if names else model
    pages, page = os.sysconf("SC_PHYS_PAGES"), os.sysconf("SC_PAGE_SIZE")
    return {
        "processor": model,
        "cores": len(os.sched_getaffinity(0)),
        "memory_bytes": pages * page,
        "system": platform.platform(),
    }


def write_environment(
    out: Path,
    datasets: Sequence[Dataset],
    picture_digests: Mapping[str, str],
    engine: Mapping[str, str],
) -> None:
    """Write `OUT/env.json`; `picture_digests` is by data set label."""
    body = {
        "versions": versions(),
        "machine": machine(),
        "engine": dict(engine),
        "datasets": {
            dataset.label: {
                "kind": dataset.kind,
                "pictures": len(dataset.pictures),
                "pictures_digest": picture_digests.get(dataset.label, ""),
                "labels_digest": dataset.labels_digest,
                "licence": dataset.info.licence,
                "source": dataset.info.source,
                "notes": list(dataset.notes),
            }
            for dataset in datasets
        },
    }
    write_atomic(out / "env.json", (json.dumps(body, indent=1, sort_keys=True) + "\n").encode())
