"""What a curve over training allows to say: where it is highest, whether it peaked, what moves
with it."""

from fastclip.statistics.curves.bands import benjamini_hochberg, simultaneous_band
from fastclip.statistics.curves.base import SCALES, PairedCurve, from_scale, to_scale
from fastclip.statistics.curves.links import (
    Lags,
    Moves,
    increments_link,
    lagged,
    level_correlation,
    link_over_runs,
)
from fastclip.statistics.curves.maximum import beaten_p, best_set
from fastclip.statistics.curves.peak import Contrast, Peak, judge
from fastclip.statistics.curves.runs import MeanCurve, by_accuracy, by_samples

__all__ = [
    "SCALES",
    "Contrast",
    "Lags",
    "MeanCurve",
    "Moves",
    "PairedCurve",
    "Peak",
    "beaten_p",
    "benjamini_hochberg",
    "best_set",
    "by_accuracy",
    "by_samples",
    "from_scale",
    "increments_link",
    "judge",
    "lagged",
    "level_correlation",
    "link_over_runs",
    "simultaneous_band",
    "to_scale",
]
