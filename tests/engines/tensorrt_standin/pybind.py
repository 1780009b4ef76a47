"""How objects of a pybind11 module behave where it can go wrong."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Sequence
from enum import Enum
from typing import Any, get_origin, get_overloads

from engines.tensorrt_standin.faults import FAULTS


class Bound:
    """A class that pybind11 made.

    Arguments must be of the types that are declared, and only properties can be set: a `Path`
    is no string, and a property that there is not is an error. Subclasses made in Python may
    have attributes of their own.
    """

    def __init_subclass__(cls) -> None:
        if _is_ours(cls):
            for name, member in list(vars(cls).items()):
                if inspect.isfunction(member) and (name == "__init__" or name[0] != "_"):
                    setattr(cls, name, _typed(member))

    def __setattr__(self, name: str, value: Any) -> None:
        known = isinstance(getattr(type(self), name, None), property)
        if _is_ours(type(self)) and not name.startswith("_") and not known:
            raise AttributeError(f"'{type(self).__name__}' object has no attribute '{name}'")
        super().__setattr__(name, value)


class BoundEnum(Enum):
    """An enum that pybind11 made: a number by `int` only."""

    def __int__(self) -> int:
        return int(self.value)

    __index__ = __int__


def _is_ours(cls: type) -> bool:
    return cls.__module__.startswith(__package__ or "-")


def _typed(function: Callable[..., Any]) -> Callable[..., Any]:
    signatures = [inspect.signature(f) for f in get_overloads(function) or [function]]

    @functools.wraps(function)
    def call(*args: Any, **keywords: Any) -> Any:
        if not any(_fits(signature, function, args, keywords) for signature in signatures):
            raise TypeError(
                f"{function.__qualname__}(): incompatible function arguments. "
                f"Invoked with: {args[1:]}, {keywords}"
            )
        if function.__qualname__ in FAULTS.answers:
            return FAULTS.answers[function.__qualname__]
        return function(*args, **keywords)

    return call


def _fits(
    signature: inspect.Signature,
    function: Callable[..., Any],
    args: tuple[Any, ...],
    keywords: dict[str, Any],
) -> bool:
    try:
        given = signature.bind(*args, **keywords).arguments
    except TypeError:
        return False
    return all(
        _is_a(value, signature.parameters[name], inspect.unwrap(function))
        for name, value in given.items()
        if name != "self"
    )


def _is_a(value: Any, parameter: inspect.Parameter, function: Callable[..., Any]) -> bool:
    """Whether pybind11 would take this value for this parameter."""
    if value is None:
        return parameter.default is None
    text = str(parameter.annotation).removesuffix(" | None")
    if text == "int":
        # Whatever turns into an integer, but no float.
        return hasattr(value, "__index__")
    if text == "Buffer":
        return isinstance(value, bytes | bytearray | memoryview)
    kind = eval(text, vars(inspect.getmodule(function)))
    if kind.__name__ == "Dims":
        return isinstance(value, kind | Sequence)
    return isinstance(value, get_origin(kind) or kind)
