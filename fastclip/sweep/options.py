"""From a sweep's options to those the evaluators take."""

from __future__ import annotations

from fastclip.evaluators.options import TaskOptions, parse_sigmas
from fastclip.sweep.config import SweepConfig


def task_options(config: SweepConfig) -> TaskOptions:
    """Noise levels, views and prompts as the evaluators take them.

    Raises:
        UsageError: a sigma or a choice that does not exist.
    """
    return TaskOptions(
        sigmas=parse_sigmas(config.sigma),
        noise_seed=config.noise_seed,
        noise_seeds=config.noise_seeds,
        noise_at=config.noise_at,
        iqa_view=config.iqa_view,
        class_names=config.class_names,
    )
