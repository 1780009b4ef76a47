"""Where a view's pictures are kept: resident, mapped, or generated for each batch."""

from __future__ import annotations

import shutil
from pathlib import Path

from fastclip.errors import UsageError
from fastclip.stimuli.cache import parse_size

MODES = ("resident", "mapped", "generated")
_DISK_MARGIN = 2**30  # never fill the last GiB of a disk


def available_memory() -> int:
    """Bytes this process may still use: the kernel's estimate, or less in a container."""
    found = [_meminfo()]
    for limit, used in (
        ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory.current"),
        (
            "/sys/fs/cgroup/memory/memory.limit_in_bytes",
            "/sys/fs/cgroup/memory/memory.usage_in_bytes",
        ),
    ):
        try:
            found.append(int(Path(limit).read_text()) - int(Path(used).read_text()))
        except (OSError, ValueError):
            continue  # no such control group, or no limit ("max")
    return max(0, min(found))


def _meminfo() -> int:
    for line in Path("/proc/meminfo").read_text().splitlines():
        if line.startswith("MemAvailable:"):
            return int(line.split()[1]) * 1024
    return 0


class Budget:
    """Chooses a mode for each view.

    Args:
        memory: "auto" (half of the available memory may be resident), a size, or one of the
            three modes, which then holds for every view.
        folder: the cache folder, whose disk bounds what can be mapped.

    Raises:
        UsageError: `memory` is none of these.
    """

    def __init__(self, memory: str, folder: Path) -> None:
        self.forced = memory if memory in MODES else None
        self.folder = folder
        if memory in ("auto", *MODES):
            self.room = available_memory() // 2
        else:
            self.room = _size(memory)
        self.resident = 0

    def mode(self, size: int, on_disk: bool, memory: int = 0, disk: int = 0) -> str:
        """The mode of a view of `size` bytes, given that others will take `memory` and `disk`.

        A view whose file neither exists nor fits on the disk is generated; one that does not fit
        into memory is mapped.
        """
        if self.forced is not None:
            return self.forced
        if not on_disk and size + disk + _DISK_MARGIN > _free_disk(self.folder):
            return "generated"
        return "resident" if self.resident + memory + size <= self.room else "mapped"


def _size(memory: str) -> int:
    try:
        return parse_size(memory)
    except UsageError:
        raise UsageError(
            f"'{memory}' is neither a size nor a way to keep pictures",
            where="--memory",
            mend=f"choose one of: auto, {', '.join(MODES)}, or a size such as 4GiB",
        ) from None


def _free_disk(folder: Path) -> int:
    while not folder.exists():
        folder = folder.parent
    return shutil.disk_usage(folder).free
