"""What an export is, and what it reads."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from itertools import groupby
from pathlib import Path

from fastclip.errors import UsageError
from fastclip.results.record import Record, record_path
from fastclip.results.sightings import Sighting
from fastclip.results.table import Measurement


@dataclass(frozen=True)
class Options:
    """What a user may choose; a format takes those that its `Export.options` names.

    Attributes:
        intervals: also write the ends of intervals.
        project: of Weights & Biases.
        online: send to the service instead of writing to disk.
    """

    intervals: bool = False
    project: str = ""
    online: bool = False


@dataclass(frozen=True)
class Selection:
    """Measurements of an output folder, those of one checkpoint next to each other.

    The order is that of the table: by architecture, run, place in training.
    """

    out: Path
    measured: tuple[Measurement, ...]

    @property
    def tasks(self) -> tuple[str, ...]:
        """The tasks there are, in the order of the table."""
        return tuple(dict.fromkeys(m.record.task for m in self.measured))

    def of_task(self, task: str) -> Selection:
        """The measurements of one task.

        Raises:
            UsageError: there are none; lists the tasks there are.
        """
        if task not in self.tasks:
            raise UsageError(
                f"nothing of task '{task}' was measured",
                where=self.out,
                mend=f"this folder has: {', '.join(self.tasks)}",
            )
        return replace(self, measured=tuple(m for m in self.measured if m.record.task == task))

    def checkpoints(self) -> Iterator[tuple[Sighting, list[Record]]]:
        """Each checkpoint with its records."""
        for _, group in groupby(self.measured, key=lambda m: id(m.sighting)):
            found = list(group)
            yield found[0].sighting, [m.record for m in found]

    def record_file(self, record: Record) -> Path:
        """Where a record lies; its items are beside it (`read_items`)."""
        return record_path(self.out, record.checkpoint_id, record.task, record.protocol_id)


@dataclass(frozen=True)
class Export:
    """One format.

    Attributes:
        target: name below OUT/exports of what it writes by default; `{task}` stands for the task.
        write: writes the selection to a path, file or folder, and says in one line what it did.
        task: the only task that this format can hold, None where it holds any.
        one_task: the user has to choose one task.
        one_protocol: refuses several protocols for one number.
        options: fields of `Options` that it takes.
    """

    target: str
    write: Callable[[Selection, Path, Options], str]
    task: str | None = None
    one_task: bool = False
    one_protocol: bool = True
    options: frozenset[str] = frozenset()
