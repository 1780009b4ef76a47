"""Exact savings: each can be switched off, then the work is done, and no number changes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

import fastclip
from fastclip.engines.onnxruntime_engine import OnnxRuntimeEngine
from fastclip.errors import UsageError
from fastclip.savings import SAVINGS
from fastclip.sweeper.config import SweepConfig
from fastclip.sweeper.group import GroupSweep

KEY = ["checkpoint", "task", "dataset", "metric", "subset", "distance", "distortion", "level"]


class Counting(OnnxRuntimeEngine):
    """Counts what it is asked for over all of a sweep."""

    pictures = prompts = tokens = 0

    def encode_images(self, handle: Any, lo: int, hi: int) -> Any:
        Counting.pictures += hi - lo
        return super().encode_images(handle, lo, hi)

    def encode_texts(self, ids: Any, eot: Any) -> Any:
        Counting.prompts += len(ids)
        Counting.tokens += ids.size
        return super().encode_texts(ids, eot)


class Setup:
    """Sweeps one checkpoint into a fresh folder, with or without a saving."""

    def __init__(self, run: Path, sets: tuple[str, ...], cache: Path, root: Path) -> None:
        self.run, self.sets, self.cache, self.root = run, sets, cache, root
        self.count = 0

    def sweep(self, *without: str) -> tuple[pd.DataFrame, dict[str, int]]:
        Counting.pictures = Counting.prompts = Counting.tokens = 0
        self.count += 1
        out = self.root / str(self.count)
        rows = fastclip.sweep(
            self.run, out, data=self.sets, cache_dir=self.cache, engine="onnxruntime",
            without=without, every=2,
        )  # fmt: skip
        assert not rows.attrs["failures"]
        assert json.loads((out / "config.json").read_text())["without"] == list(without)
        asked = {"pictures": Counting.pictures, "prompts": Counting.prompts}
        return rows, asked | {"tokens": Counting.tokens}

    def distances(self) -> dict[str, np.ndarray]:
        """Cosine distances of every pair at the last sweep, by record."""
        out = self.root / str(self.count)
        return {
            str(path.relative_to(out)): pd.read_parquet(path)["cosine"].to_numpy()
            for path in sorted(out.glob("records/*/iqa-*.parquet"))
        }


@pytest.fixture(scope="module")
def setup(
    run_folder: Path, sets: tuple[str, ...], tmp_path_factory: pytest.TempPathFactory
) -> Setup:
    # A cache of its own: what is counted is the probe's work too, which is done once per cache.
    root = tmp_path_factory.mktemp("savings")
    return Setup(run_folder, sets, root / "cache", root)


@pytest.fixture(autouse=True)
def counting(monkeypatch: pytest.MonkeyPatch) -> None:
    from fastclip.engines import ENGINES

    get = ENGINES.get
    monkeypatch.setattr(
        type(ENGINES), "get",
        lambda registry, name: Counting if name == "onnxruntime" else get.__func__(registry, name),
    )  # fmt: skip


@pytest.fixture(scope="module")
def usual(setup: Setup) -> dict[str, Any]:
    return {}


@pytest.mark.parametrize("saving", SAVINGS)
def test_without_a_saving_no_number_changes(
    saving: str, setup: Setup, usual: dict[str, Any]
) -> None:
    if not usual:
        usual["rows"], usual["asked"] = setup.sweep()
        usual["distances"] = setup.distances()
        assert len(usual["distances"]) == 2
    rows, asked = setup.sweep(saving)
    a = usual["rows"].sort_values(KEY).reset_index(drop=True)
    b = rows.sort_values(KEY).reset_index(drop=True)
    assert a["protocol_id"].tolist() == b["protocol_id"].tolist()
    # Other sums round differently; a coefficient of an untrained model's nearly equal distances
    # shows that larger than the distances do.
    tolerance = 1e-4 if saving in ("last-block", "patch-product") else 1e-6
    for column in ("value", "ci_low", "ci_high"):
        np.testing.assert_allclose(b[column], a[column], rtol=0, atol=tolerance)
    for name, distances in usual["distances"].items():
        np.testing.assert_allclose(setup.distances()[name], distances, rtol=0, atol=1e-6)
    more = {what: asked[what] > usual["asked"][what] for what in asked}
    assert more == {
        "pictures": saving in ("duplicates", "shared-views"),
        "prompts": saving == "prompts",
        "tokens": saving == "prompts",
    }


def test_pictures_come_again() -> None:
    """Every picture of the set, alike or not, then a reference for each of two pairs."""
    from fastclip.stimuli.base import View
    from fastclip.stimuli.repeated import repeat

    pixels = np.arange(3, dtype=np.uint8).reshape(3, 1, 1, 1).repeat(3, axis=3)
    view = View("k", pixels, np.array([0, 1, 1, 2]), "resident")
    repeated = repeat(view, np.array([0, 0]))
    assert repeated.pixels.shape == (6, 1, 1, 3)
    assert repeated.pixels[0:6][:, 0, 0, 0].tolist() == [0, 1, 1, 2, 0, 0]
    assert repeated.index.tolist() == [5, 1, 2, 3]


def test_without_read_ahead_nothing_is_read_ahead(
    setup: Setup, monkeypatch: pytest.MonkeyPatch
) -> None:
    events: list[str] = []
    read, measure = GroupSweep._read, GroupSweep._measure
    monkeypatch.setattr(GroupSweep, "_read", lambda *args: (events.append("read"), read(*args))[1])
    monkeypatch.setattr(
        GroupSweep, "_measure", lambda *args: (measure(*args), events.append("measured"))[0]
    )
    setup.sweep("read-ahead")
    assert events == ["read", "measured"] * 2
    events.clear()
    setup.sweep()
    assert events[:2] == ["read", "read"]


def test_an_unknown_saving_is_refused() -> None:
    with pytest.raises(UsageError, match=r"(?s)unknown saving 'time'.*duplicates"):
        SweepConfig(("x",), Path("out"), without=("time",))


@pytest.mark.parametrize("precision", ["bf16", "int8"])
def test_what_is_not_exact_at_a_precision_is_refused(precision: str) -> None:
    with pytest.raises(UsageError, match=f"at {precision} numbers depend on last-block"):
        SweepConfig(("x",), Path("out"), precision=precision, without=("last-block", "duplicates"))
    SweepConfig(("x",), Path("out"), precision=precision, without=("duplicates",))


def test_rescore_does_not_relabel_what_it_does_not_measure(setup: Setup) -> None:
    setup.sweep()
    out = setup.root / str(setup.count)
    before = (out / "config.json").read_bytes()
    options: dict[str, Any] = {
        "data": setup.sets, "cache_dir": setup.cache, "engine": "onnxruntime", "every": 2,
        "rescore": True, "without": ("prompts",),
    }  # fmt: skip
    with pytest.raises(UsageError, match=r"(?s)another --without.*--overwrite"):
        fastclip.sweep(setup.run, out, **options)
    assert (out / "config.json").read_bytes() == before
    fastclip.sweep(setup.run, out, overwrite=True, **options)
    assert json.loads((out / "config.json").read_text())["without"] == ["prompts"]
