"""Where the time went, and what is advised: from figures whose answer is known."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

import fastclip
from fastclip.engines.torch_engine import TorchEngine
from fastclip.sweeper import profile as profiles
from fastclip.sweeper.advice import Ceilings, advice, fraction, reached
from fastclip.sweeper.ceilings import MATRIX_PRECISIONS, matrix_product_rate, memory_bandwidth
from fastclip.sweeper.profile import Group, Profile, stages
from fastclip.sweeper.progress import Progress

GOOD = {
    "read": 0.2, "wait": 0.0, "pack": 0.05, "prepare": 0.1, "reference": 0.05, "swap": 0.02,
    "canary": 0.03, "encode_images": 0.9, "encode_texts": 0.05, "score": 0.1, "write": 0.05,
}  # fmt: skip
"""A checkpoint that takes a second, with the engine at work nearly all of it."""


TOWERS: Any = SimpleNamespace(
    architecture=SimpleNamespace(name="vit"),
    module_manifest=SimpleNamespace(shapes={"weight": (1000, 2000), "bias": (2000,)}),
)


def begin(profile: Profile) -> Group:
    """A group of `TOWERS`, of a GFLOP a picture."""
    profile.group(TOWERS, TorchEngine(threads=2), 32)
    profile.groups[0].flop = 1e9
    return profile.groups[0]


class Clock:
    """Stands still but for what it is told."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 100.0
        self.stored: int | None = 0
        monkeypatch.setattr(profiles, "time", SimpleNamespace(perf_counter=lambda: self.now))
        monkeypatch.setattr(profiles, "bytes_from_storage", lambda: self.stored)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    return Clock(monkeypatch)


Made = Callable[..., tuple[Profile, Group, Ceilings]]


@pytest.fixture
def made(clock: Clock) -> Made:
    """A profile of `count` checkpoints that took `wall` seconds each, and ceilings by which its
    1,000 pictures in 0.9 s reach `part` of the matrix-product rate.
    """

    def make(
        seconds: Mapping[str, float] = GOOD,
        *,
        count: int = 5,
        wall: float = 1.0,
        part: float = 0.8,
        bf16: float = 1.0,
        stored: int = 0,
        phases: Mapping[str, float] = {},
    ) -> tuple[Profile, Group, Ceilings]:
        profile = Profile()
        for name, spent in phases.items():
            with profile.phase(name):
                clock.now += spent
        group = begin(profile)
        for _ in range(count):
            clock.now += wall
            clock.stored = stored if clock.stored is not None else None
            profile.checkpoint(seconds, pictures=1000, prompts=10, read_bytes=10**8)
        rate = 1000 / 0.9 * group.flop / part
        return profile, group, Ceilings({"fp32": rate, "bf16": bf16 * rate}, 20e9)

    return make


def test_phases_nest_and_add_up(clock: Clock) -> None:
    profile = Profile()
    for _ in range(2):
        with profile.phase("pictures"):
            clock.now += 1
            with profile.phase("export"):
                clock.now += 2
            clock.now += 4
    assert profile.phases == {"pictures": 10, "export": 4}
    assert profile.start_up == 14


def test_a_phase_that_fails_is_counted(clock: Clock) -> None:
    profile = Profile()
    with pytest.raises(ValueError, match="x"), profile.phase("outer"), profile.phase("inner"):
        clock.now += 3
        raise ValueError("x")
    assert profile.phases == {"inner": 3, "outer": 0}


def test_the_first_checkpoint_is_told_apart(made: Made, clock: Clock) -> None:
    _, group, _ = made()
    slow = {**GOOD, "wait": 7.0}
    group.visits[0] = profiles.Visit(slow, 1000, 10, 10**8, group.visits[0].ended)
    assert group.wall == pytest.approx(4.0)
    assert group.total("wait") == 0
    assert group.encoding == pytest.approx(0.95)
    assert group.pictures_per_second == pytest.approx(1000 / 0.9)
    (line,) = [line for line in stages(group) if "wait" in line]
    assert line.split() == ["wait", "engine", "7.00", "0.000", "0%"]


def test_stages_of_the_engines_thread_and_the_rest_are_the_whole_time(made: Made) -> None:
    _, group, _ = made(wall=1.25)
    shares = {line.split()[0]: line.split() for line in stages(group) if "%" in line}
    engine = [words for words in shares.values() if words[1] == "engine"]
    assert {words[0] for words in engine} == {"swap", "canary", "encode_images", "encode_texts"}
    (rest,) = [line for line in stages(group) if "(none of these)" in line]
    assert rest.split()[-1] == "20%"
    assert shares["prepare"][1] == "ahead" and shares["score"][1] == "behind"


def test_without_preparing_ahead_packing_is_the_engines_time(made: Made) -> None:
    seconds = {k: v for k, v in GOOD.items() if k not in ("prepare", "reference")}
    _, group, _ = made(seconds)
    (line,) = [line for line in stages(group) if line.split()[0] == "pack"]
    assert line.split()[1] == "engine"


def told(made: tuple[Profile, Group, Ceilings]) -> list[str]:
    return list(advice(*made))


def test_nothing_is_advised_where_all_is_well(made: Made) -> None:
    assert told(made()) == [
        "nothing: the engine encodes 95% of the time, at 80% of the matrix-product rate"
    ]


@pytest.mark.parametrize(
    ("case", "begins", "holds"),
    [
        ({"part": 0.4}, "encoding reaches 40% of the matrix-product rate", "`fastclip bench"),
        ({"bf16": 2.2}, "bf16 products are 2.2 times as fast", "verify --precision bf16 CKPTS"),
        ({"phases": {"pictures": 20.0}}, "80% of the time went into pictures", "second sweep"),
        ({"phases": {"import": 20.0}, "count": 2}, "91% of the time was start-up", "in one call"),
    ],
)
def test_one_thing_is_advised_where_one_is_wrong(
    made: Made, case: dict[str, Any], begins: str, holds: str
) -> None:
    (text,) = told(made(**case))
    assert text.startswith(begins)
    assert holds in text


@pytest.mark.parametrize(
    ("changed", "stored", "said"),
    [
        ({"read": 2.0}, 10**9, "copy the checkpoints to a faster disk"),
        ({"read": 2.0}, 0, "longer than encoding, though it lay in memory"),
        ({"prepare": 2.0}, 0, "preparing it takes 2.10 s, more than reading it"),
    ],
)
def test_why_the_engine_waits(
    made: Made, changed: dict[str, float], stored: int, said: str
) -> None:
    profile, group, _ = made({**GOOD, **changed, "wait": 1.0}, wall=2.0, stored=stored)
    (text,) = advice(profile, group, Ceilings({}, 1e9))
    assert text.startswith("the engine waited 50% of the time for the next checkpoint: ")
    assert said in text


def test_scoring_that_holds_the_engine_up(made: Made) -> None:
    profile, group, _ = made({**GOOD, "score": 1.9}, wall=2.0)
    (text,) = advice(profile, group, Ceilings({}, 1e9))
    assert text.startswith("scoring and writing a checkpoint takes 1.95 s, longer than encoding")


def test_what_is_reached_of_each_ceiling(made: Made, clock: Clock) -> None:
    _, group, ceilings = made(stored=10**9)
    assert fraction(group, ceilings) == pytest.approx(0.8)
    text = "\n".join(reached(group, ceilings))
    assert "the engine encoded 95% of the time" in text
    assert "8 MB at 53 MB/s" in text
    assert "1,111/s" in text and ", 80% of the " in text
    assert "100 MB at 500 MB/s, from storage" in text
    assert "memory is copied at 10,000" in text
    clock.stored = None
    group.fetched = None
    assert "storage" not in "\n".join(reached(group, ceilings))


def test_int8_has_no_matrix_product_to_be_held_against(made: Made) -> None:
    profile, group, ceilings = made()
    group.precision = "int8"
    assert fraction(group, ceilings) is None
    assert not any("matrix" in text for text in reached(group, ceilings))
    assert list(advice(profile, group, ceilings)) == ["nothing: the engine encodes 95% of the time"]


def test_ceilings_are_measured_on_as_many_threads_as_asked_for() -> None:
    before = torch.get_num_threads()
    assert all(matrix_product_rate("cpu", p, 0.0, 1) > 1e8 for p in MATRIX_PRECISIONS)
    assert 1e8 < memory_bandwidth("cpu", 0.0, 1) < 1e13
    assert torch.get_num_threads() == before


def test_a_real_sweep(
    run_folder: Path, sets: tuple[str, ...], shared_cache: Path, tmp_path: Path
) -> None:
    """The stages of the engine's thread are no more than the time there was."""
    seen: list[Mapping[str, float]] = []

    class Watch(Progress):
        def checkpoint_done(self, name: str, **told: Any) -> None:
            seen.append(told["seconds"])

    began = time.perf_counter()
    fastclip.sweep(
        run_folder, tmp_path / "out", data=sets[:2], cache_dir=shared_cache, workers=1,
        progress=Watch(quiet=True),
    )  # fmt: skip
    profile = Profile()
    group = begin(profile)
    group.began = began
    for seconds in seen:
        profile.checkpoint(seconds, 37, 10, 10**6)
    assert len(group.visits) == 3
    known = {*profiles.ENGINE, *profiles.AHEAD, *profiles.BEHIND}
    assert {"read", "swap", "canary", "encode_images", "score"} <= set().union(*seen) <= known
    spent = sum(
        visit.seconds.get(stage, 0.0) for visit in group.visits for stage in profiles.ENGINE
    )
    assert 0 < spent <= time.perf_counter() - began
    text = list(profile.lines())
    assert any(line.startswith("  checkpoints read: 1 MB") for line in text)
    assert text[-1].startswith("  - ")


def test_nothing_measured() -> None:
    assert list(Profile().lines()) == ["no checkpoint was measured"]


@pytest.mark.skipif(sys.platform != "linux", reason="told by Linux only")
def test_the_time_since_the_process_began() -> None:
    code = (
        "import time; time.sleep(0.3)\n"
        "from fastclip.sweeper.profile import seconds_since_process_start as s\n"
        "print(s(), time.process_time())"
    )
    began = time.perf_counter()
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    elapsed = time.perf_counter() - began
    since, _ = map(float, done.stdout.split())
    assert 0.3 < since < elapsed + 0.05


@pytest.mark.skipif(sys.platform != "linux", reason="told by Linux only")
def test_what_lies_in_memory_is_not_fetched_from_storage(tmp_path: Path) -> None:
    before = profiles.bytes_from_storage()
    if before is None:
        pytest.skip("this system counts no bytes")
    (tmp_path / "weights").write_bytes(np.random.default_rng(0).bytes(2**20))
    (tmp_path / "weights").read_bytes()
    after = profiles.bytes_from_storage()
    assert after is not None and after - before < 2**20
