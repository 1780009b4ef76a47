"""A sweep's rows and items in other programs' formats."""

from __future__ import annotations

from fastclip.exports.base import Export
from fastclip.registry import Registry

EXPORTS: Registry[Export] = Registry(
    "format",
    {
        "csv": "fastclip.exports.rows:CSV",
        "parquet": "fastclip.exports.rows:PARQUET",
        "wide": "fastclip.exports.wide:EXPORT",
        "items": "fastclip.exports.items:EXPORT",
        "clip-benchmark": "fastclip.exports.clip_benchmark:EXPORT",
        "model-vs-human": "fastclip.exports.model_vs_human:EXPORT",
        "wandb": "fastclip.exports.wandb_runs:EXPORT",
    },
)
