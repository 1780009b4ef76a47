"""From a sweep's options to those the evaluators take."""

from __future__ import annotations

from fastclip.distortions.levels import sigma_list
from fastclip.evaluators.options import TaskOptions
from fastclip.sweeper.config import SweepConfig


def task_options(config: SweepConfig) -> TaskOptions:
    """Noise levels, views and prompts as the evaluators take them.

    Raises:
        UsageError: a sigma or a choice that does not exist.
    """
    return TaskOptions(
        sigmas=sigma_list(config.sigma),
        noise_seed=config.noise_seed,
        noise_seeds=config.noise_seeds,
        noise_at=config.noise_at,
        iqa_view=config.iqa_view,
        class_names=config.class_names,
    )
