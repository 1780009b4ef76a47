"""Pictures: data sets, decoding, resizing, and views kept resident for the whole sweep."""

from __future__ import annotations

from collections.abc import Callable

from fastclip.registry import Registry
from fastclip.stimuli.base import Dataset

DATASETS: Registry[Callable[..., Dataset]] = Registry(
    "data set layout",
    {
        "tid2013": "fastclip.stimuli.tid2013:load",
        "kadid10k": "fastclip.stimuli.kadid10k:load",
        "iqa": "fastclip.stimuli.iqa_table:load",
        "cue-conflict": "fastclip.stimuli.cue_conflict:load",
        "cifar100": "fastclip.stimuli.cifar100:load",
        "imagenet": "fastclip.stimuli.imagenet:load",
    },
)
