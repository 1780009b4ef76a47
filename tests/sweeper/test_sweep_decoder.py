"""A sweep whose pictures are decoded by DALI and kept nowhere scores as any other."""

from __future__ import annotations

import json
from pathlib import Path

import pandas as pd
import pytest

import fastclip
from fastclip.errors import UsageError
from fastclip.stimuli.base import PIXEL_DEFINITION
from fastclip.sweeper.config import SweepConfig

pytest.importorskip("nvidia.dali")
from dali_helpers import cache, compiled_operator, gpus

from fastclip.stimuli.dali import operator

FACTORS = ["checkpoint", "task", "dataset", "metric", "subset", "distance", "level", "category"]


@compiled_operator
def test_a_streamed_sweep_scores_as_a_resident_one(
    run_folder: Path,
    sets: tuple[str, ...],
    shared_cache: Path,
    tmp_path: Path,
) -> None:
    operator.load(cache())

    def sweep(name: str, decoder: str, memory: str) -> pd.DataFrame:
        return fastclip.sweep(
            run_folder / "epoch_3.pt", tmp_path / name, data=sets, cache_dir=shared_cache,
            workers=1, decoder=decoder, memory=memory, engine="onnxruntime", batch_size=5,
        )  # fmt: skip

    resident = sweep("resident", "pillow", "resident")
    streamed = sweep("streamed", "dali", "generated")
    assert not streamed.attrs["failures"] and len(streamed) == len(resident)
    compared = [*FACTORS, "value", "flag"]
    pd.testing.assert_frame_equal(streamed[compared], resident[compared], check_exact=True)
    # The same pixels by another decoder are another protocol all the same.
    assert not set(streamed["protocol_id"]) & set(resident["protocol_id"])
    definitions = {
        json.loads(path.read_text())["protocol"]["pixel_definition"]
        for path in tmp_path.glob("*/records/*/*.json")
    }
    assert len(definitions) == 2 and PIXEL_DEFINITION in definitions
    views = [json.loads(p.read_bytes()[:4096]) for p in (shared_cache / "views").iterdir()]
    assert {view["stored"] for view in views} == {True, False}


@pytest.mark.gpu
@pytest.mark.skipif(gpus() == 0, reason="no CUDA device")
def test_a_sweep_streamed_on_the_gpu_scores_as_a_resident_one(
    run_folder: Path, sets: tuple[str, ...], shared_cache: Path, tmp_path: Path
) -> None:
    """PNG, BMP and arrays: the same pixels, though they never were on the host."""
    operator.load(cache())
    resident, streamed = (
        fastclip.sweep(
            run_folder, tmp_path / decoder, data=sets, cache_dir=shared_cache, workers=2,
            decoder=decoder, memory=memory, engine="torch-cuda", precision="fp32", batch_size=5,
        )
        for decoder, memory in (("pillow", "resident"), ("dali-mixed", "generated"))
    )  # fmt: skip
    assert not streamed.attrs["failures"]
    compared = [*FACTORS, "value", "flag"]
    pd.testing.assert_frame_equal(streamed[compared], resident[compared], check_exact=True)


def test_an_unknown_decoder_is_refused_before_any_work() -> None:
    with pytest.raises(UsageError, match="unknown decoder 'cv2'") as caught:
        SweepConfig(("x",), Path("out"), decoder="cv2")
    assert "pillow, dali" in str(caught.value)
