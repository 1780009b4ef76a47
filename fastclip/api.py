"""The Python entry: `fastclip.sweep(...)` returns the rows as a pandas DataFrame."""

from __future__ import annotations

from collections.abc import Sequence
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pandas as pd

    from fastclip.sweeper.progress import Progress

PathLikes = str | PathLike[str]


def sweep(
    checkpoints: PathLikes | Sequence[PathLikes],
    output_dir: PathLikes = "sweep-out",
    *,
    progress: Progress | None = None,
    **options: Any,
) -> pd.DataFrame:
    """Measure checkpoints and return the tidy rows, as `fastclip sweep` writes to results.csv.

    Args:
        checkpoints: one or several folders, globs, files, `@list.txt` or `openclip:ARCH/TAG`.
        output_dir: where records and tables go; a second call measures only what is missing.
        progress: a `fastclip.sweeper.progress.Progress`; silent by default.
        **options: fields of `fastclip.sweeper.config.SweepConfig` (`tasks`, `data_dir`, `data`,
            `sigma`, `distortion`, `model`, `engine`, ...).

    Returns:
        One row per number; columns as in `fastclip.results.table.COLUMNS`. Checkpoints that
        could not be measured are absent; `rows.attrs["failures"]` maps their names to errors.

    Raises:
        UsageError: nothing to measure, or options that contradict each other or `output_dir`.
        RefusalError: unwritable output, bad data, an engine that failed its probe.
        TypeError: an option that does not exist.
    """
    from fastclip.results.table import read_table
    from fastclip.sweeper.config import SweepConfig
    from fastclip.sweeper.run import sweep as run

    options = {name: _plain(name, value) for name, value in options.items()}
    several = [checkpoints] if isinstance(checkpoints, str | PathLike) else checkpoints
    config = SweepConfig(
        checkpoints=tuple(str(one) for one in several), output_dir=Path(output_dir), **options
    )
    outcome = run(config, progress)
    rows = read_table(config.output_dir)
    rows.attrs["failures"] = outcome.failures
    return rows


def _plain(name: str, value: Any) -> Any:
    """An option in the form `SweepConfig` takes, from any form the command takes it in."""
    from fastclip.checkpoints.selection import parse_range, parse_shard

    if name in ("data_dir", "cache_dir"):
        return None if value is None else Path(value)
    if name == "tasks":
        names = value.split(",") if isinstance(value, str) else value
        return tuple(str(task).strip() for task in names)
    if name in ("data", "distortion"):
        return (value,) if isinstance(value, str) else tuple(map(str, value))
    if name == "sigma" and value is not None:
        levels = value if isinstance(value, list | tuple) else [value]
        return ",".join(map(str, levels))
    if name in ("steps", "epochs") and isinstance(value, str):
        return parse_range(value)
    if name == "shard" and isinstance(value, str):
        return parse_shard(value)
    if name == "batch_size" and value == "auto":
        return None
    return str(value) if isinstance(value, PathLike) else value
