"""A progress that calls back and keeps what was said."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from fastclip.sweeper.progress import Progress


class Watch(Progress):
    """Calls back with how many checkpoints are done when one is, and keeps what was said."""

    def __init__(self, done: Callable[[int], None] = lambda count: None) -> None:
        super().__init__(live=False)
        self.done, self.count = done, 0
        self.said: list[str] = []

    def checkpoint_done(self, name: str, **options: Any) -> None:
        super().checkpoint_done(name, **options)
        self.count += 1
        self.done(self.count)

    def _print(self, text: str) -> None:
        self.said.append(text)
