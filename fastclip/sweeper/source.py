"""Where an architecture's checkpoints come from: a list, or somebody who hands them out."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence

from fastclip.checkpoints.base import Checkpoint


class Source(ABC):
    """Checkpoints of one architecture, in the order they are to be measured.

    Attributes:
        depth: as many may wait at a time, at most.
    """

    depth: int

    @abstractmethod
    def arrived(self, *, wait: bool) -> Sequence[Checkpoint]:
        """Those that came since the last call.

        Args:
            wait: until there is at least one, or it is known that no more will come: then empty.
        """


class Listed(Source):
    """All are known, and come at once."""

    def __init__(self, checkpoints: Sequence[Checkpoint]) -> None:
        self.depth = len(checkpoints)
        self._checkpoints = checkpoints

    def arrived(self, *, wait: bool) -> Sequence[Checkpoint]:
        """All, the first time."""
        arrived, self._checkpoints = self._checkpoints, ()
        return arrived
