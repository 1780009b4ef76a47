"""Integer tables that turn one random word into a Poisson-distributed pixel."""

from __future__ import annotations

from decimal import ROUND_HALF_EVEN, Context, Decimal, localcontext

import numpy as np
import numpy.typing as npt

_DIGITS = 40
_SCALE = 2**31


def thresholds(photons: float) -> npt.NDArray[np.uint32]:
    """The distribution function of a noisy pixel, for each clean one.

    With K ~ Poisson(x / 255 * photons), the noisy pixel is 255 min(K / photons, 1), rounded half
    to even. Computed in decimal arithmetic of 40 digits, so that the table is the same on every
    machine.

    Args:
        photons: mean count of a white pixel, above 0.

    Returns:
        uint32 `[256, 255]`: entry `[x, v]` is P(noisy pixel <= v) in units of 2^-31.
    """
    table = np.empty((256, 255), np.uint32)
    with localcontext(Context(prec=_DIGITS, rounding=ROUND_HALF_EVEN)):
        rate = Decimal(photons)
        last = _last_counts(rate)
        for x in range(256):
            table[x] = _row(Decimal(x) * rate / 255, last)
    return table


def _last_counts(rate: Decimal) -> list[int]:
    """The largest count that still gives a pixel of at most v, for v = 0 .. 254."""
    counts: list[int] = []
    count = 0
    for value in range(255):
        while (255 * (count + 1) / rate).to_integral_value() <= value:
            count += 1
        counts.append(count)
    return counts


def _row(mean: Decimal, last: list[int]) -> list[int]:
    term = (-mean).exp()  # P(K = 0)
    total = term
    count = 0
    row = []
    for limit in last:
        while count < limit:
            count += 1
            term = term * mean / count
            total += term
        row.append(min(_SCALE, int((total * _SCALE).to_integral_value())))
    return row
