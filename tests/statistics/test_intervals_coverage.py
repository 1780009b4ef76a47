"""How often an interval holds the population's coefficient, when references are random draws."""

from __future__ import annotations

import numpy as np
import pytest

from fastclip.statistics.intervals.correlations import estimate

REFERENCES, PAIRS, SIMULATIONS = 25, 20, 150


def simulated(rng: np.random.Generator, references: int) -> tuple[np.ndarray, np.ndarray]:
    """Scores and nearness `[references, PAIRS]`; nearness has an offset and a slope of its own
    for every reference."""
    human = rng.standard_normal((references, PAIRS))
    offset, slope = 0.5 * rng.standard_normal((2, references, 1))
    return human, offset + (1 + slope) * human + 0.7 * rng.standard_normal(human.shape)


@pytest.fixture(scope="module")
def drawn() -> tuple[float, list[tuple[np.ndarray, np.ndarray]]]:
    rng = np.random.default_rng(0)
    human, near = simulated(rng, 20_000)
    truth = np.corrcoef(human.ravel(), near.ravel())[0, 1]
    return truth, [simulated(rng, REFERENCES) for _ in range(SIMULATIONS)]


def coverage(drawn, clusters, method: str) -> float:
    truth, samples = drawn
    inside = 0
    for human, near in samples:
        found = estimate(
            "plcc",
            near.reshape(1, -1),
            human.ravel(),
            clusters=clusters,
            method=method,
            resamples=300,
            threads=1,
        )
        inside += found.low[0, 0] <= truth <= found.high[0, 0]
    return inside / len(samples)


def test_references_must_be_the_units(drawn):
    """The population's coefficient is known to 0.002; 150 simulations to 1.8 percentage points."""
    references = np.repeat(np.arange(REFERENCES), PAIRS)
    assert 0.91 <= coverage(drawn, references, "jackknife-t") <= 0.98
    assert coverage(drawn, np.arange(REFERENCES * PAIRS), "bootstrap") < 0.8
