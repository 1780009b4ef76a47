"""`--engine auto`: the fastest engine that passes the probe, and why the others were not taken."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
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
from fastclip.sweeper import contest
from fastclip.sweeper import trial as trials
from fastclip.sweeper.config import Settled, SweepConfig
from fastclip.sweeper.contest import Work
from fastclip.sweeper.trial import Attempt, Trial
from fastclip.towers.base import Towers


class Right(TorchEngine):
    name = family = "right"
    precisions = ("fp16", "bf16", "fp32")
    devices = ("cpu", "cuda")
    default_shapes = Shapes(4, 4)


class Slow(Right):
    name = family = "slow"

    def encode_images(self, *args: Any) -> Any:
        time.sleep(0.05)
        return super().encode_images(*args)


class Wrong(Right):
    """Fast and wrong: the last dimension is lost."""

    name = family = "wrong"

    def encode_images(self, *args: Any) -> Any:
        outputs = self.fetch(super().encode_images(*args))
        outputs[:, -1] = 0
        return outputs


class Overflows(Right):
    """Infinite at fp16, as narrow numbers are; right at bf16."""

    name = family = "overflows"

    def encode_images(self, *args: Any) -> Any:
        outputs = self.fetch(super().encode_images(*args))
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


@pytest.fixture(autouse=True)
def made_up_engines(monkeypatch: pytest.MonkeyPatch) -> None:
    entries = {name: f"{__name__}:{c.__name__}" for name, c in MADE_UP.items()}
    registry = Registry[Any]("engine", entries)
    for module in (choosing, trials):
        monkeypatch.setattr(module, "ENGINES", registry)


def choose(
    monkeypatch: pytest.MonkeyPatch,
    cache: Path,
    *names: str,
    works: Sequence[tuple[Towers, int]] = (),
    device: str = "cuda",
    **options: Any,
) -> tuple[Settled, list[str]]:
    monkeypatch.setattr(choosing, "CANDIDATES", {"cpu": names, "cuda": names})
    monkeypatch.setattr(choosing, "SECONDS", 0.1)
    said: list[str] = []
    config = SweepConfig(("x.pt",), Path("out"), device=device, **options)
    todo = [Work(*work, pictures=1000) for work in works or [(tiny_towers("vit", text=False), 1)]]
    settled = choosing.choose(
        config, lambda: todo, threads=1, version="0", cache_dir=cache, log=said.append
    )
    return settled, said


def test_the_fastest_that_is_right_is_taken(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    settled, said = choose(monkeypatch, tmp_path, "slow", "wrong", "absent", "crashes", "right")
    assert (settled.engine, settled.precision, settled.device) == ("right", "fp16", "cuda")
    assert settled.image_batch == Right.default_shapes.image_batch
    told = "\n".join(said)
    assert "failed the probe: image_relative_l2" in told
    assert "libabsent.so is not here" in told
    assert "not used: CUDA error: an illegal memory access" in told
    by_name = {trial["engine"]: trial for trial in settled.trials}
    assert by_name["right"]["pictures_per_second"] > by_name["slow"]["pictures_per_second"] > 0
    assert by_name["wrong"]["refusal"] and by_name["wrong"]["pictures_per_second"] == 0


def test_what_is_optional_on_a_cpu_is_not_missed(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    settled, said = choose(monkeypatch, tmp_path, "absent", "right", device="cpu", precision="fp32")
    assert (settled.engine, said, settled.trials) == ("right", [], ())  # nothing to try it against


def test_a_passed_trial_is_kept_and_a_failed_one_is_not(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    names = ("wrong", "slow", "right")
    first, _ = choose(monkeypatch, tmp_path, *names)
    tried: list[str] = []
    honest = contest.try_engine

    def watched(attempt: Attempt, *more: Any) -> Trial:
        tried.append(attempt.engine)
        return honest(attempt, *more)

    monkeypatch.setattr(contest, "try_engine", watched)
    again, _ = choose(monkeypatch, tmp_path, *names)
    assert tried == ["wrong"]
    assert again.trials[1:] == first.trials[1:]
    assert choose(monkeypatch, tmp_path, *names, batch_size=3)[0].engine == "right"
    assert tried == ["wrong", *names]


def made_trial(speeds: Mapping[tuple[str, str], float]) -> Callable[..., Trial]:
    def trial(attempt: Attempt, towers: Towers, *_: Any) -> Trial:
        speed = speeds[attempt.engine, towers.architecture.name]
        found = Trial(attempt.engine, attempt.precision, relative_l2=0.0, pictures_per_second=speed)
        return found if speed else replace(found, refusal="no")

    return trial


@pytest.mark.parametrize(("speed", "taken"), [(104, "slow"), (106, "right")])
def test_a_later_engine_must_be_clearly_faster(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, speed: float, taken: str
) -> None:
    speeds = {("slow", "vit"): 100.0, ("right", "vit"): speed}
    monkeypatch.setattr(contest, "try_engine", made_trial(speeds))
    assert choose(monkeypatch, tmp_path, "slow", "right")[0].engine == taken


@pytest.mark.parametrize(
    ("speeds", "checkpoints", "taken"),
    [
        ([(100, 10), (50, 20)], (1, 1), "right"),  # 110 s against 70 s
        ([(100, 10), (50, 20)], (20, 1), "slow"),  # 300 s against 450 s
        ([(100, 10), (0, 20)], (1, 1), "slow"),  # one that fails anywhere is out
        ([(100, 0), (50, 0)], (1, 1), "slow"),  # but for where all of them fail
    ],
)
def test_several_architectures_are_settled_together(
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    speeds: Sequence[tuple[float, float]],
    checkpoints: tuple[int, int],
    taken: str,
) -> None:
    names = ("vit", "resnet-like")
    first = tiny_towers("vit", text=False)
    second = replace(first, architecture=replace(first.architecture, name=names[1]))
    by_name = {
        (engine, arch): speed
        for engine, row in zip(("slow", "right"), speeds, strict=True)
        for arch, speed in zip(names, row, strict=True)
    }
    monkeypatch.setattr(contest, "try_engine", made_trial(by_name))
    works = list(zip((first, second), checkpoints, strict=True))
    assert choose(monkeypatch, tmp_path, "slow", "right", works=works)[0].engine == taken


def test_bf16_only_where_fp16_overflows(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    settled, said = choose(monkeypatch, tmp_path, "overflows")
    assert (settled.engine, settled.precision) == ("overflows", "bf16")
    assert any("bf16 moves SRCC" in line for line in said)
    settled, _ = choose(monkeypatch, tmp_path, "overflows", "slow")
    assert (settled.engine, settled.precision) == ("slow", "fp16")


def test_a_cpu_is_never_given_a_screening_precision(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    three = ("onnxruntime", "openvino", "torch")
    monkeypatch.setattr(choosing, "CANDIDATES", {"cpu": three})
    config = SweepConfig(("x.pt",), Path("out"), device="cpu")
    for precision in ("auto", "fp32"):
        asked = choosing._asked(replace(config, precision=precision))
        assert asked == ("cpu", three, ("fp32",))
    bf16 = choosing._asked(replace(config, precision="bf16"))
    assert bf16 == ("cpu", ("openvino", "torch"), ("bf16",))
    assert choosing._asked(replace(config, precision="int8"))[1:] == (("onnxruntime",), ("int8",))


def test_no_engine_at_all_says_why_for_each(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    with pytest.raises(RefusalError) as refused:
        choose(monkeypatch, tmp_path, "wrong", "absent")
    assert "wrong fp16: failed the probe" in refused.value.what
    assert "absent fp16: libabsent.so is not here" in refused.value.what


def test_one_named_engine_is_not_tried(monkeypatch: pytest.MonkeyPatch) -> None:
    config = SweepConfig(("x.pt",), Path("out"), device="cpu", precision="fp32", batch_size=3)
    monkeypatch.setattr(choosing, "CANDIDATES", {"cpu": ("right",)})

    def never() -> list[Work]:
        raise AssertionError("the towers are not needed")

    settled = choosing.choose(
        config, never, threads=1, version="0", cache_dir=Path("none"), log=print
    )
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
        choosing.choose(config, list, threads=1, version="0", cache_dir=Path("none"), log=print)


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
