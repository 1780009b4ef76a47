"""Passes over an exported graph, each small, named and switchable.

A pass is `run(export: TowerExport) -> None`: it changes the ONNX graph, and the recipes of the
initializers with it, so that graph and weights stay one thing.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from fastclip.registry import Registry

if TYPE_CHECKING:
    from fastclip.towers.passes.base import TowerExport

    Pass = Callable[[TowerExport], None]

PASSES: Registry[Pass] = Registry(
    "pass",
    {
        "eot_input": "fastclip.towers.passes.eot_input:run",
        "linear_transpose": "fastclip.towers.passes.linear_transpose:run",
    },
)
"""Every pass there is."""

DEFAULT_PASSES: tuple[str, ...] = ("eot_input", "linear_transpose")
"""The passes that run unless told otherwise, in this order."""
