"""The newest revision of each task's evaluators, without building one."""

from __future__ import annotations

from importlib import import_module

EVALUATORS = {
    "iqa": "iqa:ImageQuality",
    "shape-bias": "shape_bias:ShapeBias",
    "robustness": "robustness:ZeroShotAccuracy",
    "embedding-diagnostics": "embedding_diagnostics:PairDiagnostics",
}


def newest_revision(task: str) -> int:
    """The revision that a sweep of today would measure the task with."""
    module, name = EVALUATORS[task].split(":")
    evaluator = getattr(import_module(f"fastclip.evaluators.{module}"), name)
    return int(evaluator.revision)
