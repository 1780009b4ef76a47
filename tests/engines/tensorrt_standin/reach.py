"""Which attributes a module takes from objects that could be TensorRT's, and which it has taken.

What was never run on the stand-in could call TensorRT by a name that it does not have.
"""

from __future__ import annotations

import dis
import inspect
import sys
from collections.abc import Iterator, Sequence
from types import CodeType, FrameType, ModuleType
from typing import Any, NamedTuple

_TAKES = {"LOAD_ATTR", "LOAD_METHOD", "STORE_ATTR"}
_UNKNOWN = object()


class Place(NamedTuple):
    """An instruction: `offset` in the code that starts at `line`."""

    file: str
    line: int
    code: str
    offset: int


class Reach:
    """While entered, notes what the modules' code does, instruction by instruction.

    Args:
        without: names of functions that are of no interest.
    """

    def __init__(self, modules: Sequence[ModuleType], without: Sequence[str]) -> None:
        self._modules = modules
        self._without = without
        self._files = {str(module.__file__) for module in modules}
        self._seen: set[Place] = set()

    def __enter__(self) -> Reach:
        self._before = sys.gettrace()
        sys.settrace(self._called)
        return self

    def __exit__(self, *_: object) -> None:
        sys.settrace(self._before)

    def missed(self) -> list[str]:
        """`file:line attribute` of everything that was not reached."""
        return [
            f"{place.file}:{line} {attribute}"
            for module in self._modules
            for place, line, attribute in _taken(module)
            if place.code.split(".")[0] not in self._without and place not in self._seen
        ]

    def _called(self, frame: FrameType, event: str, arg: Any) -> Any:
        if frame.f_code.co_filename not in self._files:
            return None
        frame.f_trace_opcodes = True
        return self._runs

    def _runs(self, frame: FrameType, event: str, arg: Any) -> Any:
        if event == "opcode":
            self._seen.add(_place(frame.f_code, frame.f_lasti))
        return self._runs


def _place(code: CodeType, offset: int) -> Place:
    return Place(code.co_filename, code.co_firstlineno, code.co_qualname, offset)


def _taken(module: ModuleType) -> Iterator[tuple[Place, int, str]]:
    """Attributes of objects that are no module, class, literal or `self`, in functions."""
    for code in _codes(compile(inspect.getsource(module), str(module.__file__), "exec")):
        if not code.co_flags & inspect.CO_OPTIMIZED:
            continue  # of a module or a class: it has run when it was imported
        value: Any = _UNKNOWN
        line = code.co_firstlineno
        for instruction in dis.get_instructions(code):
            positions = instruction.positions
            line = (positions and positions.lineno) or line
            if instruction.opname in _TAKES:
                if value is _UNKNOWN:
                    yield _place(code, instruction.offset), line, str(instruction.argval)
                elif value is not None:
                    value = getattr(value, instruction.argval)
                    continue
            value = _pushed(instruction, module)


def _pushed(instruction: dis.Instruction, module: ModuleType) -> Any:
    """What the instruction leaves on the stack: None where it is neither ours nor TensorRT's."""
    name = instruction.argval[-1] if isinstance(instruction.argval, tuple) else instruction.argval
    if instruction.opname == "LOAD_CONST" or (
        instruction.opname.startswith("LOAD_FAST") and name == "self"
    ):
        return None
    found = getattr(module, str(name), None) if instruction.opname == "LOAD_GLOBAL" else None
    return found if isinstance(found, type | ModuleType) else _UNKNOWN


def _codes(code: CodeType) -> Iterator[CodeType]:
    yield code
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from _codes(constant)
