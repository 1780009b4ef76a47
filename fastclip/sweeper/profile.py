"""`--profile`: where a sweep's time went, stage by stage."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from math import prod
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING

from fastclip.sweeper.ceilings import flop_per_picture

if TYPE_CHECKING:
    from fastclip.engines.base import Engine
    from fastclip.towers.base import Towers

ENGINE = ("wait", "swap", "canary", "encode_images", "encode_texts")
"""Stages of the thread that asks the engine: one after the other."""

AHEAD = ("read", "pack", "prepare", "reference")
"""Stages of the next checkpoint while the engine works on this one."""

BEHIND = ("score", "write")
"""Stages of what is encoded, in the background."""


@dataclass(frozen=True)
class Visit:
    """One measured checkpoint.

    Attributes:
        seconds: stage -> wall time; stages of different threads overlap.
        pictures, prompts: how many were encoded.
        read_bytes: of the tensors that were read.
        ended: when it was scored and written, on `time.perf_counter`'s clock.
    """

    seconds: Mapping[str, float]
    pictures: int
    prompts: int
    read_bytes: int
    ended: float


@dataclass
class Group:
    """The checkpoints of one architecture, and what measured them.

    Attributes:
        towers: what was measured.
        weight_bytes: of one checkpoint's tensors as packed, fp32.
        began: when the stage was ready, on `time.perf_counter`'s clock.
        stored: bytes this process had fetched from storage by then; None where unknown.
        fetched: bytes from storage since then.
    """

    towers: Towers
    engine: str
    precision: str
    device: str
    threads: int
    image_batch: int
    weight_bytes: int
    began: float
    stored: int | None
    fetched: int | None = None
    visits: list[Visit] = field(default_factory=list)

    @property
    def name(self) -> str:
        """Of the architecture."""
        return self.towers.architecture.name

    @cached_property
    def flop(self) -> float:
        """Floating-point operations of one picture."""
        return flop_per_picture(self.towers)

    @property
    def steady(self) -> Sequence[Visit]:
        """The checkpoints after the first, whose reading nothing could hide; all of fewer."""
        return self.visits[1:] or self.visits

    @property
    def wall(self) -> float:
        """Seconds that `steady` took."""
        before = self.visits[0].ended if len(self.visits) > 1 else self.began
        return max(self.visits[-1].ended - before, 1e-9)

    def total(self, *stages: str) -> float:
        """Seconds that `steady` spent in these stages."""
        return sum(visit.seconds.get(stage, 0.0) for visit in self.steady for stage in stages)

    def share(self, *stages: str) -> float:
        """Of the wall time of `steady`, at most 1."""
        return min(self.total(*stages) / self.wall, 1.0)

    @property
    def encoding(self) -> float:
        """Share of the time in which the engine encoded."""
        return self.share("encode_images", "encode_texts")

    def rate(self, amount: float, *stages: str) -> float | None:
        """`amount` per second of these stages; None where they took no time."""
        seconds = self.total(*stages)
        return amount / seconds if seconds else None

    @property
    def pictures_per_second(self) -> float | None:
        """While pictures are encoded."""
        return self.rate(sum(visit.pictures for visit in self.steady), "encode_images")

    @property
    def prepares_ahead(self) -> bool:
        """Whether packing and preparing went on while another checkpoint was encoded."""
        return any("prepare" in visit.seconds for visit in self.visits)


class Profile:
    """Collects where time goes; costs nothing to speak of, so that a sweep always has one.

    Attributes:
        phases: start-up phase -> seconds of its own, without the phases inside it.
        groups: one per architecture that was measured.
    """

    def __init__(self) -> None:
        self.phases: dict[str, float] = {}
        self.groups: list[Group] = []
        self._inside = 0.0

    def since_process_start(self, name: str = "import") -> None:
        """Count the time since this process began as a phase; Linux only, else nothing."""
        elapsed = seconds_since_process_start()
        if elapsed is not None:
            self.phases[name] = self.phases.get(name, 0.0) + elapsed

    @contextmanager
    def phase(self, name: str) -> Iterator[None]:
        """Count the block as part of the start-up; phases may be nested and repeated."""
        outer, self._inside = self._inside, 0.0
        began = time.perf_counter()
        try:
            yield
        finally:
            spent = time.perf_counter() - began
            self.phases[name] = self.phases.get(name, 0.0) + spent - self._inside
            self._inside = outer + spent

    def group(self, towers: Towers, engine: Engine, image_batch: int) -> None:
        """A stage is ready: checkpoints from here on are this architecture's."""
        shapes = towers.module_manifest.shapes.values()
        self.groups.append(
            Group(
                towers=towers,
                engine=engine.name,
                precision=engine.precision,
                device=engine.device,
                threads=engine.threads,
                image_batch=image_batch,
                weight_bytes=4 * sum(prod(shape) for shape in shapes),
                began=time.perf_counter(),
                stored=bytes_from_storage(),
            )
        )

    def checkpoint(
        self, seconds: Mapping[str, float], pictures: int, prompts: int, read_bytes: int
    ) -> None:
        """A checkpoint is measured, scored and written.

        Args:
            seconds: per stage, of `ENGINE`, `AHEAD` and `BEHIND`.
            pictures, prompts: how many were encoded.
            read_bytes: of the tensors that were read from its file.
        """
        group = self.groups[-1]
        visit = Visit(dict(seconds), pictures, prompts, read_bytes, time.perf_counter())
        group.visits.append(visit)
        now = bytes_from_storage()
        if now is not None and group.stored is not None:
            group.fetched = now - group.stored

    @property
    def measured(self) -> list[Group]:
        """Groups of which something was measured."""
        return [group for group in self.groups if group.visits]

    @property
    def start_up(self) -> float:
        """Seconds of all phases."""
        return sum(self.phases.values())

    def lines(self) -> Iterator[str]:
        """The profile as text: phases, stages, what was reached of the ceilings, what to change.

        Measures the ceilings for about a second; for after the sweep.
        """
        from fastclip.sweeper.advice import advice, measure_ceilings, reached

        if self.phases:
            words = (f"{name} {s:.1f}" for name, s in self.phases.items())
            yield f"start-up took {self.start_up:.1f} s: {', '.join(words)}"
        if not self.measured:
            yield "no checkpoint was measured"
        for group in self.measured:
            ceilings = measure_ceilings(group)
            yield ""
            yield from stages(group)
            yield from reached(group, ceilings)
            yield "what to change:"
            yield from (f"  - {text}" for text in advice(self, group, ceilings))


def stages(group: Group) -> Iterator[str]:
    """The table of one group's stages."""
    count = len(group.visits)
    yield (
        f"{group.name}: {count} checkpoint{'s' * (count != 1)}, {group.engine} {group.precision} "
        f"on {group.device}, {group.threads} threads, batches of {group.image_batch}"
    )
    after = " after the first checkpoint" if count > 1 else ""
    yield f"  {'stage':17}{'where':8}{'total s':>9}{'median s':>10}   of the time{after}"
    on_engine = ENGINE if group.prepares_ahead else (*ENGINE[:1], "pack", *ENGINE[1:])
    ahead = [stage for stage in AHEAD if stage not in on_engine]
    for where, names in (("engine", on_engine), ("ahead", ahead), ("behind", BEHIND)):
        for stage in names:
            spent = [visit.seconds.get(stage, 0.0) for visit in group.visits]
            if any(spent):
                yield (
                    f"  {stage:17}{where:8}{sum(spent):9.2f}{median(spent):10.3f}"
                    f"{group.share(stage):9.0%}"
                )
        if where == "engine":
            rest = max(0.0, 1 - group.total(*on_engine) / group.wall)
            yield f"  {'(none of these)':17}{where:8}{'':19}{rest:9.0%}"
    yield "  ahead and behind: of another checkpoint, while the engine works"


def seconds_since_process_start() -> float | None:
    """Wall time since this process began; None where the system does not tell."""
    try:
        # Fields after the command, which is in brackets: the 22nd of all is the start in ticks.
        fields = Path("/proc/self/stat").read_text().rpartition(")")[2].split()
        started = int(fields[19]) / os.sysconf("SC_CLK_TCK")
        return time.clock_gettime(time.CLOCK_BOOTTIME) - started
    except (OSError, ValueError, IndexError, AttributeError):
        return None


def bytes_from_storage() -> int | None:
    """Bytes this process has had fetched from storage: what came from the page cache is not in it.

    None where the system does not tell.
    """
    try:
        facts = dict(line.split(": ") for line in Path("/proc/self/io").read_text().splitlines())
        return int(facts["read_bytes"])
    except (OSError, ValueError, KeyError):
        return None
