"""One export, from the folder to the file."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields
from pathlib import Path

from fastclip.errors import RefusalError, UsageError
from fastclip.exports import EXPORTS
from fastclip.exports.base import Export, Options, Selection
from fastclip.results.protocols import choose, refuse_several
from fastclip.results.table import measurements


def export(
    out: Path,
    to: str,
    target: Path | None = None,
    *,
    task: str | None = None,
    protocols: Sequence[str] = (),
    options: Options = Options(),  # noqa: B008 (frozen)
) -> str:
    """Write a sweep in another format; returns one line that says what was written.

    Files that are there are replaced, each as a whole; in a folder, what an earlier export wrote
    and this one does not is removed, and nothing else.

    Args:
        to: name in `EXPORTS`.
        target: file or folder; None for `OUT/exports/<the format's own name>`.
        task: measurements of this task only.
        protocols: beginnings of protocol ids; of protocols for the same number, keep these.

    Raises:
        UsageError: unknown format, nothing to export, an option that the format does not take, or
            several protocols for one number with none chosen.
        RefusalError: the target cannot be written, or a package is missing.
    """
    form = EXPORTS.get(to)
    _check_options(to, form, options)
    selection = _select(out, to, form, task)
    selection = Selection(out, tuple(choose(selection.measured, protocols)))
    if form.one_protocol:
        refuse_several(selection.measured, out, ", or export csv or parquet, which hold them all")
    name = form.target.format(task=selection.tasks[0])
    target = out / "exports" / name if target is None else target
    try:
        return form.write(selection, target, options)
    except OSError as error:
        raise RefusalError(
            f"the export cannot be written ({error})", where=target, mend="name another -o"
        ) from error


def _check_options(to: str, form: Export, options: Options) -> None:
    for field in fields(options):
        if getattr(options, field.name) != field.default and field.name not in form.options:
            takers = [name for name in EXPORTS if field.name in EXPORTS.get(name).options]
            raise UsageError(
                f"format '{to}' has no use for '{field.name}'",
                mend=f"it belongs to: {', '.join(takers)}",
            )


def _select(out: Path, to: str, form: Export, task: str | None) -> Selection:
    found = Selection(out, tuple(measurements(out)))
    if not found.measured:
        raise UsageError(
            "this folder holds no finished measurement", where=out, mend="sweep into it first"
        )
    if form.task is not None and task not in (None, form.task):
        raise UsageError(f"format '{to}' holds task '{form.task}' only", where=f"--task {task}")
    task = form.task or task
    if task is None and form.one_task and len(found.tasks) > 1:
        raise UsageError(
            f"format '{to}' holds one task at a time",
            where=out,
            mend=f"choose with --task: {', '.join(found.tasks)}",
        )
    return found if task is None else found.of_task(task)
