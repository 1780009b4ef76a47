"""Where pictures come from: files in a folder, or rows of one array."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np

from fastclip.errors import DataError
from fastclip.stimuli.base import PictureSource, UInt8Array

PICTURE_SUFFIXES = frozenset({".png", ".jpg", ".jpeg", ".bmp", ".webp", ".tif", ".tiff"})


class FilePictures(PictureSource):
    """Pictures that are files.

    Args:
        root: folder the files are under.
        names: names within the set, with forward slashes; stable over machines.
        files: the files' own paths below `root`, where they differ from `names` (copies of
            TID2013 differ in upper and lower case).
    """

    def __init__(self, root: Path, names: Sequence[str], files: Sequence[str] | None = None):
        self.root = root
        self.names = tuple(names)
        self.files = self.names if files is None else tuple(files)

    def __len__(self) -> int:
        return len(self.names)

    def name(self, row: int) -> str:
        return self.names[row]

    def stat(self, row: int) -> tuple[str, int, int]:
        path = self.root / self.files[row]
        try:
            found = path.stat()
        except OSError as error:
            raise _unreadable(path, error) from error
        return str(path), found.st_size, found.st_mtime_ns

    def encoded(self, row: int) -> bytes:
        path = self.root / self.files[row]
        try:
            return path.read_bytes()
        except OSError as error:
            raise _unreadable(path, error) from error

    def decode(self, row: int, encoded: bytes) -> UInt8Array:
        from fastclip.stimuli.decode import decode_rgb

        return decode_rgb(encoded, str(self.root / self.files[row]))


class ArrayPictures(PictureSource):
    """Pictures that are rows of one array: "encoded" means the row's bytes as stored.

    Args:
        array: uint8 `[N, h, w, 3]`, or `[N, 3, h, w]` with `planes_first` (CIFAR's layout).
        names: one per row.
        path: the file the array comes from.
    """

    raw = True

    def __init__(
        self, array: UInt8Array, names: Sequence[str], path: Path, *, planes_first: bool = False
    ):
        self.array = array
        self.names = tuple(names)
        self.path = path
        self.planes_first = planes_first

    def __len__(self) -> int:
        return len(self.array)

    def name(self, row: int) -> str:
        return self.names[row]

    def stat(self, row: int) -> tuple[str, int, int]:
        found = self.path.stat()
        return str(self.path), found.st_size, found.st_mtime_ns

    def encoded(self, row: int) -> bytes:
        return bytes(self.array[row].tobytes())

    def decode(self, row: int, encoded: bytes) -> UInt8Array:
        picture = np.frombuffer(encoded, np.uint8).reshape(self.array.shape[1:])
        return np.ascontiguousarray(picture.transpose(1, 2, 0)) if self.planes_first else picture


class Folder:
    """The files below a folder, looked up without regard to upper and lower case.

    One listing answers every look-up, so a set of ten thousand files costs one walk.

    Args:
        root: an existing folder.
        below: sub-folders to list (any case); all of `root` when empty.
    """

    def __init__(self, root: Path, below: Iterable[str] = ()):
        self.root = root
        wanted = {name.lower() for name in below}
        tops = [e.name for e in os.scandir(root) if e.is_dir() and e.name.lower() in wanted]
        starts = [root / top for top in sorted(tops)] if wanted else [root]
        self._files: dict[str, list[str]] = {}
        for start in starts:
            for folder, _, files in os.walk(start, followlinks=True):
                for name in files:
                    relative = (Path(folder) / name).relative_to(root).as_posix()
                    self._files.setdefault(relative.lower(), []).append(relative)

    def find(self, relative: str) -> str | None:
        """The path below `root`, as the file system spells it, or None.

        Raises:
            DataError: several files differ only in case and not all hold the same bytes.
        """
        found = sorted(self._files.get(relative.lower(), ()))
        if len(found) > 1 and len({(self.root / name).read_bytes() for name in found}) > 1:
            raise DataError(
                f"{len(found)} different files are called '{relative}' in upper or lower case: "
                f"{some(found)}",
                where=self.root,
                mend="keep the right one",
            )
        return found[0] if found else None

    def twins(self) -> list[str]:
        """Files whose names differ from another's only in case."""
        return sorted(n for files in self._files.values() for n in sorted(files)[1:])

    def pictures(self) -> list[str]:
        """All picture files as the file system spells them, sorted."""
        files = (name for names in self._files.values() for name in names)
        return sorted(name for name in files if Path(name).suffix.lower() in PICTURE_SUFFIXES)


def some(names: Iterable[str], limit: int = 5) -> str:
    """The first few of `names`, and how many more there are."""
    listed = list(names)
    rest = f" and {len(listed) - limit} more" if len(listed) > limit else ""
    return ", ".join(listed[:limit]) + rest


def counted(count: int, noun: str) -> str:
    """ "1 picture", "2 pictures"."""
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"


def check_complete(
    name: str, path: Path, found: int, expected: int, problems: Sequence[str], partial: bool
) -> None:
    """Refuse a set that is not what it should be, unless it was asked for with `partial`.

    Raises:
        DataError: nothing usable at all, or `found != expected` without `partial`.
    """
    listed = "; ".join(problems) if problems else "nothing else is known to be wrong"
    if found == 0:
        raise DataError(
            f"no usable picture in the data set '{name}' ({listed})",
            where=path,
            mend="give the folder that holds the set in its published layout",
        )
    if found != expected and not partial:
        raise DataError(
            f"the data set '{name}' is incomplete: {found} of {expected} rows ({listed})",
            where=path,
            mend="fetch what is missing, or use what is there with --partial; "
            "every row is then marked so",
        )


def folder_with(path: Path, marker: str, name: str) -> Path:
    """The folder that holds the file or folder `marker` (any case): `path` or one just below.

    Raises:
        DataError: there is no such folder, or several.
    """
    if not path.is_dir():
        raise DataError(
            f"the data set '{name}' needs a folder, and there is none here",
            where=path,
            mend="check the path given with --data NAME=PATH or --data-dir",
        )
    below = sorted(child for child in path.iterdir() if child.is_dir())
    for folders in ([path], below):
        holding = [folder for folder in folders if spelled(folder, marker)]
        if len(holding) == 1:
            return holding[0]
        if holding:
            raise DataError(
                f"several folders here hold '{marker}': {some(f.name for f in holding)}",
                where=path,
                mend=f"give one of them: --data {name}=PATH",
            )
    raise DataError(
        f"the data set '{name}' has no '{marker}' here",
        where=path,
        mend="give the folder that holds the set in its published layout",
    )


def spelled(folder: Path, name: str) -> Path | None:
    """The entry of `folder` called `name` in any case, or None."""
    matches = sorted(e for e in folder.iterdir() if e.name.lower() == name.lower())
    return matches[0] if matches else None


def spread(groups: Sequence[int], limit: int | None) -> list[int]:
    """Rows kept by `limit`: the first of each group, then the second of each, and so on.

    A sorted set cut at its first N rows would hold one class only. Rows stay in their order.

    Args:
        groups: class of each row.
    """
    rows = range(len(groups))
    if limit is None or limit >= len(groups):
        return list(rows)
    seen: dict[int, int] = {}
    rank = []
    for group in groups:
        rank.append(seen.get(group, 0))
        seen[group] = rank[-1] + 1
    return sorted(sorted(rows, key=lambda row: (rank[row], row))[:limit])


def _unreadable(path: Path, error: OSError) -> DataError:
    return DataError(
        f"cannot read a picture: {error.strerror}",
        where=path,
        mend="check that the file is there and that you may read it",
    )
