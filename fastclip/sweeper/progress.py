"""Progress: a live line on a terminal, plain lines elsewhere, nothing when quiet."""

from __future__ import annotations

import sys
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, TextIO

if TYPE_CHECKING:
    import rich.progress


MOST_NAMED = 4
"""Workers that are told one by one; a line has no room for more."""

ENOUGH = 4
"""Checkpoints of a worker before its rate is told."""


class Progress:
    """Counts checkpoints done and failed, pictures per second and the time left.

    Args:
        quiet: say nothing but failures.
        live: draw a live line where `stream` is a terminal; else one line per checkpoint.
        verbose: add seconds per stage to each checkpoint's line.
    """

    def __init__(
        self,
        *,
        quiet: bool = False,
        live: bool = True,
        verbose: bool = False,
        stream: TextIO | None = None,
    ) -> None:
        self.stream = stream or sys.stderr
        self.quiet = quiet
        self.verbose = verbose
        self.live = live and not quiet and self.stream.isatty()
        self._bar: rich.progress.Progress | None = None
        self._total = self._seen = self._failed = self._measured = self._pictures = 0
        self._began = time.monotonic()
        self._noted: set[str] = set()
        self._by = ""
        self._workers: dict[str, list[float]] = {}

    def note(self, text: str) -> None:
        """Say something once, however often it is noted."""
        if text not in self._noted:
            self._noted.add(text)
            self.say(text)

    def say(self, text: str) -> None:
        """Say something."""
        if not self.quiet:
            self._print(text)

    def start(self, total: int) -> None:
        """The sweep begins; `total` checkpoints are planned."""
        self._total, self._began = total, time.monotonic()
        if self.live:
            self._bar = self._make_bar()
            self._bar.start()
            self._task = self._bar.add_task("sweep", total=total, failed=0, speed="")

    def preparing(self, what: str) -> None:
        """Work that is done once begins: export, probe, decoding."""
        self.note(f"{what}: preparing graph, engine and pictures")

    def prepared(self) -> None:
        """From here on time counts for pictures per second and time left."""
        if not self._pictures:
            self._began = time.monotonic()

    def pictures(self, count: int) -> None:
        """`count` more pictures have been encoded and scored."""
        self._pictures += count
        if self._bar is not None:
            self._bar.update(self._task, speed=self._speed() + self._rates())

    def by(self, worker: str) -> None:
        """The next checkpoint was measured by this worker."""
        self._by = worker
        self._workers.setdefault(worker, []).append(time.monotonic())

    def checkpoint_done(
        self, name: str, *, cached: bool = False, seconds: Mapping[str, float] | None = None
    ) -> None:
        """A checkpoint is measured, or was measured by an earlier sweep."""
        self._seen += 1
        self._measured += not cached
        stages = ""
        if self.verbose and seconds:
            stages = " (" + ", ".join(f"{k} {v:.2f} s" for k, v in seconds.items()) + ")"
        by = f" by {self._by}" if self._by and not cached else ""
        self._advance(f"{name}: {'already measured' if cached else 'done'}{by}{stages}")

    def checkpoint_failed(self, name: str, error: str) -> None:
        """A checkpoint could not be measured; the sweep goes on."""
        self._seen += 1
        self._failed += 1
        self._print(f"{name}: failed: {error}")
        self._advance(None)

    def finish(self) -> None:
        """The sweep is over; leave the terminal as it was."""
        if self._bar is not None:
            self._bar.stop()
            self._bar = None
        if self._workers:
            self.say(self._rates().strip(", "))

    def _advance(self, line: str | None) -> None:
        if self._bar is not None:
            self._bar.update(self._task, completed=self._seen, failed=self._failed)
        elif line is not None and not self.quiet:
            of = f"/{self._total}" if self._total else ""
            self._print(f"[{self._seen}{of}] {line}  {self._speed()}{self._left()}")

    def _speed(self) -> str:
        elapsed = max(time.monotonic() - self._began, 1e-6)
        return f"{self._pictures / elapsed:,.0f} pictures/s" if self._pictures else ""

    def _rates(self) -> str:
        """Of each worker, or of the slowest and the fastest of many."""
        rates = {worker: _per_minute(ends) for worker, ends in self._workers.items()}
        if len(rates) <= MOST_NAMED:
            return "".join(
                f", {worker} {len(self._workers[worker])}"
                + (f" ({rates[worker]:.1f}/min)" if rates[worker] else "")
                for worker in sorted(rates)
            )
        known = [rate for rate in rates.values() if rate] or [0.0]
        return f", {len(rates)} workers, {min(known):.1f} to {max(known):.1f}/min each"

    def _left(self) -> str:
        if not self._measured or self._seen >= self._total:
            return ""
        each = (time.monotonic() - self._began) / self._measured
        return f", {_duration(each * (self._total - self._seen))} left"

    def _print(self, text: str) -> None:
        if self._bar is not None:
            self._bar.console.print(text, markup=False, highlight=False)
        else:
            print(text, file=self.stream, flush=True)

    def _make_bar(self) -> rich.progress.Progress:
        from rich import progress
        from rich.console import Console

        return progress.Progress(
            progress.TextColumn("{task.description}"),
            progress.BarColumn(),
            progress.MofNCompleteColumn(),
            progress.TextColumn("{task.fields[failed]} failed"),
            progress.TextColumn("{task.fields[speed]}"),
            progress.TimeRemainingColumn(),
            console=Console(file=self.stream),
        )


def _per_minute(ends: list[float]) -> float:
    """Checkpoints per minute from when the first ended to when the last did; 0 of a few only."""
    if len(ends) < ENOUGH or ends[-1] == ends[0]:
        return 0.0
    return 60 * (len(ends) - 1) / (ends[-1] - ends[0])


def _duration(seconds: float) -> str:
    whole = round(seconds)
    if whole < 90:
        return f"{whole} s"
    return f"{whole // 60} min" if whole < 5400 else f"{whole / 3600:.1f} h"
