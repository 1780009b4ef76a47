"""Compiling the DALI operator on the user's machine, once per DALI version.

DALI's operator interface belongs to one version of its wheel, and pip builds fastclip in an
environment where that wheel is not to be seen. So the operator's few sources are installed as they
are and compiled when a pipeline first wants it, by the compilers alone: some 20 seconds of
processor time, and then it is in the cache.
"""

from __future__ import annotations

import os
import re
import shutil
import stat
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from hashlib import blake2b
from importlib.util import find_spec
from pathlib import Path

from fastclip.errors import RefusalError
from fastclip.files import atomic_path, canonical_json

ISAS = ("x86-64", "x86-64-v3", "x86-64-v4")
_EXACT = ["-std=c++17", "-fPIC", "-ffp-contract=off"]
# DALI's headers make gcc 12 warn of frees that cannot happen.
_SHIM = ["-O2", "-Wall", "-Wno-free-nonheap-object"]
_LOOPS = ["-O3", "-fno-math-errno", "-fno-trapping-math"]
_DEVICE = [
    *("-std=c++17", "-O3", "-fmad=false", "-Xcompiler=-fPIC,-ffp-contract=off,-Wall"),
    *("-cudart", "static", "-gencode", "arch=compute_80,code=sm_80"),
    *("-gencode", "arch=compute_90,code=[sm_90,compute_90]"),
]


def sources() -> Path:
    """The folder `kernels/`: beside the package in a checkout, within it once installed."""
    package = Path(__file__).parents[2]
    inside = package / "kernels_source"
    return inside if inside.is_dir() else package.parent / "kernels"


def nvcc() -> str | None:
    """The CUDA compiler: `CUDACXX`, else on the path, else where NVIDIA installs it."""
    usual = "/usr/local/cuda/bin/nvcc"
    return shutil.which(os.environ.get("CUDACXX") or "nvcc") or shutil.which(usual)


def build(cache_dir: Path) -> Path:
    """The operator's library for the DALI that is installed; compiled where the cache has none.

    With nvcc it has both backends, without it the CPU's alone.

    Raises:
        RefusalError: no compiler, no CUDA headers (DALI's own need them), or they disagree.
    """
    folder = _own_folder(cache_dir / "operators")
    compiler = shutil.which(os.environ.get("CXX") or "g++")
    if compiler is None:
        raise RefusalError(
            "the DALI operator needs a C++ compiler and found none",
            mend="install g++, or name a compiler in the CXX environment variable",
        )
    library = folder / f"{_key(compiler)}.so"
    if not library.is_file():
        with tempfile.TemporaryDirectory() as scratch, atomic_path(library) as made:
            _compile(compiler, Path(scratch), made)
    return library


def _key(compiler: str) -> str:
    import nvidia.dali

    files = sorted(p for p in sources().rglob("*") if p.suffix in (".h", ".cpp", ".cu"))
    parts = [nvidia.dali.__version__, _version(compiler), _version(nvcc())]
    parts += [*_headers(), *_EXACT, *_SHIM, *_LOOPS, *_DEVICE]
    parts += [blake2b(file.read_bytes(), digest_size=16).hexdigest() for file in files]
    digest = blake2b(canonical_json(parts).encode(), digest_size=8).hexdigest()
    return f"dali-{nvidia.dali.__version__}-{digest}"


def _version(compiler: str | None) -> str:
    if compiler is None:
        return ""
    return subprocess.run([compiler, "--version"], capture_output=True, text=True).stdout


def _compile(compiler: str, scratch: Path, library: Path) -> None:
    from nvidia.dali import sysconfig

    kernels = sources()
    device = nvcc()
    shim = [*_EXACT, *_SHIM, *_system(sysconfig.get_compile_flags()), *_headers()]
    defined = ["-DFASTCLIP_WITH_CUDA"] if device else []
    jobs = [[compiler, *shim, *defined, "-c", str(kernels / "dali" / "distort.cpp")]]
    for name in ("noise", "filters", "resize"):
        jobs.append([compiler, *_EXACT, "-O2", "-c", str(kernels / f"{name}.cpp")])
    for isa in ISAS:
        flags = [f"-march={isa}", f"-DFASTCLIP_ISA={isa.replace('-', '_')}"]
        jobs.append([compiler, *_EXACT, *_LOOPS, *flags, "-c", str(kernels / "loops.cpp")])
    if device:
        jobs.append([device, *_DEVICE, "-c", str(kernels / "cuda.cu")])
    objects = [str(scratch / f"{number}.o") for number in range(len(jobs))]
    _run([[*job, "-o", made] for job, made in zip(jobs, objects, strict=True)])
    # DALI's own libraries are loaded before this one, so that no path to them is needed.
    linker = [device, "-cudart", "static"] if device else [compiler]
    linked = [*sysconfig.get_link_flags(), "-ldali_core"]
    _run([[*linker, "-shared", *objects, *linked, "-o", str(library)]])


def _run(commands: Sequence[list[str]]) -> None:
    """Run them side by side.

    Raises:
        RefusalError: one failed; quotes what it said.
    """
    running = [
        (c, subprocess.Popen(c, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True))
        for c in commands
    ]
    said = [(command, process.communicate()[0], process.returncode) for command, process in running]
    for command, output, code in said:
        if code:
            errors = [line for line in output.splitlines() if "error" in line][:5]
            raise RefusalError(
                "the DALI operator cannot be compiled:\n"
                + "\n".join(f"  {line}" for line in errors or output.splitlines()[-5:]),
                where=" ".join(command),
                mend="use --decoder pillow, or another compiler (CXX, CUDACXX)",
            )


def _headers() -> list[str]:
    """Flags for CUDA's headers: the toolkit's own, else those of NVIDIA's wheels."""
    roots = [_toolkit()]
    for folder in _nvidia_folders():
        roots += sorted(folder.glob("cu[0-9]*"), reverse=True)
    for root in filter(None, roots):
        include = root / "include"
        if (include / "cuda_runtime.h").is_file() and (include / "crt").is_dir():
            return _system([f"-I{include}", f"-I{include / 'cccl'}"])
    raise RefusalError(
        "DALI's headers need CUDA's, and none are installed",
        mend="install the extra: pip install 'fastclip[dali]', or a CUDA toolkit",
    )


def _toolkit() -> Path | None:
    """The folder nvcc works from, which need not be the one it was found in."""
    compiler = nvcc()
    if compiler is None:
        return None
    dry = subprocess.run([compiler, "--dryrun", "any.cu"], capture_output=True, text=True).stderr
    found = re.search(r"^#\$ TOP=(.+)$", dry, re.MULTILINE)
    return Path(found[1].strip()).resolve() if found else None


def _nvidia_folders() -> Iterator[Path]:
    spec = find_spec("nvidia")
    yield from map(Path, spec.submodule_search_locations or () if spec else ())


def _system(flags: Sequence[str]) -> list[str]:
    """Other people's headers as system headers, whose warnings are theirs."""
    return [part for flag in flags for part in _as_system(flag)]


def _as_system(flag: str) -> list[str]:
    return ["-isystem", flag[2:]] if flag.startswith("-I") else [flag]


def _own_folder(folder: Path) -> Path:
    """A folder whose libraries nobody else can have put there: loading one runs its code.

    Raises:
        RefusalError: others own it or may write to it.
    """
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    found = folder.stat()
    if found.st_uid != os.getuid() or found.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        raise RefusalError(
            "others may write to the folder of compiled operators",
            where=folder,
            mend=f"chmod go-w {folder}, or name a cache folder of your own with --cache-dir",
        )
    return folder
