"""The real TensorRT's Python API, read from NVIDIA's own bindings.

The bindings are on PyPI, the libraries under them are not. Stub libraries that answer every call
with NULL are enough to import them, and what is imported names every class, method, keyword and
enum member that TensorRT has.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import sysconfig
import tempfile
import zipfile
from pathlib import Path
from typing import Any

import pytest

DISTRIBUTION = "tensorrt-cu13-bindings"
VERSIONS = ("11.4.0.106", "10.16.1.11")

Api = dict[str, Any]
"""A namespace (the module, or a class in it): `{"values": {name: type}, "functions": {name:
[signature]}, "properties": {name: {"type", "settable"}}, "classes": {name: Api}, "bases": [...],
"enum": {member: number}}`; types and signatures as pybind11 prints them."""

_LIBRARIES = ("nvinfer", "nvinfer_plugin", "nvonnxparser")

_STUB = "".join(
    f"void *{name}(void) {{ return 0; }}\n"
    for name in (
        "createInferBuilder_INTERNAL",
        "createInferRefitter_INTERNAL",
        "createInferRuntime_INTERNAL",
        "createNvOnnxParser_INTERNAL",
        "createNvOnnxParserRefitter_INTERNAL",
        "getBuilderPluginRegistry",
        "getNvOnnxParserVersion",
        "getPluginRegistry",
        "initLibNvInferPlugins",
    )
)

_DUMP = r"""
import json, re
import tensorrt_bindings as trt

SPECIAL = {"__init__", "__version__"}


def python_name(match):
    # A C++ name, printed because its class was made later.
    candidates = (match[1], match[1].removeprefix("I"))
    return next((name for name in candidates if hasattr(trt, name)), "object")


def plain(text):
    text = (text or "").replace("tensorrt_bindings.tensorrt.", "")
    return re.sub(r"(?:\w+::)+(\w+)(?:<[^>]*>)?", python_name, text)


def signatures(name, function):
    lines = [re.sub(r"^\d+\. ", "", line) for line in plain(function.__doc__).splitlines()]
    return [line for line in lines if re.match(rf"{name}\(.*\) -> ", line)]


def described(space):
    members = getattr(space, "__members__", {})
    found = {
        "values": {},
        "functions": {},
        "properties": {},
        "classes": {},
        "bases": [base.__name__ for base in getattr(space, "__mro__", ())[1:]],
        "enum": {name: member.value for name, member in members.items()},
    }
    for name in dir(space):
        if name in members or (name.startswith("_") and name not in SPECIAL):
            continue
        member = getattr(space, name)
        if isinstance(member, property):
            found["properties"][name] = {
                "type": (re.findall(r"-> (.*)", plain(member.fget.__doc__)) or ["object"])[0],
                "settable": member.fset is not None,
            }
        elif isinstance(member, type):
            found["classes"][name] = described(member)
        elif callable(member):
            found["functions"][name] = signatures(name, member)
        else:
            found["values"][name] = type(member).__name__
    return found


print(json.dumps(described(trt)))
"""


def real_api(version: str, folder: Path) -> Api:
    """The API of the bindings of that version; `folder` holds what is unpacked and compiled.

    Skips the test where the wheel is neither cached nor to be had.
    """
    with zipfile.ZipFile(_wheel(version)) as wheel:
        wheel.extractall(folder)
    major = version.split(".")[0]
    source = folder / "stub.c"
    source.write_text(_STUB)
    for library in _LIBRARIES:
        soname = f"lib{library}.so.{major}"
        compiler = os.environ.get("CC", "cc")
        command = [compiler, "-shared", "-fPIC", f"-Wl,-soname,{soname}", "-o", folder / soname]
        subprocess.run([*command, source], check=True)
    search = {"LD_LIBRARY_PATH": str(folder), "PYTHONPATH": str(folder)}
    dumped = subprocess.run(
        [sys.executable, "-c", _DUMP], env=os.environ | search, capture_output=True, check=True
    )
    api: Api = json.loads(dumped.stdout)
    return api


def _wheel(version: str) -> Path:
    """The wheel for this interpreter, downloaded once per machine."""
    cache = Path(os.environ.get("XDG_CACHE_HOME", "~/.cache")).expanduser() / "fastclip-tests"
    shelf = cache / sysconfig.get_platform() / f"cp{sys.version_info.major}{sys.version_info.minor}"
    pattern = f"{DISTRIBUTION.replace('-', '_')}-{version}-*.whl"
    shelf.mkdir(parents=True, exist_ok=True)
    if not list(shelf.glob(pattern)):
        _download(version, shelf)
    (wheel,) = shelf.glob(pattern)
    return wheel


def _download(version: str, shelf: Path) -> None:
    options = ["--no-deps", "--only-binary=:all:", "--disable-pip-version-check", "--quiet"]
    with tempfile.TemporaryDirectory(dir=shelf) as fresh:
        command = [sys.executable, "-m", "pip", "download", *options, "--dest", fresh]
        result = subprocess.run(
            [*command, f"{DISTRIBUTION}=={version}"], capture_output=True, text=True, check=False
        )
        if result.returncode:
            reason = (result.stderr.strip().splitlines() or ["no reason given"])[-1]
            pytest.skip(f"pip cannot download {DISTRIBUTION} {version}: {reason}")
        for wheel in Path(fresh).iterdir():
            wheel.replace(shelf / wheel.name)
