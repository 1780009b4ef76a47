"""Correlations of many score vectors, groups and resamples in one call, on the CPU or a GPU."""

from fastclip.statistics.batched.base import (
    RESAMPLES_DEFINITION,
    BatchedCorrelations,
    correlate,
)
from fastclip.statistics.batched.formulas import METRICS

__all__ = ["METRICS", "RESAMPLES_DEFINITION", "BatchedCorrelations", "correlate"]
