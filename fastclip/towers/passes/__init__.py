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
        "batch_first": "fastclip.towers.passes.batch_first:run",
        "eot_input": "fastclip.towers.passes.eot_input:run",
        "last_block": "fastclip.towers.passes.last_block:run",
        "linear_transpose": "fastclip.towers.passes.linear_transpose:run",
        "patch_product": "fastclip.towers.passes.patch_product:run",
    },
)
"""Every pass there is."""

DEFAULT_PASSES: tuple[str, ...] = (
    "eot_input",
    "linear_transpose",
    "batch_first",
    "last_block",
    "patch_product",
)
"""The passes that run unless told otherwise, in this order."""
