"""From a sweep's options to those the evaluators take."""

from __future__ import annotations

from fastclip.distortions.levels import distortion_list, sigma_list
from fastclip.evaluators.options import TaskOptions
from fastclip.sweeper.config import DEFAULT_SIGMA, SweepConfig


def task_options(config: SweepConfig) -> TaskOptions:
    """Distortions, views and prompts as the evaluators take them.

    Raises:
        UsageError: a sigma, a distortion or a choice that does not exist.
    """
    distortions = distortion_list(config.distortion)
    default = "" if distortions else DEFAULT_SIGMA
    sigmas = sigma_list(default if config.sigma is None else config.sigma)
    return TaskOptions(
        conditions=tuple(dict.fromkeys((*sigmas, *distortions))),
        noise_seed=config.noise_seed,
        noise_seeds=config.noise_seeds,
        noise_at=config.noise_at,
        iqa_view=config.iqa_view,
        class_names=config.class_names,
        cache_dir=config.cache_dir,
    )
