"""Numba's compiler, as this package uses it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from numba import njit

Function = TypeVar("Function", bound=Callable[..., Any])


def compiled(function: Function) -> Function:
    """`function` compiled without the interpreter's lock, and kept on disk where that is possible.

    Numba keeps its code beside the source file, or in the user's cache folder where it may not
    write there, or under NUMBA_CACHE_DIR; where it may write nowhere, each process compiles anew.
    Kept code is renewed only when the function's own file changes, so a compiled function calls
    no compiled function of another file. Sums may fuse multiplication and addition: those of
    ranks and pairs are exact either way.
    """
    options = {"nogil": True, "fastmath": {"contract"}, "error_model": "numpy"}
    try:
        return njit(cache=True, **options)(function)  # type: ignore[no-any-return]
    except RuntimeError:  # "no locator available": nowhere to write
        return njit(**options)(function)  # type: ignore[no-any-return]
