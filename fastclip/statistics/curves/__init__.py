"""What a curve over training allows to say: where it is highest, whether it peaked, what moves
with it."""

from fastclip.statistics.curves.bands import benjamini_hochberg, simultaneous_band
from fastclip.statistics.curves.base import SCALES, PairedCurve, from_scale, to_scale
from fastclip.statistics.curves.maximum import beaten_p, best_set
from fastclip.statistics.curves.peak import Contrast, Peak, change, judge

__all__ = [
    "SCALES",
    "Contrast",
    "PairedCurve",
    "Peak",
    "beaten_p",
    "benjamini_hochberg",
    "best_set",
    "change",
    "from_scale",
    "judge",
    "simultaneous_band",
    "to_scale",
]
