"""Fetch a published data set: download, check the digest, unpack safely, read it once."""

from __future__ import annotations

import gzip
import hashlib
import secrets
import shutil
import stat
import subprocess
import tarfile
import urllib.error
import urllib.parse
import urllib.request
import zipfile
import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from fastclip.errors import DataError, UsageError
from fastclip.stimuli import DATASETS
from fastclip.stimuli.cue_conflict import IN_REPOSITORY
from fastclip.stimuli.info import INFOS
from fastclip.stimuli.sources import folder_with
from fastclip.stimuli.verify import CIFAR_MD5

TIMEOUT = 60  # seconds without a byte
BLOCK = 1 << 20
Say = Callable[[str], None]


@dataclass(frozen=True)
class Archive:
    """Where a published set is fetched from.

    Attributes:
        url: of the archive.
        file: the archive's file name; its ending tells how to unpack it.
        folder: the set's folder afterwards.
        marker: a file or folder at the top of the set.
        md5: of the archive as published, or None where nobody publishes one.
        within: unpack only what has this path in it.
    """

    url: str
    file: str
    folder: str
    marker: str
    md5: str | None = None
    within: str = ""


ARCHIVES = {
    "tid2013": Archive(
        "https://www.ponomarenko.info/tid2013/tid2013.rar",
        "tid2013.rar",
        "tid2013",
        "mos_with_names.txt",
    ),
    "kadid10k": Archive(
        "https://datasets.vqa.mmsp-kn.de/archives/kadid10k.zip",
        "kadid10k.zip",
        "kadid10k",
        "dmos.csv",
    ),
    # A commit, not a branch: what is fetched today is what is fetched next year.
    "cue-conflict": Archive(
        "https://github.com/rgeirhos/texture-vs-shape/archive/"
        "1b69c6a445c3348927139edb30a5134521fd4b03.zip",
        "texture-vs-shape.zip",
        "cue-conflict",
        IN_REPOSITORY.parts[0],
        within=IN_REPOSITORY.as_posix() + "/",
    ),
    "cifar100": Archive(
        "https://www.cs.toronto.edu/~kriz/cifar-100-python.tar.gz",
        "cifar-100-python.tar.gz",
        "cifar-100-python",
        "test",
        md5=CIFAR_MD5["cifar-100-python.tar.gz"],
    ),
}

RAR_TOOLS: tuple[tuple[str, ...], ...] = (
    ("bsdtar", "-x", "-f", "{archive}", "-C", "{folder}"),
    ("unrar", "x", "-idq", "-o+", "{archive}", "{folder}/"),
    ("7z", "x", "-y", "-bso0", "-o{folder}", "{archive}"),
)
"""Programs that unpack RAR, in order of preference; Python has none."""


def licence_of(name: str) -> str:
    """What to show a user before anything is downloaded.

    Raises:
        UsageError: this set cannot be fetched; says which can.
    """
    if name not in ARCHIVES:
        mend = f"sets that can be fetched: {', '.join(ARCHIVES)}"
        if name == "imagenet":
            mend = f"ask for it at {INFOS[name].source} and give its folder; {mend}"
        raise UsageError(f"the data set '{name}' cannot be fetched", mend=mend)
    info = INFOS[name]
    return (
        f"{info.title}\n  source:  {info.source}\n  archive: {ARCHIVES[name].url}\n"
        f"  size:    {info.size}\n  licence: {info.licence}"
    )


def prepare(
    name: str,
    dest: Path,
    *,
    accept_licence: bool,
    url: str | None = None,
    say: Say = lambda line: None,
) -> Path:
    """Fetch a published set into `dest/<its folder>` and check that it is complete.

    The folder appears only when everything is right; until then all is in a temporary folder
    beside it, which is removed on failure.

    Args:
        name: "tid2013", "kadid10k", "cue-conflict" or "cifar100".
        dest: where data sets are kept (`--data-dir`); made when it is not there.
        accept_licence: the user has seen `licence_of(name)` and agrees.
        url: a mirror; the digest expected stays the same.
        say: called with a line for each step.

    Returns:
        The set's folder.

    Raises:
        UsageError: unknown set, licence not accepted, or the folder is there already.
        DataError: download failed, wrong digest, unsafe or damaged archive, incomplete set.
    """
    licence = licence_of(name)
    if not accept_licence:
        raise UsageError(
            f"the licence of '{name}' has not been accepted\n{licence}",
            mend="agree when asked, or with --yes",
        )
    archive = ARCHIVES[name]
    target = dest / archive.folder
    if target.exists():
        raise UsageError(
            "this folder is there already",
            where=target,
            mend=f"check it with `fastclip data verify {name} --data-dir {dest}`, or remove it",
        )
    if archive.file.endswith(".rar"):
        _rar_command()  # before 900 MB are fetched
    try:
        with _temporary_folder(dest) as work:
            file = work / archive.file
            digests = download(url or archive.url, file, say)
            _check_digest(archive, digests, url or archive.url, say)
            unpacked = work / "unpacked"
            unpacked.mkdir()
            say(f"unpacking {archive.file}")
            unpack(file, unpacked, within=archive.within)
            _checked_folder(unpacked, archive, name, say).rename(target)
    except OSError as error:
        raise DataError(
            f"cannot write the data set: {error.strerror or error}",
            where=error.filename or dest,
            mend="choose a folder with room that you may write to",
        ) from error
    return target


def download(url: str, file: Path, say: Say = lambda line: None) -> dict[str, str]:
    """Fetch `url` into `file`; returns its MD5 and SHA-256, both hex, by name.

    Raises:
        DataError: not reachable, refused, or cut short.
    """
    if urllib.parse.urlsplit(url).scheme not in ("http", "https"):
        raise UsageError(f"'{url}' is not an http or https address", where="--url")
    md5, sha256 = hashlib.md5(usedforsecurity=False), hashlib.sha256()
    try:
        with urllib.request.urlopen(url, timeout=TIMEOUT) as reply, file.open("wb") as out:
            length = int(reply.headers.get("Content-Length") or 0)
            say(f"downloading {url}" + (f" ({length / 1e6:.0f} MB)" if length else ""))
            while block := reply.read(BLOCK):
                out.write(block)
                md5.update(block)
                sha256.update(block)
            received = out.tell()
    except (urllib.error.URLError, TimeoutError, ConnectionError) as error:
        refused = isinstance(error, urllib.error.HTTPError)
        detail = error if refused else getattr(error, "reason", error)
        raise DataError(f"the download failed: {detail}", where=url, mend=_BY_HAND) from error
    if length and received != length:
        raise DataError(
            f"the download was cut short: {received} of {length} bytes", where=url, mend=_BY_HAND
        )
    return {"md5": md5.hexdigest(), "sha256": sha256.hexdigest()}


_BY_HAND = (
    "try again, give a mirror with --url, or fetch and unpack it yourself and name its folder "
    "with --data NAME=PATH"
)


def unpack(file: Path, folder: Path, within: str = "") -> None:
    """Unpack a `.tar.gz`, `.zip` or `.rar` below `folder`, and nothing outside it.

    Args:
        within: unpack only members with this in their path (zip only).

    Raises:
        DataError: damaged, or a member points outside the folder or is a link.
    """
    try:
        if file.suffix == ".zip":
            _unpack_zip(file, folder, within)
        elif file.suffix == ".rar":
            _unpack_rar(file, folder)
        else:
            with tarfile.open(file) as archive:
                archive.extractall(folder, filter="data")
    except (zipfile.BadZipFile, tarfile.TarError, EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise DataError(
            f"the archive is damaged or unsafe: {error}", where=file.name, mend=_BY_HAND
        ) from error


def _unpack_zip(file: Path, folder: Path, within: str) -> None:
    with zipfile.ZipFile(file) as archive:
        members = [member for member in archive.infolist() if within in member.filename]
        for member in members:
            path = PurePosixPath(member.filename)
            link = stat.S_ISLNK(member.external_attr >> 16)
            if path.is_absolute() or ".." in path.parts or "\\" in member.filename or link:
                raise zipfile.BadZipFile(f"'{member.filename}' points outside the folder")
        archive.extractall(folder, members)


def _unpack_rar(file: Path, folder: Path) -> None:
    command = [part.format(archive=file, folder=folder) for part in _rar_command()]
    done = subprocess.run(command, capture_output=True, text=True, errors="replace")
    if done.returncode:
        last = (done.stderr or done.stdout).strip().splitlines()[-1:] or ["no message"]
        raise DataError(
            f"{command[0]} cannot unpack the archive: {last[0]}", where=file.name, mend=_BY_HAND
        )
    if any(path.is_symlink() for path in folder.rglob("*")):
        raise DataError("the archive is unsafe: it holds links", where=file.name, mend=_BY_HAND)


def _rar_command() -> Sequence[str]:
    for command in RAR_TOOLS:
        if shutil.which(command[0]):
            return command
    raise DataError(
        "this set is a RAR archive, and no program that unpacks one is installed",
        mend="install one of bsdtar (libarchive-tools), unrar or 7z with RAR support, "
        "or unpack it elsewhere and name its folder with --data NAME=PATH",
    )


def _check_digest(archive: Archive, digests: dict[str, str], url: str, say: Say) -> None:
    say(f"sha256 {digests['sha256']}")
    if archive.md5 is None:
        say("no digest of this archive is published, so there is none to compare with")
    elif digests["md5"] != archive.md5:
        raise DataError(
            f"the archive is not the published one: MD5 {digests['md5']}, not {archive.md5}",
            where=url,
            mend=_BY_HAND,
        )
    else:
        say(f"md5 {digests['md5']}, as published")


def _checked_folder(unpacked: Path, archive: Archive, name: str, say: Say) -> Path:
    """The set's own folder among what was unpacked, once it is known to be complete."""
    try:
        top = folder_with(unpacked, archive.marker, name)
        root = top / archive.within if archive.within else top
        dataset = DATASETS.get(name)(root, name=name)
    except DataError as error:
        raise DataError(
            f"what was unpacked is not the published set: {error.what}",
            where=archive.file,
            mend=_BY_HAND,
        ) from error
    say(f"complete: {dataset.found} of {dataset.expected} rows")
    return root


@contextmanager
def _temporary_folder(parent: Path) -> Iterator[Path]:
    parent.mkdir(parents=True, exist_ok=True)
    folder = parent / f".tmp-{secrets.token_hex(6)}"
    folder.mkdir()
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
