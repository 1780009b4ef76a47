"""Names to things, imported only when asked for."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from importlib import import_module
from typing import Generic, TypeVar, cast

from fastclip.errors import UsageError

T = TypeVar("T")


class Registry(Generic[T]):
    """A read-only table `name -> "module:attribute"`.

    A new engine, format, data set, evaluator or distortion is one file and one line in its
    room's registry. Nothing is imported until `get`.

    Args:
        kind: what the entries are, in the singular, for error messages ("engine").
        entries: `{name: "package.module:attribute"}` in the order they are listed to users.
    """

    def __init__(self, kind: str, entries: Mapping[str, str]) -> None:
        self.kind = kind
        self._entries = dict(entries)

    def __contains__(self, name: object) -> bool:
        return name in self._entries

    def __iter__(self) -> Iterator[str]:
        return iter(self._entries)

    def get(self, name: str) -> T:
        """Import and return the entry.

        Raises:
            UsageError: no entry has this name; lists the names there are.
        """
        if name not in self._entries:
            choices = ", ".join(self._entries)
            raise UsageError(f"unknown {self.kind} '{name}'", mend=f"choose one of: {choices}")
        module, attribute = self._entries[name].split(":")
        return cast(T, getattr(import_module(module), attribute))
