"""DALI on the CPU decodes what Pillow decodes, and its views are views like any other."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from make_sets import draw
from PIL import Image

from fastclip.distortions.base import Distortion
from fastclip.distortions.levels import parse
from fastclip.errors import DataError, RefusalError, UsageError
from fastclip.evaluators.base import ViewRequest
from fastclip.stimuli.base import PIXEL_DEFINITION, Dataset, DatasetInfo, PictureSource, PixelSpec
from fastclip.stimuli.decode import decode_rgb
from fastclip.stimuli.sources import ArrayPictures, FilePictures
from fastclip.stimuli.views import ViewStore

pytest.importorskip("nvidia.dali")
from dali_helpers import cache, compiled_operator, gpus

from fastclip.stimuli.dali import decoder as decoders
from fastclip.stimuli.dali import operator
from fastclip.stimuli.dali.pipelines import Plan, reading
from fastclip.stimuli.dali.runner import Runner

SPEC = PixelSpec(24, 24)
NOISE = parse("gaussian_noise:sigma=0.1", seed=3)
BLUR = parse("gaussian_blur:sigma=1")
JPEG = parse("jpeg_compression:quality=20")
CASES = [
    (None, ""),
    (NOISE, "native"),
    (NOISE, "input"),
    (BLUR, "native"),
    (JPEG, "native"),
    (JPEG, "input"),
]

_exif = Image.Exif()
_exif[0x0112] = 6
FILES: dict[str, tuple[str, tuple[int, int], str, dict[str, object]]] = {
    "444.jpg": ("RGB", (40, 30), "JPEG", {"quality": 90, "subsampling": 0}),
    "422.jpg": ("RGB", (41, 29), "JPEG", {"quality": 80, "subsampling": 1}),
    "420.jpg": ("RGB", (39, 31), "JPEG", {"quality": 70, "subsampling": 2}),
    "progressive.jpg": ("RGB", (65, 33), "JPEG", {"progressive": True}),
    "grey.jpg": ("L", (33, 40), "JPEG", {}),
    "cmyk.jpg": ("CMYK", (37, 30), "JPEG", {}),
    "turned.jpg": ("RGB", (20, 48), "JPEG", {"exif": _exif}),
    "a.png": ("RGB", (31, 30), "PNG", {}),
    "palette.png": ("P", (31, 30), "PNG", {}),
    "alpha.png": ("RGBA", (31, 30), "PNG", {}),
    "grey.png": ("L", (31, 50), "PNG", {}),
    "a.bmp": ("RGB", (30, 35), "BMP", {}),
    "a.webp": ("RGB", (30, 36), "WEBP", {"lossless": True}),
    "png.JPEG": ("RGB", (28, 28), "PNG", {}),
}


@pytest.fixture
def compiled() -> None:
    """The operator, from the cache of all tests."""
    operator.load(cache())


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("set")
    for number, (name, (mode, size, kind, options)) in enumerate(FILES.items()):
        Image.fromarray(draw(number, size)).convert(mode).save(root / name, kind, **options)
    (root / "copy.png").write_bytes((root / "a.png").read_bytes())
    return root


def dataset(pictures: PictureSource) -> Dataset:
    info = DatasetInfo("drawn", "drawn", "here", "none", "small", "@misc{drawn}")
    return Dataset("drawn", "drawn", info, pictures, len(pictures), len(pictures), "")


def source(folder: Path) -> FilePictures:
    return FilePictures(folder, sorted(path.name for path in folder.iterdir()))


def array_source(path: Path) -> ArrayPictures:
    path.write_bytes(b"stands for the pickle")
    planes = np.stack([draw(50 + row, (32, 32)).transpose(2, 0, 1) for row in range(70)])
    return ArrayPictures(planes, [f"p{i}" for i in range(70)], path, planes_first=True)


def rows(store: ViewStore, request: ViewRequest, size: int = 4) -> npt.NDArray[np.uint8]:
    view = store.open(request)
    count = view.pixels.shape[0]
    batches = [view.pixels[lo : min(lo + size, count)] for lo in range(0, count, size)]
    return np.concatenate(batches)[view.index]


@pytest.mark.parametrize("name", FILES)
def test_every_kind_of_file_decodes_as_pillow_has_it(folder: Path, name: str) -> None:
    encoded = (folder / name).read_bytes()
    (decoded,) = Runner(Plan(1, 1)).run(pictures=[np.frombuffer(encoded, np.uint8)])
    expected = np.asarray(Image.open(io.BytesIO(encoded)).convert("RGB"))
    np.testing.assert_array_equal(decoded, expected)


def test_deep_grey_is_scaled_where_pillow_clips() -> None:
    """The one difference that is known."""
    buffer = io.BytesIO()
    Image.fromarray(np.arange(0, 65536, 64, dtype=np.uint16).reshape(32, 32)).save(buffer, "PNG")
    (decoded,) = Runner(Plan(1, 1)).run(pictures=[np.frombuffer(buffer.getvalue(), np.uint8)])
    assert decoded[0, 8, 0] == 2 and decode_rgb(buffer.getvalue(), "x")[0, 8, 0] == 255


def test_the_pipeline_that_reads_gives_what_the_fed_one_gives(folder: Path) -> None:
    paths = sorted(folder.iterdir())
    plan = Plan(4, 2)
    ours, theirs = Runner(plan), reading(paths, plan)
    for lo in range(0, len(paths), 4):
        batch = paths[lo : lo + 4]
        (read,) = theirs.run()
        wanted = ours.run(pictures=[np.fromfile(path, np.uint8) for path in batch])
        assert len(read) == 4  # the last picture fills the last batch
        for got, want in zip(read, wanted, strict=False):
            np.testing.assert_array_equal(np.asarray(got), want)
    (again,) = theirs.run()
    np.testing.assert_array_equal(np.asarray(again[0]), Image.open(paths[0]).convert("RGB"))


@compiled_operator
@pytest.mark.usefixtures("compiled")
@pytest.mark.parametrize(("distortion", "noise_at"), CASES)
def test_views_have_the_bytes_of_the_reference(
    folder: Path, tmp_path: Path, distortion: Distortion | None, noise_at: str
) -> None:
    """Stored or streamed, files or arrays."""
    for pictures in (source(folder), array_source(tmp_path / "test")):
        request = ViewRequest(dataset(pictures), SPEC, distortion, noise_at)
        wanted = rows(ViewStore(tmp_path / "pillow"), request)
        for mode in ("resident", "generated"):
            store = ViewStore(tmp_path / mode, mode, threads=2, decoder="dali")
            assert store.open(request).mode == mode
            np.testing.assert_array_equal(rows(store, request), wanted)
            np.testing.assert_array_equal(rows(store, request, 100), wanted)


def test_without_a_compiler_the_bytes_are_the_same(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def load(_: Path) -> None:
        raise RefusalError("no compiler")

    monkeypatch.setattr(operator, "load", load)
    request = ViewRequest(dataset(source(folder)), SPEC, NOISE, "native")
    wanted = rows(ViewStore(tmp_path / "pillow"), request)
    np.testing.assert_array_equal(rows(ViewStore(decoder="dali"), request), wanted)


def test_another_decoder_is_another_definition(folder: Path, tmp_path: Path) -> None:
    from nvidia.dali import __version__

    request = ViewRequest(dataset(source(folder)), SPEC)
    stores = [ViewStore(decoder=name) for name in ("pillow", "dali", "dali-resize")]
    assert len({store.key(request) for store in stores}) == 3
    definitions = [store.pixel_definition for store in stores]
    assert definitions == [
        PIXEL_DEFINITION,
        f"dali-{__version__}-cpu/rgb/pillow12-horizontal-then-vertical/1",
        f"dali-{__version__}-cpu/rgb/dali-width-then-height/1",
    ]
    for store in stores:
        store.open(request)
    assert len(list((stores[0].cache_dir / "views").iterdir())) == 3


@pytest.mark.parametrize("damage", ["truncated", "no picture", "empty"])
def test_a_bad_picture_is_named(folder: Path, tmp_path: Path, damage: str) -> None:
    root = tmp_path / "bad"
    root.mkdir()
    for path in folder.iterdir():
        (root / path.name).write_bytes(path.read_bytes())
    whole = (root / "422.jpg").read_bytes()
    wrong = {"truncated": whole[: len(whole) // 2], "no picture": b"text", "empty": b""}[damage]
    (root / "422.jpg").write_bytes(wrong)
    for name in ("dali", "dali-resize"):
        with pytest.raises(DataError, match="DALI cannot decode") as caught:
            rows(ViewStore(tmp_path / name, decoder=name), ViewRequest(dataset(source(root)), SPEC))
        assert caught.value.where == str(root / "422.jpg")
    with pytest.raises(DataError, match=r"422\.jpg"):
        ViewStore(decoder="dali").check_pictures([source(root)])


def test_what_is_too_narrow_is_named(tmp_path: Path) -> None:
    root = tmp_path / "narrow"
    root.mkdir()
    Image.new("RGB", (40, 40)).save(root / "a.png")
    Image.new("RGB", (1, 4000)).save(root / "b.png")
    for name in ("dali", "dali-resize"):
        request = ViewRequest(dataset(source(root)), PixelSpec(24, 24, "longest"))
        with pytest.raises(DataError, match="too narrow") as caught:
            rows(ViewStore(tmp_path / name, decoder=name), request)
        assert caught.value.where == "b.png"


def test_a_batch_that_fails_as_a_whole_is_not_blamed_on_a_picture(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = Runner.run

    def broken(self: Runner, **feeds: list[object]) -> list[object]:
        if len(feeds["pictures"]) > 1:
            raise RuntimeError("out of memory")
        return run(self, **feeds)

    monkeypatch.setattr(Runner, "run", broken)
    with pytest.raises(RefusalError, match="each of which it can decode alone: out of memory"):
        rows(ViewStore(decoder="dali"), ViewRequest(dataset(source(folder)), SPEC))


def test_a_runner_goes_on_after_an_error(folder: Path) -> None:
    runner = Runner(Plan(2, 1))
    good = [np.fromfile(folder / "a.png", np.uint8)]
    with pytest.raises(RuntimeError):
        runner.run(pictures=[good[0][:200]])
    (decoded,) = runner.run(pictures=good)
    assert decoded.shape == (30, 31, 3)


@pytest.mark.parametrize("mode", ["shortest", "longest", "squash"])
@pytest.mark.parametrize("interpolation", ["bicubic", "bilinear"])
def test_dalis_own_resize_is_near_and_in_place(
    folder: Path, tmp_path: Path, mode: str, interpolation: str
) -> None:
    """Two passes, explicit sizes and corners: nothing is shifted or of another size."""
    spec = PixelSpec(24, 24, mode, interpolation, fill=77)
    for pictures in (source(folder), array_source(tmp_path / "test")):
        request = ViewRequest(dataset(pictures), spec)
        reference = rows(ViewStore(), request).astype(int)
        theirs = rows(ViewStore(decoder="dali-resize"), request)
        difference = np.abs(theirs - reference)
        shifted = np.abs(np.roll(reference, 1, axis=2) - reference)
        assert difference.max() <= 12 and difference.mean() < 0.3 < shifted.mean() / 10
        bars = [(made == 77).all(axis=(2, 3)) for made in (theirs, reference)]
        assert np.array_equal(*bars) and bars[0].any() == (mode == "longest" and not pictures.raw)


def test_dalis_resize_takes_distortions_it_can_draw_before(folder: Path, tmp_path: Path) -> None:
    request = ViewRequest(dataset(source(folder)), SPEC, JPEG, "native")
    with pytest.raises(UsageError, match="jpeg_compression before") as caught:
        ViewStore(decoder="dali-resize").open(request)
    assert "--decoder dali," in str(caught.value)
    clean = ViewStore(decoder="dali-resize")
    got = rows(clean, ViewRequest(dataset(source(folder)), SPEC, JPEG, "input"))
    assert got.shape == (len(FILES) + 1, 24, 24, 3)


def test_unknown_and_impossible_decoders(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UsageError, match="nvjpeg") as caught:
        ViewStore(decoder="nvjpeg")
    assert "pillow, dali, dali-mixed" in str(caught.value)
    if gpus() == 0:
        with pytest.raises(RefusalError, match="needs a CUDA device"):
            ViewStore(decoder="dali-mixed")
    monkeypatch.setattr(decoders, "find_spec", lambda _: None)
    with pytest.raises(RefusalError, match="not installed") as refused:
        ViewStore(decoder="dali")
    assert "fastclip[dali]" in str(refused.value)
