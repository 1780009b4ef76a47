"""Find checkpoints, skip what is not one, and put them in order. No weights are read."""

from __future__ import annotations

import glob
import os
import re
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path

from fastclip.checkpoints import describe, open_checkpoint, stamp
from fastclip.checkpoints.anchors import PREFIX, local_anchor, resolve_anchor
from fastclip.checkpoints.base import Checkpoint
from fastclip.checkpoints.duplicates import drop_duplicates
from fastclip.checkpoints.huggingface import HuggingFaceReader, owns
from fastclip.checkpoints.names import absolute, natural_key, run_folder, run_names
from fastclip.checkpoints.provenance import RunFiles, samples_seen, training_place
from fastclip.checkpoints.selection import Bounds, select
from fastclip.checkpoints.unfinished import CUT_SHORT
from fastclip.errors import CheckpointError, UsageError

_SUFFIXES = (".pt", ".pth", ".bin", ".ckpt", ".safetensors")
# Names that open_clip, editors and copying programs give to what they are still writing.
_TEMPORARY = re.compile(r"tmp\.\w+|_tmp_.*|_trash_.*|\..*", re.IGNORECASE)
_NO_WEIGHTS = re.compile(
    r"(optimizer|scheduler|scaler|training_args)\.\w+|rng_state.*|.*optim_states\.pt", re.IGNORECASE
)
_RECENT = 10.0  # seconds: files younger than this are looked at twice,
_MOMENT = 0.2  # seconds apart
_SHARDED = (
    "a sharded checkpoint (torch.distributed.checkpoint) is not supported; make one file of it: "
    "python -m torch.distributed.checkpoint.format_utils dcp_to_torch_save FOLDER FILE.pt"
)

_WRITING = "a temporary name: still being written"

_AT_ONCE, _PART = 8, 64  # threads, and files each takes at a time

__all__ = ["Found", "find", "open_checkpoint", "stamp"]

Skipped = list[tuple[Path, str]]


@dataclass(frozen=True)
class Found:
    """What `find` found.

    Attributes:
        checkpoints: in order: by run, then step or epoch, then natural name.
        skipped: `(path, reason)` of each that looked like a checkpoint and was left out.
        absent: open_clip tags that have to be downloaded; only where `find` was not to.
    """

    checkpoints: list[Checkpoint] = field(default_factory=list)
    skipped: Skipped = field(default_factory=list)
    absent: list[str] = field(default_factory=list)

    @property
    def cut_short(self) -> Skipped:
        """Those of `skipped` that are whole neither now nor soon: broken, not being written."""
        return [(path, reason) for path, reason in self.skipped if CUT_SHORT in reason]


def find(
    patterns: Sequence[str | Path],
    *,
    run: str | None = None,
    weights: str = "raw",
    samples_per_epoch: int | None = None,
    every: int = 1,
    steps: Bounds | None = None,
    epochs: Bounds | None = None,
    download: bool = True,
    cache_dir: Path | None = None,
    log: Callable[[str], None] = lambda line: None,
) -> Found:
    """Find checkpoints without reading weights: a stat and a read of each file's end.

    Args:
        patterns: folders (searched with all below them), files, globs (`**` too),
            `@list.txt` (one pattern a line, `#` comments; a relative path that is not found from
            the current folder is taken from the list's), and open_clip tags
            (`openclip:ViT-B-16/openai`).
        run: a name for the run, instead of its folder's.
        weights: "raw" or "ema"; anchors have one set of weights.
        samples_per_epoch: for checkpoints whose files do not say it.
        every, steps, epochs: see `fastclip.checkpoints.selection.select`.
        download: fetch anchors that are not on this machine; else they are `absent`.
        cache_dir: what open_clip says of its tags is kept there (`published`); None keeps nothing.
        log: called with one line for each skipped file.

    Raises:
        UsageError: nothing matches a pattern, nothing is left to measure, or two checkpoints
            would have one name.
        RefusalError: an open_clip tag cannot be downloaded.
    """
    skipped: Skipped = []
    found: list[Checkpoint] = []
    absent: list[str] = []
    paths: list[Path] = []
    seen: set[str] = set()
    for pattern in _with_lists(patterns):
        if pattern.startswith(PREFIX):
            file = (resolve_anchor if download else local_anchor)(pattern, cache_dir)
            if file is None:
                absent.append(pattern)
            else:
                found.append(replace(describe(file), run="openclip", anchor=pattern))
            continue
        for path in _expand(pattern, skipped):
            key = absolute(path)
            if key not in seen:
                seen.add(key)
                paths.append(path)
    found += _describe_all(paths, skipped)
    found = _steady(found, skipped)
    found = [
        replace(c, run=name, weights="raw" if c.anchor else weights)
        for c, name in _with_runs(found, run)
    ]
    found, equal = drop_duplicates(sorted(found, key=_order))
    found = [_placed(checkpoint, steps, epochs) for checkpoint in found]
    kept, unknown = select(found, every=every, steps=steps, epochs=epochs)
    kept = _with_samples(kept, samples_per_epoch)
    skipped += equal + unknown
    for path, reason in skipped:
        log(f"skipped {path}: {reason}")
    if kept or not absent:
        _check(patterns, kept, found, skipped)
    return Found(kept, skipped, absent)


def _placed(checkpoint: Checkpoint, steps: Bounds | None, epochs: Bounds | None) -> Checkpoint:
    """With the step or epoch that a range asks for; opened only where its name says none."""
    silent = (steps and checkpoint.step is None) or (epochs and checkpoint.epoch is None)
    if not silent or checkpoint.anchor is not None:
        return checkpoint
    try:
        with open_checkpoint(checkpoint) as file:
            place = training_place(checkpoint, file.metadata)
    except CheckpointError:
        return checkpoint
    return replace(checkpoint, step=place.step, epoch=place.epoch)


def _with_samples(found: list[Checkpoint], samples_per_epoch: int | None) -> list[Checkpoint]:
    files = RunFiles()
    seen = [samples_seen(c, samples_per_epoch, files) for c in found]
    return [
        c if samples is None else replace(c, samples_seen=samples)
        for c, samples in zip(found, seen, strict=True)
    ]


def _with_lists(patterns: Iterable[str | Path]) -> Iterator[str]:
    for pattern in map(str, patterns):
        if not pattern.startswith("@"):
            yield pattern
            continue
        listing = Path(pattern[1:])
        try:
            lines = [line.strip() for line in listing.read_text().splitlines()]
        except (OSError, UnicodeDecodeError) as error:
            raise UsageError(f"the list cannot be read: {error}", where=listing) from None
        for line in lines:
            if line and not line.startswith("#"):
                beside = listing.parent / line
                from_list = not glob.has_magic(line) and not Path(line).exists() and beside.exists()
                yield str(beside) if from_list else line


def _expand(pattern: str, skipped: Skipped) -> Iterator[Path]:
    path = Path(pattern).expanduser()
    # Path.glob takes no absolute pattern.
    matches = [path] if path.exists() else list(map(Path, glob.glob(str(path), recursive=True)))  # noqa: PTH207
    if not matches:
        raise UsageError(
            "no file or folder matches",
            where=pattern,
            mend="give a folder, a file, a glob, @list.txt or openclip:MODEL/TAG",
        )
    for match in sorted(matches, key=lambda m: natural_key(str(m))):
        if match.is_dir():
            yield from _walk(match, skipped, set())
        elif match.suffix.lower() in _SUFFIXES:
            yield match
        elif len(matches) == 1:
            raise UsageError(
                "not a checkpoint by its name",
                where=match,
                mend=f"known endings: {', '.join(_SUFFIXES)}, and Hugging Face folders",
            )


def _walk(folder: Path, skipped: Skipped, visited: set[tuple[int, int]]) -> Iterator[Path]:
    """Checkpoints in `folder` and below, links followed, no folder twice."""
    stat = folder.stat()
    if (stat.st_dev, stat.st_ino) in visited:
        return
    visited.add((stat.st_dev, stat.st_ino))
    try:
        entries = list(os.scandir(folder))
    except OSError as error:
        raise UsageError(f"cannot list: {error.strerror}", where=folder) from None
    if any(entry.name == ".metadata" for entry in entries):
        skipped.append((folder, _SHARDED))
        return
    whole = HuggingFaceReader.recognises(folder)
    if whole:
        yield folder
    folders = []
    for entry in entries:
        if entry.is_dir():
            if entry.name.startswith(("_tmp_", "_trash_")):
                skipped.append((folder / entry.name, _WRITING))
            elif not entry.name.startswith("."):
                folders.append(folder / entry.name)
        elif entry.name.lower().endswith(_SUFFIXES) and not (whole and owns(entry.name)):
            yield folder / entry.name
    for below in folders:
        yield from _walk(below, skipped, visited)


def _describe_all(paths: Sequence[Path], skipped: Skipped) -> list[Checkpoint]:
    """Stamp every file; on a network file system most of that is waiting, so several at once."""
    parts = [paths[i : i + _PART] for i in range(0, len(paths), _PART)]
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        described = pool.map(lambda part: [_describe(path) for path in part], parts)
        results = [result for part in described for result in part]
    skipped += [result for result in results if isinstance(result, tuple)]
    return [result for result in results if isinstance(result, Checkpoint)]


def _describe(path: Path) -> Checkpoint | tuple[Path, str] | None:
    """The checkpoint; or path and reason; or None for what no one takes for a checkpoint."""
    if _NO_WEIGHTS.fullmatch(path.name):
        return None
    if _TEMPORARY.fullmatch(path.name):
        return path, _WRITING
    try:
        return describe(path)
    except CheckpointError as error:
        return path, error.what


def _steady(found: list[Checkpoint], skipped: Skipped) -> list[Checkpoint]:
    """Leave out what changes within a moment; only very recent files are looked at twice."""
    # A stamp begins with size-mtime; the mtime is in nanoseconds.
    now = time.time()
    recent = {c.path for c in found if now - int(c.stamp.split("-")[1]) / 1e9 < _RECENT}
    if not recent:
        return found
    time.sleep(_MOMENT)
    kept = []
    for checkpoint in found:
        if checkpoint.path in recent and _moves(checkpoint):
            skipped.append((checkpoint.path, "it is changing: still being written"))
        else:
            kept.append(checkpoint)
    return kept


def _moves(checkpoint: Checkpoint) -> bool:
    try:
        return stamp(checkpoint) != checkpoint.stamp
    except CheckpointError:
        return True


def _with_runs(found: list[Checkpoint], run: str | None) -> list[tuple[Checkpoint, str]]:
    """Each with its run's name, such that no two runs share one."""
    folders = [run_folder(c.path) for c in found]
    of_runs = {f for c, f in zip(found, folders, strict=True) if c.anchor is None}
    names = run_names(of_runs)
    return [
        (c, c.run if c.anchor is not None else run or names[f])
        for c, f in zip(found, folders, strict=True)
    ]


def _order(checkpoint: Checkpoint) -> tuple[object, ...]:
    """Anchors last; by run, then step or epoch; those that say neither after those that do."""
    step, epoch = checkpoint.step, checkpoint.epoch
    return (
        checkpoint.anchor is not None,
        natural_key(checkpoint.run),
        step is None and epoch is None,
        -1 if step is None else step,
        -1 if epoch is None else epoch,
        natural_key(checkpoint.name),
    )


def _check(
    patterns: Sequence[str | Path],
    kept: list[Checkpoint],
    found: list[Checkpoint],
    skipped: Skipped,
) -> None:
    where = ", ".join(map(str, patterns))
    if not kept:
        reasons = "; ".join(f"{path.name}: {reason}" for path, reason in skipped[:3])
        if found:
            raise UsageError(
                f"none of {len(found)} checkpoints is left by --every, --steps and --epochs",
                where=where,
                mend=reasons or f"they are: {', '.join(c.name for c in found[:5])}",
            )
        raise UsageError(
            "no checkpoints found" + (f" (skipped {reasons})" if reasons else ""),
            where=where,
            mend=f"known endings: {', '.join(_SUFFIXES)}, and Hugging Face folders",
        )
    names: dict[str, Checkpoint] = {}
    for checkpoint in kept:
        other = names.setdefault(checkpoint.name, checkpoint)
        if other is not checkpoint:
            raise UsageError(
                f"two checkpoints would be called {checkpoint.name}",
                where=f"{other.path}, {checkpoint.path}",
                mend="leave --run out, or sweep them apart",
            )
