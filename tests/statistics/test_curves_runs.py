import numpy as np
import pytest
from scipy import stats

from fastclip.statistics.curves import by_accuracy, by_samples


def test_samples_are_interpolated_on_their_logarithm_within_the_common_range():
    runs = [
        (x, np.log2(x) + shift)
        for x, shift in (
            (np.array([0, 1, 4, 64, 256]) * 1.0 + 1e-300, 0),
            (np.array([2, 8, 16, 128.0]), 1),
            (np.array([1, 32, 512.0]), 5),
        )
    ]
    runs[0] = (np.array([0, 1, 4, 64, 256.0]), np.array([9, 0, 2, 6, 8.0]))
    found = by_samples(runs, points=7)
    assert found.x == pytest.approx(2.0 ** np.arange(1, 8))
    assert found.mean == pytest.approx(np.arange(1, 8) + 2)
    half = stats.t.ppf(0.975, 2) * np.std([0, 1, 5], ddof=1) / np.sqrt(3)
    assert found.high - found.mean == pytest.approx(np.full(7, half))
    assert found.mean - found.low == pytest.approx(np.full(7, half))
    assert found.runs == 3


def test_common_checkpoints_are_kept_as_they_are():
    x = np.array([10, 30, 70.0])
    found = by_samples([(x, [1, 2, 3.0]), (x, [3, 4, 5.0])])
    assert found.x == pytest.approx(x) and found.mean.tolist() == [2, 3, 4]
    assert found.low is None and found.high is None


def test_intervals_begin_with_three_runs():
    runs = [([1, 2.0], [i, i + 1.0]) for i in range(4)]
    assert by_samples(runs[:2]).low is None
    assert by_samples(runs[:3]).low is not None


def test_matched_accuracy_is_first_reached():
    # The stall at 0.3 and the fall to 0.2 have no place on the axis.
    found = by_accuracy([([0.1, 0.3, 0.3, 0.2, 0.5], [1, 3, 50, 70, 5.0])], points=5)
    assert found.x == pytest.approx([0.1, 0.3, 0.5])
    assert found.mean == pytest.approx([1, 3, 5])
    other = ([0.2, 0.4], [0, 0.0])
    both = by_accuracy([([0.1, 0.3, 0.2, 0.5], [1, 3, 70, 5.0]), other], points=3)
    assert both.x == pytest.approx([0.2, 0.3, 0.4])
    assert both.mean == pytest.approx([1, 1.5, 2])


def test_nothing_is_extrapolated():
    found = by_samples([([1, 2.0], [0, 1.0]), ([4, 8.0], [0, 1.0])])
    assert found.x.size == 0 and found.mean.size == 0
    touching = by_samples([([1, 2.0], [0, 1.0]), ([2, 8.0], [5, 1.0])])
    assert touching.x.tolist() == [2] and touching.mean.tolist() == [3]
    assert by_samples([]).x.size == 0
    assert by_accuracy([([np.nan], [1.0])]).x.size == 0


def test_samples_that_do_not_increase_are_refused():
    with pytest.raises(ValueError, match="must increase"):
        by_samples([([2, 1.0], [0, 1.0])])
