"""Trained checkpoints at fp16 against fp32: whole sweeps, with the CUDA engine on a CPU."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest
from photograph_tid import make_photograph_tid
from shared_data import SHARED, needs_shared

import fastclip
from fastclip.engines.torch_cuda_engine import TorchCudaEngine

pytestmark = [needs_shared, pytest.mark.long]

CHECKPOINTS = ("epoch_1.pt", "epoch_16.pt")
SAME_DECISIONS = 0.996
SRCC_APART = 8e-4


def swept(engine: str, precision: str, folder: Path) -> tuple[pd.DataFrame, pd.DataFrame]:
    """The table, and every decision of the two tasks that decide."""
    rows = fastclip.sweep(
        [SHARED / "ckpts" / name for name in CHECKPOINTS],
        folder / engine,
        model=str(SHARED / "ckpts" / "tiny-clip.json"),
        data=(
            f"tid2013:photographs={folder / 'tid'}",
            f"cue-conflict={SHARED / 'cue-conflict'}",
            f"cifar100={SHARED / 'cifar-100-python'}",
        ),
        partial=True,
        sigma="0.1",
        batch_size=64,
        engine=engine,
        precision=precision,
        cache_dir=folder / "cache",
    )
    assert not rows.attrs["failures"]
    assert set(rows["precision"]) == {precision}
    items = [
        pd.read_parquet(path).assign(checkpoint=path.parent.name, task=path.name.split("-")[0])
        for path in sorted((folder / engine / "records").rglob("*.items.parquet"))
    ]
    decided = [item for item in items if "decision" in item]
    return rows, pd.concat(decided, ignore_index=True)


def test_fp16_agrees_with_fp32(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make_photograph_tid(tmp_path / "tid", references=12)
    monkeypatch.setattr(TorchCudaEngine, "devices", ("cpu",))
    monkeypatch.setattr(TorchCudaEngine, "unavailable", classmethod(lambda cls, device: None))
    reference, decisions = swept("torch", "fp32", tmp_path)
    rows, found = swept("torch-cuda", "fp16", tmp_path)

    def srcc(rows: pd.DataFrame) -> pd.Series:
        chosen = rows[(rows["task"] == "iqa") & (rows["metric"] == "srcc")]
        return chosen.set_index(["checkpoint", "dataset", "subset", "distance"])["value"]

    apart = (srcc(rows) - srcc(reference)[srcc(rows).index]).abs()
    pooled = apart[apart.index.get_level_values("subset") == "pooled"]
    assert len(pooled) >= 2 and pooled.max() <= SRCC_APART, pooled
    assert apart.max() > 0, "fp16 left no trace: was it fp16?"

    assert len(found) == len(decisions) >= 2 * (384 + 2 * 916)
    same = (found["decision"] == decisions["decision"]).groupby(decisions["task"]).mean()
    print(f"\nSRCC apart at most {pooled.max():.2e}; same decisions: {same.to_dict()}")
    assert (same >= SAME_DECISIONS).all(), same
