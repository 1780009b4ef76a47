"""`--engine auto`: the fastest engine that passes the probe, and why the others were not taken."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytest
from tiny_towers import tiny_towers

from fastclip.engines import ENGINES, engine_name
from fastclip.engines.base import Shapes
from fastclip.engines.torch_engine import TorchEngine
from fastclip.errors import RefusalError, UsageError
from fastclip.registry import Registry
from fastclip.sweeper import choose as choosing
from fastclip.sweeper import trial as trials
from fastclip.sweeper.config import Settled, SweepConfig
from fastclip.towers.base import Towers


class Right(TorchEngine):
    name = family = "right"
    precisions = ("fp16", "bf16", "fp32")
    default_shapes = Shapes(4, 4)


class Slow(Right):
    name = family = "slow"

    def encode_images(self, *args: Any) -> Any:
        time.sleep(0.2)
        return super().encode_images(*args)


class Wrong(Right):
    """Fast and wrong: the last dimension is lost."""

    name = family = "wrong"

    def encode_images(self, *args: Any) -> Any:
        outputs = super().encode_images(*args)
        outputs[:, -1] = 0
        return outputs


class Overflows(Right):
    """Infinite at fp16, as narrow numbers are; right at bf16."""

    name = family = "overflows"

    def encode_images(self, *args: Any) -> Any:
        outputs = super().encode_images(*args)
        if self.precision == "fp16":
            outputs[0, 0] = float("inf")
        return outputs


class Absent(Right):
    name = family = "absent"

    @classmethod
    def unavailable(cls, device: str) -> str | None:
        return "libabsent.so is not here"


class Crashes(Right):
    name = family = "crashes"

    def open(self, towers: Towers, shapes: Shapes) -> None:
        raise RuntimeError("CUDA error: an illegal memory access\nand more lines")


MADE_UP = {c.name: c for c in (Right, Slow, Wrong, Overflows, Absent, Crashes)}


@pytest.fixture
def towers() -> Towers:
    return tiny_towers("vit", text=False)


@pytest.fixture(autouse=True)
def made_up_engines(monkeypatch: pytest.MonkeyPatch) -> None:
    entries = {name: f"{__name__}:{c.__name__}" for name, c in MADE_UP.items()}
    registry = Registry[Any]("engine", entries)
    for module in (choosing, trials):
        monkeypatch.setattr(module, "ENGINES", registry)


def choose(
    monkeypatch: pytest.MonkeyPatch, towers: Towers, *names: str, **options: Any
) -> tuple[Settled, list[str]]:
    monkeypatch.setattr(choosing, "CANDIDATES", {"cpu": names, "cuda": names})
    monkeypatch.setattr(choosing, "SECONDS", 0.3)
    said: list[str] = []
    config = SweepConfig(("x.pt",), Path("out"), device="cpu", **options)
    settled = choosing.choose(config, lambda: towers, threads=1, version="0", log=said.append)
    return settled, said


def test_the_fastest_that_is_right_is_taken(
    monkeypatch: pytest.MonkeyPatch, towers: Towers
) -> None:
    settled, said = choose(monkeypatch, towers, "slow", "wrong", "absent", "crashes", "right")
    assert (settled.engine, settled.precision, settled.device) == ("right", "fp16", "cpu")
    assert settled.image_batch == Right.default_shapes.image_batch
    told = "\n".join(said)
    assert "failed the probe: image_relative_l2" in told
    assert "libabsent.so is not here" in told
    assert "not used: CUDA error: an illegal memory access" in told
    by_name = {trial["engine"]: trial for trial in settled.trials}
    assert by_name["right"]["pictures_per_second"] > by_name["slow"]["pictures_per_second"] > 0
    assert by_name["wrong"]["refusal"] and by_name["wrong"]["pictures_per_second"] == 0


def test_bf16_only_where_fp16_overflows(monkeypatch: pytest.MonkeyPatch, towers: Towers) -> None:
    settled, said = choose(monkeypatch, towers, "overflows")
    assert (settled.engine, settled.precision) == ("overflows", "bf16")
    assert any("bf16 moves SRCC" in line for line in said)
    settled, _ = choose(monkeypatch, towers, "overflows", "slow")
    assert (settled.engine, settled.precision) == ("slow", "fp16")


def test_no_engine_at_all_says_why_for_each(
    monkeypatch: pytest.MonkeyPatch, towers: Towers
) -> None:
    with pytest.raises(RefusalError) as refused:
        choose(monkeypatch, towers, "wrong", "absent")
    assert "wrong fp16: failed the probe" in refused.value.what
    assert "absent fp16: libabsent.so is not here" in refused.value.what


def test_one_named_engine_is_not_tried(monkeypatch: pytest.MonkeyPatch, towers: Towers) -> None:
    config = SweepConfig(("x.pt",), Path("out"), device="cpu", precision="fp32", batch_size=3)
    monkeypatch.setattr(choosing, "CANDIDATES", {"cpu": ("right",)})

    def never() -> Towers:
        raise AssertionError("the towers are not needed")

    settled = choosing.choose(config, never, threads=1, version="0", log=print)
    assert (settled.engine, settled.precision, settled.image_batch) == ("right", "fp32", 3)
    assert settled.trials == ()


def test_torch_on_cuda_means_its_cuda_kin() -> None:
    assert engine_name("torch", "cuda:1") == "torch-cuda"
    assert engine_name("torch", "cpu") == "torch"
    assert engine_name("tensorrt", "cuda") == "tensorrt"
    assert "torch-cuda" in ENGINES


def test_a_device_the_engine_does_not_run_on_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    config = SweepConfig(("x.pt",), Path("out"), engine="tensorrt", device="cpu")
    with pytest.raises(UsageError, match="does not run on 'cpu'"):
        choosing.choose(config, lambda: None, threads=1, version="0", log=print)  # type: ignore[arg-type, return-value]


def test_unknown_precisions_and_devices_are_refused() -> None:
    with pytest.raises(UsageError, match="unknown precision 'fp8'"):
        SweepConfig(("x.pt",), Path("out"), precision="fp8")
    with pytest.raises(UsageError, match="unknown device 'tpu'"):
        SweepConfig(("x.pt",), Path("out"), device="tpu")


def test_absent_engines_are_refused_before_any_work(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    config = SweepConfig(("x.pt",), Path("out"), device="cpu")
    monkeypatch.setattr(choosing, "CANDIDATES", {"cpu": ("absent", "right")})
    choosing.refuse_absent(config, None)
    monkeypatch.setattr(choosing, "CANDIDATES", {"cpu": ("absent",)})
    with pytest.raises(RefusalError, match=r"libabsent\.so is not here"):
        choosing.refuse_absent(config, None)
    settled = Settled("absent", "fp16", 1, 4, {}, "0", device="cpu")
    with pytest.raises(RefusalError, match=r"libabsent\.so is not here"):
        choosing.refuse_absent(config, settled)
