"""Architectures, their exported graphs, and the manifests that pack weights into them."""

from __future__ import annotations

from fastclip.towers.base import (
    Architecture,
    Manifest,
    Preprocessing,
    Recipe,
    TowerGraph,
    Towers,
)
from fastclip.towers.cache import get_towers
from fastclip.towers.identify import architecture_of, identify
from fastclip.towers.manifest import adapt
from fastclip.towers.recipes import pack

__all__ = [
    "Architecture",
    "Manifest",
    "Preprocessing",
    "Recipe",
    "TowerGraph",
    "Towers",
    "adapt",
    "architecture_of",
    "get_towers",
    "identify",
    "pack",
]
