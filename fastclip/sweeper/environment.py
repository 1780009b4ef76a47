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
from fastclip.files import write_json
from fastclip.machine import processor_name, usable_cores
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
    "openvino",
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
    pages, page = os.sysconf("SC_PHYS_PAGES"), os.sysconf("SC_PAGE_SIZE")
    return {
        "processor": processor_name(),
        "cores": usable_cores(),
        "memory_bytes": pages * page,
        "system": platform.platform(),
    }


def write_environment(
    out: Path,
    datasets: Sequence[Dataset],
    picture_digests: Mapping[str, str],
    engine: Mapping[str, str],
) -> None:
    """Write `OUT/env.json`; `picture_digests` is by data set label.

    Data sets of earlier sweeps into this folder stay: their rows are in its table.
    """
    path = out / "env.json"
    earlier = json.loads(path.read_bytes())["datasets"] if path.is_file() else {}
    body = {
        "versions": versions(),
        "machine": machine(),
        "engine": dict(engine),
        "datasets": earlier
        | {
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
    write_json(path, body)
