"""fastclip: measure how CLIP models change during training.

`fastclip.sweep("ckpts/")` measures every checkpoint of a folder and returns the rows as a
pandas DataFrame. Importing this package imports neither torch nor pandas.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"
__all__ = ["__version__", "sweep"]

if TYPE_CHECKING:
    from fastclip.api import sweep


def __getattr__(name: str) -> Any:
    if name == "sweep":
        from fastclip.api import sweep

        return sweep
    raise AttributeError(f"module 'fastclip' has no attribute {name!r}")
