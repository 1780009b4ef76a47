"""Views: the pictures of a set as a model sees them, made once and kept.

A view is decoded, resized, cropped and distorted once, written to the cache as uint8, and read
from there by every later sweep. Whether it is resident, mapped or generated per batch never
changes a byte.
"""

from __future__ import annotations

import weakref
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from fastclip.errors import DataError, RefusalError
from fastclip.files import digest_of, locked
from fastclip.machine import usable_cores
from fastclip.stimuli.base import PictureSource, Pixels, PixelSpec, View
from fastclip.stimuli.budget import Budget
from fastclip.stimuli.cache import cache_folder, prune
from fastclip.stimuli.decode import stored_mode
from fastclip.stimuli.decoders import DECODERS, DEFAULT
from fastclip.stimuli.maker import Counters, Maker
from fastclip.stimuli.manifest import (
    SOUND,
    SOUND_NOT_RGB,
    UNKNOWN,
    Manifest,
    in_order,
    read_manifest,
)
from fastclip.stimuli.view_file import (
    SUFFIX,
    Header,
    read_header,
    read_index,
    read_pixels,
    write_view,
)

if TYPE_CHECKING:
    from fastclip.evaluators.base import ViewRequest


@dataclass(frozen=True)
class PlannedView:
    """What `open` will do for a request.

    Attributes:
        key: the view's key.
        title: set, input size, distortion.
        rows: pictures of the set.
        bytes: at most so many, when no two pictures are alike.
        mode: "resident", "mapped" or "generated".
        cached: whether its file is there, so that nothing will be decoded.
    """

    key: str
    title: str
    rows: int
    bytes: int
    mode: str
    cached: bool


@dataclass(frozen=True)
class PictureCheck:
    """What decoding every picture of a set found.

    Attributes:
        bad: row -> why it cannot be decoded.
        not_rgb: rows stored in another mode than RGB: fastclip converts them before resizing,
            open_clip after.
    """

    bad: dict[int, str]
    not_rgb: tuple[int, ...]


class ViewStore:
    """Makes views, keeps them in the cache, and opens them.

    Args:
        cache_dir: the cache folder; None for `FASTCLIP_CACHE`, else `~/.cache/fastclip`.
        memory: "auto", a size such as "4GiB", or "resident", "mapped", "generated".
        threads: for reading, decoding and resizing; 0 for all cores.
        decoder: a name in `fastclip.stimuli.decoders.DECODERS`.
        device: where a decoder that uses a GPU finds it ("cuda:1").

    Raises:
        UsageError: `memory` or `decoder` is none of these.
        RefusalError: the decoder cannot run here.
    """

    def __init__(
        self,
        cache_dir: Path | None = None,
        memory: str = "auto",
        threads: int = 0,
        decoder: str = DEFAULT,
        device: str = "cuda",
    ) -> None:
        self.cache_dir = cache_folder(cache_dir)
        self.threads = threads or usable_cores()
        self.decoder = DECODERS.get(decoder)(self.threads, device, self.cache_dir)
        self.counters = Counters()
        self.budget = Budget(memory, self.cache_dir)
        self._manifests: weakref.WeakKeyDictionary[PictureSource, Manifest] = (
            weakref.WeakKeyDictionary()
        )
        self._open: weakref.WeakValueDictionary[str, View] = weakref.WeakValueDictionary()

    @property
    def pixel_definition(self) -> str:
        """Identity of decode, resize and crop: part of every key and every protocol."""
        return self.decoder.definition

    def manifest(self, pictures: PictureSource) -> Manifest:
        """The set's manifest; files that changed are read and hashed, nothing is decoded.

        Raises:
            DataError: a file cannot be read.
        """
        if pictures not in self._manifests:
            with _writing(self.cache_dir):
                manifest = read_manifest(pictures, self.cache_dir, self.threads)
            self.counters.add(hashed=manifest.hashed)
            self._manifests[pictures] = manifest
        return self._manifests[pictures]

    def pictures_digest(self, pictures: PictureSource) -> str:
        """Hex digest of a set's names and encoded bytes, in order."""
        return self.manifest(pictures).digest

    def check_pictures(
        self, sources: Sequence[PictureSource], *, skip_bad: bool = False
    ) -> list[PictureCheck]:
        """Decode every picture that was never decoded before; once per file, then remembered.

        Args:
            sources: the sets.
            skip_bad: report bad pictures instead of raising; the caller leaves those rows out
                of its data set before it asks for views.

        Returns:
            One entry per source.

        Raises:
            DataError: pictures are truncated or corrupt; names all of them.
        """
        checks = [self._check(source) for source in sources]
        reasons = [reason for check in checks for reason in check.bad.values()]
        if reasons and not skip_bad:
            count = "1 picture" if len(reasons) == 1 else f"{len(reasons)} pictures"
            raise DataError(
                f"{count} cannot be decoded:\n" + "\n".join(f"  {r}" for r in reasons),
                mend="fetch them again, or leave them out with --skip-bad-pictures",
            )
        return checks

    def plan(self, requests: Sequence[ViewRequest]) -> list[PlannedView]:
        """What `open` would do for these requests in this order; decodes nothing.

        Raises:
            DataError: a file cannot be read.
        """
        planned: dict[str, PlannedView] = {}
        memory = disk = 0
        for request in requests:
            key = self.key(request)
            if key in planned:
                continue
            size, header = _most_bytes(request), read_header(self._path(key))
            on_disk = header is not None and header.stored
            mode = self.budget.mode(size, on_disk, memory, disk)
            memory += size if mode == "resident" else 0
            disk += 0 if on_disk or mode == "generated" else size
            cached = header is not None and (on_disk or mode == "generated")
            rows = len(request.dataset.pictures)
            planned[key] = PlannedView(key, _title(request), rows, size, mode, cached)
        return list(planned.values())

    def key(self, request: ViewRequest) -> str:
        """Digest of everything the view's bytes depend on."""
        return digest_of(
            {
                "set": self.pictures_digest(request.dataset.pictures),
                "pixels": asdict(request.pixels),
                "definition": self.pixel_definition,
                "distortion": request.distortion and request.distortion.identity(),
                "noise_at": request.noise_at if request.distortion else "",
            }
        )

    def maker(self, request: ViewRequest) -> Maker:
        """What makes the request's pictures, past the cache.

        Raises:
            DataError: a file cannot be read.
        """
        manifest = self.manifest(request.dataset.pictures)
        return self.decoder.maker(request, manifest, self.counters, self.open)

    def open(self, request: ViewRequest) -> View:
        """The view: from the cache, or made and put there. Open views are shared.

        Raises:
            DataError: a picture cannot be decoded or is too narrow to be resized.
            RefusalError: the cache cannot be written (disk full); nothing half is left there.
        """
        key = self.key(request)
        view = self._open.get(key)
        if view is None:
            view = self._open_file(request, key)
            self._open[key] = view
        return view

    def _open_file(self, request: ViewRequest, key: str) -> View:
        path = self._path(key)
        header = read_header(path)
        on_disk = header is not None and header.stored
        mode = self.budget.mode(_most_bytes(request), on_disk)
        maker = self.maker(request)
        if not _serves(header, mode):
            # Of several processes on a machine one makes it, and the others find it made.
            with _writing(self.cache_dir), locked(self.cache_dir / "locks" / f"view-{key}"):
                header = read_header(path)
                if not _serves(header, mode):
                    header = self._make(maker, path, key, stored=mode != "generated")
        assert header is not None
        index = read_index(path, header)
        if mode == "generated":
            maker.prepare()
            pixels: Pixels = maker.generated(index, header.shape)
        else:
            array = read_pixels(path, header, mapped=mode == "mapped")
            if mode == "resident":
                self.budget.resident += array.nbytes
                weakref.finalize(array, self._release, array.nbytes)
            pixels = array
        return View(key, pixels, index, mode)

    def _release(self, size: int) -> None:
        self.budget.resident -= size

    def _make(self, maker: Maker, path: Path, key: str, *, stored: bool) -> Header:
        prune(self.cache_dir)  # only what a killed process left
        maker.prepare()
        rows, same_as = maker.manifest.distinct
        pictures = maker.pictures(rows.tolist())
        spec = maker.request.pixels
        size = (spec.height, spec.width)
        with _writing(self.cache_dir):
            write_view(path, key, _title(maker.request), pictures, same_as, size, stored=stored)
        header = read_header(path)
        assert header is not None  # it was written a moment ago
        return header

    def _check(self, source: PictureSource) -> PictureCheck:
        manifest = self.manifest(source)
        checked = list(manifest.checked)
        bad: dict[int, str] = {}

        def decode(row: int) -> str:
            encoded = source.encoded(row)
            self.counters.add(decoded=1)
            try:
                source.decode(row, encoded)
            except DataError as error:
                bad[row] = f"{source.name(row)}: {error.what}"
                return UNKNOWN
            # Pixels are no file, though some begin like one.
            return SOUND if source.raw or stored_mode(encoded) == "RGB" else SOUND_NOT_RGB

        unknown = [row for row, letter in enumerate(checked) if letter == UNKNOWN]
        for row, letter in zip(unknown, in_order(decode, unknown, self.threads), strict=True):
            checked[row] = letter
        if unknown:
            with _writing(self.cache_dir):
                manifest.mark(checked)
        not_rgb = tuple(row for row, letter in enumerate(checked) if letter == SOUND_NOT_RGB)
        return PictureCheck(dict(sorted(bad.items())), not_rgb)

    def _path(self, key: str) -> Path:
        return self.cache_dir / "views" / f"{key}{SUFFIX}"


def _serves(header: Header | None, mode: str) -> bool:
    """Whether a view's file is there, with its pixels where the mode reads them."""
    return header is not None and (header.stored or mode == "generated")


def _most_bytes(request: ViewRequest) -> int:
    return len(request.dataset.pictures) * request.pixels.height * request.pixels.width * 3


def _title(request: ViewRequest) -> str:
    spec: PixelSpec = request.pixels
    text = f"{request.dataset.label} {spec.width}x{spec.height} {spec.resize_mode}"
    if request.distortion is None:
        return text
    return f"{text}, {request.distortion.title} at {request.noise_at} size"


@contextmanager
def _writing(folder: Path) -> Iterator[None]:
    """Turn a failed write into a refusal that names the cache."""
    try:
        yield
    except OSError as error:
        raise RefusalError(
            f"cannot write the picture cache: {error.strerror or error}",
            where=folder,
            mend="free some space, name another folder with --cache-dir, or keep no pictures "
            "with --memory generated",
        ) from error
