"""What the demo's curves show, in words; nothing is inferred from them."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pandas as pd


def findings(rows: pd.DataFrame, classes: int) -> list[str]:
    """One sentence per curve: where it is highest, and how the run ends.

    Args:
        rows: the tidy rows of the demo's sweep: one run, one data set per task.
        classes: number of classes of the toy sets.
    """
    pooled = (rows["subset"] == "pooled") & (rows["distance"] == "cosine")
    whole = rows["category"].isna()
    clean = _curve(rows, "robustness", "acc1", rows["distortion"] == "none")
    noisy = _curve(rows, "robustness", "acc1", rows["distortion"] == "gaussian_noise")
    return [
        "Image-quality alignment (SRCC, cosine): " + _peak(_curve(rows, "iqa", "srcc", pooled)),
        "Shape bias: "
        + _shape_bias(
            _curve(rows, "shape-bias", "shape_bias", whole),
            _curve(rows, "shape-bias", "cue_accuracy", whole),
        ),
        "Clean accuracy: " + _peak(clean) + _times_chance(clean, classes),
        "Noisy accuracy: " + _peak(noisy),
        "Accuracy lost under noise, of the clean one: "
        + _peak(_curve(rows, "robustness", "drop_rel", rows["distortion"] == "gaussian_noise")),
    ]


def _curve(rows: pd.DataFrame, task: str, metric: str, factor: pd.Series[bool]) -> pd.DataFrame:
    """Step, value and flag of one curve, in the order of training."""
    chosen = rows[(rows["task"] == task) & (rows["metric"] == metric) & factor]
    return chosen[["step", "value", "flag"]].sort_values("step")


def _peak(curve: pd.DataFrame) -> str:
    known = curve.dropna(subset=["value"])
    if known.empty:
        return "not defined at any checkpoint."
    best, last = known.iloc[int(known["value"].argmax())], known.iloc[-1]
    if best["step"] == last["step"]:
        return f"highest at the last checkpoint ({_at(last)}); no peak before it."
    lower = best["value"] - last["value"]
    if best["step"] == known.iloc[0]["step"]:
        return (
            f"highest at the first checkpoint that has one ({_at(best)}); "
            f"{lower:.3f} lower at the end ({_at(last)})."
        )
    return f"highest before the end ({_at(best)}); {lower:.3f} lower at the end ({_at(last)})."


def _shape_bias(curve: pd.DataFrame, cue: pd.DataFrame) -> str:
    """Its range, with the cue accuracy: near chance a shape bias is mostly luck."""
    known = curve.dropna(subset=["value"])
    sure = known[~known["flag"].fillna("").str.contains("at_chance")]
    if sure.empty:
        return "at every checkpoint the model answers at chance, so it says nothing."
    cue_at = dict(zip(cue["step"], cue["value"], strict=True))
    low, high = (
        sure.iloc[int(place)] for place in (sure["value"].argmin(), sure["value"].argmax())
    )
    lowest, highest, last = (
        f"{_at(row)}, cue accuracy {cue_at[row['step']]:.3f}" for row in (low, high, sure.iloc[-1])
    )
    text = f"lowest {lowest}; highest {highest}; at the end {last}."
    left_out = len(curve) - len(sure)
    return text + (f" Left out, at chance: {left_out} checkpoints." if left_out else "")


def _times_chance(curve: pd.DataFrame, classes: int) -> str:
    last = curve.dropna(subset=["value"]).iloc[-1]["value"]
    return f" The last is {last * classes:.1f} times chance (1/{classes})."


def _at(row: pd.Series) -> str:
    return f"{row['value']:.3f} at step {row['step']}"
