"""The stand-in held against NVIDIA's own bindings of TensorRT 11.4 and 10.16.

The stand-in has no name, argument, default, enum member or type that the real one has not. What
runs on it therefore calls TensorRT by names that exist; that every line which might touch
TensorRT does run on it is shown in `test_tensorrt_simulated.py`.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Iterator
from enum import Enum
from typing import Any, get_overloads

import pytest
from engines.tensorrt_standin import module
from engines.tensorrt_standin.real_bindings import VERSIONS, Api, real_api


@pytest.fixture(scope="module", params=VERSIONS)
def real(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Api:
    return real_api(request.param, tmp_path_factory.mktemp("bindings"))


def standin_classes() -> Iterator[type]:
    values = vars(module.tensorrt()).values()
    return (value for value in values if isinstance(value, type))


def public(cls: type) -> Iterator[tuple[str, Any]]:
    """What users of a class of the stand-in can reach; not what bytes and tuples have."""
    for owner in cls.__mro__:
        if owner.__module__ != "builtins":
            yield from (item for item in vars(owner).items() if not item[0].startswith("_"))


def calls(function: Callable[..., Any]) -> set[str]:
    """A function of the stand-in as pybind11 would print it."""
    return {_printed(inspect.signature(f)) for f in get_overloads(function) or [function]}


def _printed(signature: inspect.Signature) -> str:
    arguments = []
    for name, argument in signature.parameters.items():
        kind = str(argument.annotation).removesuffix(" | None")
        text = name if name == "self" else f"{name}: {_TYPES.get(kind, kind)}"
        arguments.append(text if argument.default is argument.empty else f"{text} = ?")
    # None stands for a failure everywhere; pybind11 does not say where it can come.
    returned = str(signature.return_annotation).removesuffix(" | None")
    return f"({', '.join(arguments)}) -> {returned}"


_TYPES = {
    "int": "typing.SupportsInt",
    "Buffer": "typing_extensions.Buffer",
    "np.ndarray": "numpy.ndarray",
}


def real_calls(signatures: list[str]) -> set[str]:
    """What pybind11 prints, without names of functions and values of defaults."""
    found = set()
    for signature in signatures:
        arguments, returned = signature.split("(", 1)[1].rsplit(") -> ", 1)
        plain = [re.sub(r" = .*", " = ?", argument.strip()) for argument in _split(arguments)]
        plain[0] = "self"
        found.add(f"({', '.join(plain)}) -> {returned}")
    return found


def _split(arguments: str) -> list[str]:
    """At commas outside brackets."""
    parts, depth = [""], 0
    for character in arguments:
        depth += (character in "[<(") - (character in "]>)")
        if character == "," and not depth:
            parts.append("")
        else:
            parts[-1] += character
    return parts


def test_the_bindings_are_the_version_asked_for(real: Api) -> None:
    assert real["values"]["__version__"] == "str"
    assert {"Builder", "Refitter", "OnnxParser", "Runtime"} <= real["classes"].keys()


def test_the_standin_has_nothing_that_tensorrt_has_not(real: Api) -> None:
    names = {name for name in vars(module.tensorrt()) if not name.startswith("__")}
    assert names <= real["classes"].keys() | real["values"].keys()
    for cls in standin_classes():
        theirs = real["classes"][cls.__name__]
        if issubclass(cls, Enum):
            # Not the numbers: they are not the same in all versions.
            assert cls.__members__.keys() <= theirs["enum"].keys(), cls
            continue
        for name, member in public(cls):
            where = f"{cls.__name__}.{name}"
            if isinstance(member, property):
                assert name in theirs["properties"], where
                if member.fset is not None:
                    assert theirs["properties"][name]["settable"], where
            elif inspect.isfunction(member):
                found = real_calls(theirs["functions"].get(name, []))
                assert calls(member) <= found, where
            else:
                assert name in theirs["values"].keys() | theirs["classes"].keys(), where


def test_what_users_construct_is_constructed_alike(real: Api) -> None:
    for name in ("Builder", "Logger", "ILogger", "OnnxParser", "OnnxParserRefitter", "Refitter",
                 "Runtime", "Weights"):  # fmt: skip
        (cls,) = (cls for cls in standin_classes() if cls.__name__ == name)
        found = real_calls(real["classes"][name]["functions"]["__init__"])
        assert calls(cls.__init__) <= found, name
