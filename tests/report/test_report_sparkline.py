from __future__ import annotations

from fastclip.report.sparkline import BARS, sparkline


def test_a_ramp_uses_every_bar():
    assert sparkline(list(range(8))) == BARS


def test_missing_values_are_spaces():
    assert sparkline([0.0, None, float("nan"), 1.0]) == f"{BARS[0]}  {BARS[-1]}"


def test_a_constant_is_neither_low_nor_high():
    assert sparkline([0.3, 0.3, None]) == f"{BARS[3]}{BARS[3]} "


def test_many_values_are_pooled_to_the_width():
    drawn = sparkline([float(i) for i in range(800)], width=8)
    assert drawn == BARS


def test_one_high_value_of_a_share_is_not_lost():
    values = [0.0] * 100
    values[55] = 100.0
    assert sparkline(values, width=10) == BARS[0] * 5 + BARS[-1] + BARS[0] * 4


def test_nothing_known():
    assert sparkline([None, None]) == "  "
    assert sparkline([]) == ""
