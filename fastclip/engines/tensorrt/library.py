"""TensorRT itself: importing it, its versions, its types, its words, and whether it works here."""

from __future__ import annotations

import importlib
import re
import subprocess
import sys
from collections import deque
from functools import cache
from importlib.util import find_spec
from typing import Any

import torch

OLDEST = (10, 16)
DROPS_BIASES = ((11, 0), (11, 4))
"""From the first to before the second: NVIDIA's release notes of 11.3 say that a refittable engine
may treat a GEMM's bias as zero."""

INSTALL = (
    "pip install 'fastclip[tensorrt]' on a machine that reaches NVIDIA's own package index, from "
    "which the package tensorrt-cu13 fetches its libraries"
)

_TYPES = {
    "FLOAT": torch.float32,
    "HALF": torch.float16,
    "BF16": torch.bfloat16,
    "INT64": torch.int64,
    "INT32": torch.int32,
    "INT8": torch.int8,
    "UINT8": torch.uint8,
    "BOOL": torch.bool,
}

_ERRORS: deque[str] = deque(maxlen=3)

_TRY = """
import torch
torch.cuda.set_device({index})
import tensorrt as trt
print("version", trt.__version__, flush=True)
builder = trt.Builder(trt.Logger(trt.Logger.ERROR))
print("builder", builder is not None, flush=True)
"""


def tensorrt() -> Any:
    """The module. It has no stubs, and tests put another in its place: hence no import above."""
    return importlib.import_module("tensorrt")


def version() -> str:
    """Of the TensorRT that is installed."""
    return str(tensorrt().__version__)


def torch_dtype(dtype: Any) -> torch.dtype:
    """torch's dtype for a `tensorrt.DataType`."""
    return _TYPES[dtype.name]


def strongly_typed(trt: Any) -> int:
    """Flags of a network whose types are those of the ONNX file.

    TensorRT 10 has to be told, 11 does so always and may drop the flag.
    """
    flag = getattr(trt.NetworkDefinitionCreationFlag, "STRONGLY_TYPED", None)
    return 0 if flag is None else 1 << int(flag)


@cache
def _log_of(trt: Any) -> Any:
    class Log(trt.ILogger):  # type: ignore[misc]
        """Keeps the last errors and prints nothing: the terminal belongs to the sweep."""

        def __init__(self) -> None:
            trt.ILogger.__init__(self)

        def log(self, severity: Any, msg: str) -> None:
            if severity.name in ("ERROR", "INTERNAL_ERROR"):
                _ERRORS.append(" ".join(msg.split()))

    return Log()


def log() -> Any:
    """The one `ILogger` that every TensorRT object here gets."""
    return _log_of(tensorrt())


def because() -> str:
    """TensorRT's last error messages, as the end of a sentence; they are told once."""
    reason = "; ".join(_ERRORS)
    _ERRORS.clear()
    return f": {reason}" if reason else ""


def not_installed() -> str | None:
    """Why `import tensorrt` cannot work, or None where it is worth trying."""
    if "tensorrt" in sys.modules or find_spec("tensorrt") is not None:
        return None
    return f"TensorRT is not installed: {INSTALL}"


def unfit_version(found: str) -> str | None:
    """Why this version of TensorRT is not used, or None where it is."""
    numbers = tuple(int(number) for number in re.findall(r"\d+", found)[:2])
    if numbers < OLDEST:
        return f"TensorRT {found} is too old: install 11.4 or later, or 10.16"
    if DROPS_BIASES[0] <= numbers < DROPS_BIASES[1]:
        return f"TensorRT {found} may drop biases when weights change: install 11.4 or later"
    return None


@cache
def does_not_work(device: str) -> str | None:
    """Why TensorRT cannot build engines on this CUDA device, or None where it can.

    Tried in another process: where the driver does not suit it, TensorRT may end its process.
    """
    command = [sys.executable, "-c", _TRY.format(index=torch.device(device).index or 0)]
    try:
        tried = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    except subprocess.TimeoutExpired:
        return f"TensorRT does not come up on {device} within two minutes"
    said = dict(line.split(" ", 1) for line in tried.stdout.splitlines() if " " in line)
    if "version" in said and (reason := unfit_version(said["version"])):
        return reason
    if tried.returncode == 0 and said.get("builder") == "True":
        return None
    if tried.returncode < 0:
        return (
            f"TensorRT cannot be used on {device}: it ends its process (signal {-tried.returncode})"
        )
    *_, last = tried.stderr.strip().splitlines() or ["it makes no builder and does not say why"]
    return f"TensorRT cannot be used on {device}: {last.strip()}"
