"""Checks that an engine still computes what open_clip's module computes."""

from __future__ import annotations

from dataclasses import dataclass

SCREENING = ("bf16", "int8")
"""Precisions that bend curves: only by name, and every row says so (`flag=screening`)."""

SCREENING_FLAG = "screening"
"""In the `flag` column of rows measured at one of these, after any other flag."""

TOLERANCE = {"fp32": 2e-5, "fp16": 5e-3, "bf16": 4e-2, "int8": 4e-2}
"""Largest relative L2 of raw embeddings to the fp32 torch module, by precision.

Under the probe's weights right engines showed up to .0093 in bf16 and .016 in int8 (ViT-B-32, both
towers). A matrix that is dropped or stale shows by .12 at least, a bias or positions that are
dropped by .055; what two norms' scales differ by (.03) can hide in bf16 and int8.
"""


def screening_note(precision: str) -> str:
    """What whoever uses this precision must know, in one sentence; "" where there is nothing."""
    if precision not in SCREENING:
        return ""
    return (
        f"{precision} is for screening: it moves scores more at some checkpoints than at others, "
        f"which bends curves; `fastclip verify --precision {precision} CKPTS` says by how much"
    )


@dataclass(frozen=True)
class ParityReport:
    """What a probe or a canary measured.

    Attributes:
        passed: whether every figure is within its bound.
        figures: name -> measured value ("image_relative_l2", "text_relative_l2", ...).
        bounds: name -> largest value allowed.
        seconds: what the check cost.
    """

    passed: bool
    figures: dict[str, float]
    bounds: dict[str, float]
    seconds: float

    def explain(self) -> str:
        """The figures that are out of bounds, as text: `image_relative_l2 0.31 > 2e-05`."""
        return ", ".join(
            f"{name} {value:.3g} > {self.bounds[name]:.3g}"
            for name, value in self.figures.items()
            if name in self.bounds and not value <= self.bounds[name]
        )
