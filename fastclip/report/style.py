"""Colours, strokes and words that the page's data and the printed figures share."""

from __future__ import annotations

from typing import Any

# Okabe and Ito's colours, told apart with any colour vision; yellow is too light for a line.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")

INK, FAINT, STAMP_INK = "#222222", "#7A7A7A", "#B03A00"

SIGMA = "\N{GREEK SMALL LETTER SIGMA}"

DASHED = {"linestyle": (0, (3, 1.5))}
DOTTED = {"linestyle": (0, (1, 1.6)), "linewidth": 1.3}

X_LABELS = {"samples_seen": "samples seen", "step": "step", "epoch": "epoch"}
ORDER = {"order": "order of checkpoints"}
"""What is left where no checkpoint says where in training it is."""


def condition_name(distortion: Any, level: Any) -> str:
    """What a line under this distortion is called."""
    amount = "" if level is None or level != level else f" {level:g}"
    if distortion == "gaussian_noise":
        return f"noise {SIGMA}{amount}"
    return str(distortion).replace("_", " ") + amount
