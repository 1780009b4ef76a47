"""Executors: who measures a sweep's checkpoints, this process or several workers."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fastclip.registry import Registry

if TYPE_CHECKING:
    from fastclip.sweeper.executors.base import Executor

EXECUTORS: Registry[type[Executor]] = Registry(
    "executor",
    {
        "local": "fastclip.sweeper.executors.local:LocalExecutor",
        "ray": "fastclip.sweeper.executors.ray_executor:RayExecutor",
    },
)
