"""Engines tried against each other on every architecture of a sweep."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from fastclip.sweeper.trial import Attempt, Trial, earlier_trial, try_engine
from fastclip.towers.base import Towers

PREFERENCE = 1.05
"""How many times as fast an engine must be as one tried before it, or chance would decide."""


@dataclass(frozen=True)
class Work:
    """What a sweep has to do on one architecture.

    Attributes:
        checkpoints: how many there are.
        pictures: how many are encoded for each.
    """

    towers: Towers
    checkpoints: int
    pictures: int

    def seconds(self, trial: Trial) -> float:
        """What it would take an engine, prompts left out; 0 where it was not timed."""
        if not trial.pictures_per_second:
            return 0.0
        each = trial.swap_seconds + self.pictures / trial.pictures_per_second
        return self.checkpoints * each


class Contest:
    """Tries engines at one precision, and at the next only those that overflowed.

    Each is tried on every architecture until it fails on one that another engine can do. An
    architecture that none can do is left out: its checkpoints fail when their turn comes.

    Args:
        works: one for each architecture.
        attempts: engines in the order of preference.
        precisions: in the order of preference.
        cache_dir: where passed trials are kept.

    Attributes:
        trials: what was seen.
    """

    def __init__(
        self,
        works: Sequence[Work],
        attempts: Sequence[Attempt],
        precisions: Sequence[str],
        cache_dir: Path,
        log: Callable[[str], None],
    ) -> None:
        self.trials: list[Trial] = []
        self._works = works
        self._attempts = attempts
        self._precisions = precisions
        self._cache_dir = cache_dir
        self._log = log

    def best(self) -> Attempt | None:
        """The engine that would be done first; None where none can be used."""
        standing = list(self._attempts)
        for precision in self._precisions:
            entrants = [replace(attempt, precision=precision) for attempt in standing]
            totals = self._totals(entrants)
            if totals:
                return _first_of(totals)
            overflowed = {t.engine for t in self.trials if t.overflow and t.precision == precision}
            standing = [attempt for attempt in standing if attempt.engine in overflowed]
        return None

    def _totals(self, entrants: Sequence[Attempt]) -> dict[Attempt, float]:
        """Seconds that the whole sweep would take each engine that can do all of it."""
        totals = dict.fromkeys(entrants, 0.0)
        done = False
        for work in self._works:
            trials = {attempt: self._try(attempt, work.towers) for attempt in totals}
            passed = {attempt: trial for attempt, trial in trials.items() if trial.passed}
            if passed:
                totals = {a: totals[a] + work.seconds(trial) for a, trial in passed.items()}
                done = True
        return totals if done else {}

    def _try(self, attempt: Attempt, towers: Towers) -> Trial:
        what = f"{attempt.engine} {attempt.precision} on {towers.architecture.name}"
        trial = earlier_trial(attempt, towers, self._cache_dir)
        if trial is None:
            self._log(f"trying engine {what}")
            trial = try_engine(attempt, towers, self._cache_dir)
        self.trials.append(trial)
        self._log(f"engine {what}: {_words(trial)}")
        return trial


def _first_of(totals: dict[Attempt, float]) -> Attempt:
    first, *others = totals
    for other in others:
        if totals[other] * PREFERENCE < totals[first]:
            first = other
    return first


def _words(trial: Trial) -> str:
    if trial.refusal:
        return f"not used: {trial.refusal}"
    if not trial.pictures_per_second:
        return f"passed the probe (relative L2 {trial.relative_l2:.1e})"
    return (
        f"{trial.pictures_per_second:,.0f} pictures/s, {trial.swap_seconds:.2f} s a swap "
        f"(relative L2 {trial.relative_l2:.1e})"
    )
