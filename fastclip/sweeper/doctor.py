"""What `fastclip doctor` looks at."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

from fastclip.engines import ENGINES
from fastclip.errors import EngineError
from fastclip.sweeper.environment import machine, versions

REQUIRED = ("torch", "open_clip_torch", "onnx", "numpy", "scipy", "pandas", "pyarrow", "pillow")

OPTIONAL = ("openvino", "onnxruntime-gpu", "nvidia-dali-cuda130", "tensorrt-cu13", "numba-cuda")


@dataclass(frozen=True)
class Finding:
    """One line of the doctor's report; `ok` is None for what may well be missing."""

    subject: str
    ok: bool | None
    detail: str


def examine() -> list[Finding]:
    """Look at everything; nothing is changed but that the cache folder is made."""
    return [*_packages(), _machine(), _kernels(), *_engines(), _cache()]


def _packages() -> Iterator[Finding]:
    found = versions()
    yield Finding("fastclip", True, f"{found['fastclip']} on Python {found['python']}")
    for package in REQUIRED:
        yield Finding(package, package in found, found.get(package, "not installed"))
    for package in OPTIONAL:
        yield Finding(package, package in found or None, found.get(package, "not installed"))
    if "onnxruntime" in found and "onnxruntime-gpu" in found:
        yield Finding(
            "onnxruntime",
            False,
            "onnxruntime and onnxruntime-gpu share one folder: uninstall both, install one",
        )


def _machine() -> Finding:
    facts = machine()
    memory = facts["memory_bytes"] / 2**30
    return Finding(
        "machine", True, f"{facts['processor']}, {facts['cores']} cores, {memory:.0f} GiB"
    )


def _kernels() -> Finding:
    try:
        from fastclip import _kernels
    except ImportError as error:
        return Finding("native kernels", False, f"not built ({error}); reinstall fastclip")
    cuda = "with CUDA" if _kernels.built_with_cuda else "without CUDA (no nvcc at install)"
    return Finding("native kernels", True, f"built {cuda}")


def _engines() -> Iterator[Finding]:
    reports = {name: _try(lambda name=name: _engine(name)) for name in ENGINES}  # type: ignore[misc]
    works = any(ok for ok, _ in reports.values())
    for name, (ok, detail) in reports.items():
        mark = True if ok else None if works else False
        yield Finding(f"engine {name}", mark, detail if ok else f"not here: {detail}")


def _engine(name: str) -> str:
    """What the engine says of itself; raises the reason where it cannot run here."""
    engine = ENGINES.get(name)
    device = engine.devices[0]
    reason = engine.unavailable(device)
    if reason is not None:
        raise EngineError(reason)
    return _words(engine(device=device, precision=engine.precisions[0]).describe())


def _words(facts: Mapping[str, str]) -> str:
    return ", ".join(f"{key} {value}" for key, value in facts.items() if key != "engine")


def _cache() -> Finding:
    from fastclip.stimuli.cache import cache_folder

    folder = cache_folder()

    def probe() -> str:
        folder.mkdir(parents=True, exist_ok=True)
        return f"{folder}, {shutil.disk_usage(folder).free / 2**30:.0f} GiB free"

    return Finding("cache", *_try(probe))


def _try(action: Callable[[], str]) -> tuple[bool, str]:
    try:
        return True, action()
    except Exception as error:
        return False, str(error).splitlines()[0] if str(error) else type(error).__name__
