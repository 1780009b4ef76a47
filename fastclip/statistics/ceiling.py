"""How well a perfect predictor would correlate with mean human scores that are noisy themselves."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from fastclip.statistics.batched import correlate
from fastclip.statistics.correlation import Correlation

Float64Array = npt.NDArray[np.float64]

DRAWS = 100


def ceiling(
    metric: str,
    score: Float64Array,
    error: Float64Array,
    *,
    draws: int = DRAWS,
    seed: int = 0,
    threads: int = 0,
) -> Correlation:
    """The correlation of the true scores with observed means, averaged over simulated ratings.

    Of the observed means' variance a share of reliability = 1 - mean(error^2) / var(score) is
    true (Lord and Novick 1968, chapter 3). True scores are the means drawn towards their mean by
    sqrt(reliability), so that they have that variance; observed ones are these with normal noise
    of each picture's own standard error. For Pearson it is sqrt(reliability), the correction for
    attenuation (Spearman 1904); ranks follow the same noise.

    Observers are taken to rate independently and the scores' shape to be that of the truth. In
    simulations with 30 ratings a picture it is within .002 for Pearson and Spearman and .005 for
    Kendall; with few ratings of a skewed truth, rank correlations come out too high (8 ratings:
    .008 and .016).

    Args:
        metric: "srcc", "plcc" or "krcc".
        score: `[P]` mean scores.
        error: `[P]` their standard errors, >= 0.
        draws: simulated sets of observers.

    Returns:
        None with reason "unreliable" where the errors explain all differences between scores,
        and what `batched.correlate` finds undefined.
    """
    if len(score) < 2:
        return Correlation(None, "fewer_than_2")
    variance = float(np.var(score, ddof=1))
    reliability = 1 - float(np.mean(np.square(error))) / variance if variance else 0.0
    if reliability <= 0:
        return Correlation(None, "unreliable")
    truth = score.mean() + np.sqrt(reliability) * (score - score.mean())
    noise = np.random.default_rng(seed).standard_normal((draws, len(score)))
    found = correlate(metric, truth + error * noise, truth, threads=threads)
    return Correlation(float(found.values.mean()))
