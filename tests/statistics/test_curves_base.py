import numpy as np
import pytest
from drawn_curves import of_units, units

from fastclip.statistics.curves import SCALES, from_scale, to_scale


@pytest.mark.parametrize("scale", SCALES)
def test_scales_go_there_and_back(scale):
    values = np.array([0.01, 0.3, 0.98])
    assert from_scale(to_scale(values, scale), scale) == pytest.approx(values)


def test_ends_of_the_range_are_infinite():
    assert to_scale([-1, 1], "fisher").tolist() == [-np.inf, np.inf]
    assert to_scale([0, 1], "logit").tolist() == [-np.inf, np.inf]
    assert from_scale([-np.inf, np.inf], "logit").tolist() == [0, 1]


@pytest.mark.parametrize("scale", SCALES)
def test_the_natural_curve_is_the_one_never_scaled(scale):
    values = units(np.random.default_rng(0), np.linspace(0.3, 0.7, 6), 400)
    natural = of_units(values, scale).natural()
    plain = of_units(values)
    assert natural.scale == "identity" and natural.units == 400
    np.testing.assert_allclose(natural.estimates, plain.estimates)
    np.testing.assert_allclose(natural.resamples, plain.resamples)
    np.testing.assert_allclose(natural.covariance, plain.covariance, rtol=0.01)


def test_a_subset_keeps_what_belongs_to_its_checkpoints():
    curve = of_units(units(np.random.default_rng(0), np.linspace(0.3, 0.7, 6), 20))
    part = curve.subset([4, 1])
    assert part.estimates.tolist() == curve.estimates[[4, 1]].tolist()
    assert part.resamples.tolist() == curve.resamples[[4, 1]].tolist()
    assert part.covariance[0, 1] == curve.covariance[4, 1] and len(part) == 2
