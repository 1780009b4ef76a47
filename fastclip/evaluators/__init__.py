"""Evaluators: what is measured on each checkpoint."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from fastclip.evaluators.base import Evaluator
from fastclip.registry import Registry

TASKS: Registry[Callable[..., Sequence[Evaluator]]] = Registry(
    "task",
    {
        "iqa": "fastclip.evaluators.iqa:build",
        "shape-bias": "fastclip.evaluators.shape_bias:build",
        "robustness": "fastclip.evaluators.robustness:build",
        "embedding-diagnostics": "fastclip.evaluators.embedding_diagnostics:build",
    },
)
