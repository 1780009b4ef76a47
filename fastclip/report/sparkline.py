"""A curve in one line of text."""

from __future__ import annotations

from collections.abc import Sequence

BARS = "▁▂▃▄▅▆▇█"


def sparkline(values: Sequence[float | None], width: int = 24) -> str:
    """Draw values as bars of one character, the lowest `▁` and the highest `█`.

    Args:
        values: in order; None (or NaN) is drawn as a space. Of more than `width` values each
            bar shows the mean of its share.
        width: most characters.

    Returns:
        At most `width` characters; a curve without change is drawn at half height.
    """
    known = [None if v is None or v != v else float(v) for v in values]
    cells = _pooled(known, width) if len(known) > width else known
    numbers = [v for v in cells if v is not None]
    if not numbers:
        return " " * len(cells)
    low, span = min(numbers), max(numbers) - min(numbers)
    if span == 0:
        return "".join(" " if v is None else BARS[3] for v in cells)
    return "".join(
        " " if v is None else BARS[min(int((v - low) / span * len(BARS)), len(BARS) - 1)]
        for v in cells
    )


def _pooled(values: list[float | None], width: int) -> list[float | None]:
    """The mean of the known values in each of `width` equal shares."""
    pooled: list[float | None] = []
    for cell in range(width):
        lo, hi = cell * len(values) // width, (cell + 1) * len(values) // width
        share = [v for v in values[lo:hi] if v is not None]
        pooled.append(sum(share) / len(share) if share else None)
    return pooled
