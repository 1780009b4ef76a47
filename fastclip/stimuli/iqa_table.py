"""Pairs of pictures with a human score: anybody's own table, and what all such sets share.

A table is a CSV file with the columns `reference,distorted,score` and, if wanted, `type`,
`level` and `score_error`, the standard error of the mean score; the paths are relative to the
table.
"""

from __future__ import annotations

import csv
import io
import math
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from fastclip.errors import DataError, UsageError
from fastclip.files import digest_of
from fastclip.stimuli.base import ImageQualityDataset
from fastclip.stimuli.info import COUNTS, info_of
from fastclip.stimuli.sources import FilePictures, Folder, check_complete, counted, some


@dataclass(frozen=True)
class Pair:
    """One row of a score table; `reference` and `distorted` are names within the set.

    `error` is the standard error of a mean score, NaN where it is not known.
    """

    reference: str
    distorted: str
    score: float
    type: str = ""
    level: int = -1
    error: float = math.nan


@dataclass(frozen=True)
class Table:
    """A score table as read.

    Attributes:
        pairs: the rows that could be read.
        rows: how many rows the file has, unreadable ones included.
        problems: what is wrong with the others.
    """

    pairs: Sequence[Pair]
    rows: int
    problems: Sequence[str] = ()


def load(
    path: Path,
    *,
    name: str,
    partial: bool = False,
    limit: int | None = None,
    higher_is_better: bool | None = None,
) -> ImageQualityDataset:
    """Read anybody's own table of pairs and scores.

    Args:
        path: the CSV file (tab-separated when it ends in `.tsv`).
        name: name in every row.
        partial: go on with the rows whose files exist.
        limit: keep whole references, in table order, up to this many pairs (one at least).
        higher_is_better: polarity of the scores; there is no default.

    Raises:
        UsageError: no polarity given.
        DataError: the table or a picture is missing, a row cannot be read, or a pair has two
            different scores.
    """
    if higher_is_better is None:
        raise UsageError(
            f"the table '{name}' does not say whether a high score means good or bad quality",
            where=path,
            mend="add --higher-is-better (MOS) or --lower-is-better (DMOS)",
        )
    root = path.parent
    return assemble(
        _read_table(path, name),
        lambda relative: relative if (root / relative).is_file() else None,
        root,
        kind="iqa",
        name=name,
        path=path,
        higher_is_better=higher_is_better,
        partial=partial,
        limit=limit,
    )


def assemble(
    table: Table,
    find: Callable[[str], str | None],
    root: Path,
    *,
    kind: str,
    name: str,
    path: Path,
    higher_is_better: bool,
    partial: bool,
    limit: int | None,
    notes: Sequence[str] = (),
) -> ImageQualityDataset:
    """Match a table with the files there are.

    Pictures are the references in order of appearance, then the distorted pictures; each once.

    Args:
        find: name within the set -> path below `root`, or None when there is no such file.
        path: what the user named, for messages.

    Raises:
        DataError: the set is incomplete and `partial` is False, or a pair has two scores.
    """
    pairs, repeated = _distinct(table.pairs, path)
    files = {n: find(n) for pair in pairs for n in (pair.reference, pair.distorted)}
    references = dict.fromkeys(pair.reference for pair in pairs)
    no_reference = [n for n in references if files[n] is None]
    no_file = [p.distorted for p in pairs if files[p.distorted] is None]
    problems = list(table.problems)
    if no_reference:
        what = counted(len(no_reference), "reference picture")
        problems.append(f"{what} missing: {some(no_reference)}")
    if no_file:
        what = counted(len(no_file), "score row")
        problems.append(f"{what} without a file: {some(no_file)}")

    usable = [p for p in pairs if files[p.reference] is not None and files[p.distorted] is not None]
    expected = COUNTS[name] if name == kind else table.rows - repeated
    if repeated:
        problems.append(f"{counted(repeated, 'row')} listed twice")
    check_complete(name, path, len(usable), expected, problems, partial)
    kept = _whole_references(usable, limit)

    names = dict.fromkeys(p.reference for p in kept) | dict.fromkeys(p.distorted for p in kept)
    index = {n: row for row, n in enumerate(names)}
    error = np.array([p.error for p in kept], np.float64)
    known = not np.isnan(error).all()
    columns = [
        [p.reference, p.distorted, p.score, p.type, p.level, *([repr(p.error)] if known else [])]
        for p in kept
    ]
    return ImageQualityDataset(
        name=name,
        kind=kind,
        info=info_of(kind, name),
        pictures=FilePictures(root, list(names), [str(files[n]) for n in names]),
        found=len(kept),
        expected=expected,
        labels_digest=digest_of([higher_is_better, columns]),
        notes=(*problems, *notes),
        reference=np.array([index[p.reference] for p in kept], np.int64),
        distorted=np.array([index[p.distorted] for p in kept], np.int64),
        score=np.array([p.score for p in kept], np.float64),
        type=tuple(p.type for p in kept),
        level=np.array([p.level for p in kept], np.int64),
        higher_is_better=higher_is_better,
        score_error=error if known else np.empty(0),
    )


def leftovers(table: Table, folder: Folder) -> list[str]:
    """Notes on pictures that the table does not know, and on copies that differ in case."""
    used = {name.lower() for pair in table.pairs for name in (pair.reference, pair.distorted)}
    extra = [name for name in folder.pictures() if name.lower() not in used]
    notes = []
    if extra:
        notes.append(f"{counted(len(extra), 'extra picture')} not in the table: {some(extra)}")
    if twins := folder.twins():
        notes.append(f"{counted(len(twins), 'file')} there twice, differing in case: {some(twins)}")
    return notes


def _distinct(pairs: Sequence[Pair], path: Path) -> tuple[list[Pair], int]:
    """The pairs without repetitions, and how many were repeated."""
    seen: dict[tuple[str, str], Pair] = {}
    for pair in pairs:
        first = seen.setdefault((pair.reference, pair.distorted), pair)
        if first.score != pair.score:
            raise DataError(
                f"the pair {pair.reference}, {pair.distorted} has two scores: {first.score:g} "
                f"and {pair.score:g}",
                where=path,
                mend="keep one row for each pair, with the mean score",
            )
    return list(seen.values()), len(pairs) - len(seen)


def _whole_references(pairs: Sequence[Pair], limit: int | None) -> list[Pair]:
    """The pairs of the first references, as many as fit into `limit`; of one at least."""
    if limit is None or limit >= len(pairs):
        return list(pairs)
    kept: set[str] = set()
    count = 0
    for reference, rows in Counter(pair.reference for pair in pairs).items():
        count += rows
        if kept and count > limit:
            break
        kept.add(reference)
    return [pair for pair in pairs if pair.reference in kept]


def _read_table(path: Path, name: str) -> Table:
    if not path.is_file():
        raise DataError(
            f"the table of '{name}' is not there", where=path, mend="check --data iqa:NAME=PATH"
        )
    try:
        text = path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise DataError(
            f"the table is not UTF-8 text: {error.reason} at byte {error.start}",
            where=path,
            mend="save it as CSV UTF-8",
        ) from error
    with io.StringIO(text, newline="") as file:
        reader = csv.DictReader(file, delimiter="\t" if path.suffix == ".tsv" else ",")
        columns = [column.strip().lower() for column in reader.fieldnames or ()]
        reader.fieldnames = columns
        missing = [c for c in ("reference", "distorted", "score") if c not in columns]
        if missing:
            raise DataError(
                f"the table has no column {some(missing)}; it has: {some(columns) or 'none'}",
                where=path,
                mend="its first line must be reference,distorted,score[,type,level,score_error]",
            )
        pairs: list[Pair] = []
        bad: list[str] = []
        for row in reader:
            try:
                pairs.append(_pair(row))
            except ValueError as error:
                bad.append(f"line {reader.line_num} ({error})")
    problems = [f"{counted(len(bad), 'row')} cannot be read: {some(bad)}"] if bad else []
    return Table(pairs, len(pairs) + len(bad), problems)


def _pair(row: dict[str, str | None]) -> Pair:
    text = {column: (value or "").strip() for column, value in row.items() if column}
    score = finite(text["score"])
    if not text["reference"] or not text["distorted"]:
        raise ValueError("a path is empty")
    level = text.get("level", "")
    error = standard_error(text["score_error"]) if text.get("score_error") else math.nan
    kind = text.get("type", "")
    return Pair(text["reference"], text["distorted"], score, kind, int(level or -1), error)


def standard_error(text: str) -> float:
    """A finite number, at least 0.

    Raises:
        ValueError: it is none; says what it is.
    """
    value = finite(text)
    if value < 0:
        raise ValueError(f"standard error {text} is negative")
    return value


def finite(text: str) -> float:
    """A finite number.

    Raises:
        ValueError: it is none; says what it is.
    """
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise ValueError(f"score '{text}' is not a number")
    return value
