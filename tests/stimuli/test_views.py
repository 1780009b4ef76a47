"""Views: one set of bytes in three modes, made once, never half."""

from __future__ import annotations

import errno
import io
import os
import time
from hashlib import blake2b
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image

from fastclip.distortions.base import Distortion
from fastclip.distortions.levels import parse
from fastclip.errors import DataError, RefusalError, UsageError
from fastclip.evaluators.base import ViewRequest
from fastclip.stimuli import manifest as manifest_module
from fastclip.stimuli import view_file
from fastclip.stimuli.base import Dataset, DatasetInfo, PixelSpec
from fastclip.stimuli.budget import Budget
from fastclip.stimuli.pixels import preprocess
from fastclip.stimuli.sources import ArrayPictures, FilePictures
from fastclip.stimuli.views import ViewStore

SPEC = PixelSpec(24, 24)
NOISE = parse("gaussian_noise:sigma=0.1", seed=3)
CASES = [(None, ""), (NOISE, "native"), (NOISE, "input")]


def dataset(pictures: FilePictures | ArrayPictures, name: str = "drawn") -> Dataset:
    info = DatasetInfo(name, name, "here", "none", "small", "@misc{drawn}")
    return Dataset(name, name, info, pictures, len(pictures), len(pictures), "")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Ten pictures of several sizes; 8 is a copy of 2, 9 has the pixels of 3 in other bytes."""
    root = tmp_path / "set"
    root.mkdir()
    rng = np.random.default_rng(0)
    for number in range(8):
        array = rng.integers(0, 256, (30 + number, 40, 3), np.uint8)
        Image.fromarray(array).save(root / f"{number}.png")
        if number == 3:
            Image.fromarray(array).save(root / "9.png", compress_level=1)
    (root / "8.png").write_bytes((root / "2.png").read_bytes())
    return root


def source(folder: Path) -> FilePictures:
    return FilePictures(folder, sorted(path.name for path in folder.iterdir()))


def rows(store: ViewStore, request: ViewRequest) -> npt.NDArray[np.uint8]:
    """Every row of the set, through the index, a few at a time as an engine reads them."""
    view = store.open(request)
    count = view.pixels.shape[0]
    batches = [view.pixels[lo : min(lo + 4, count)] for lo in range(0, count, 4)]
    return np.concatenate(batches)[view.index]


@pytest.mark.parametrize(("noise", "noise_at"), CASES)
def test_three_modes_one_set_of_bytes(
    folder: Path, tmp_path: Path, noise: Distortion | None, noise_at: str
) -> None:
    request = ViewRequest(dataset(source(folder)), SPEC, noise, noise_at)
    expected = []
    for name in request.dataset.pictures.names:  # type: ignore[attr-defined]
        encoded = (folder / name).read_bytes()
        key = np.frombuffer(blake2b(encoded, digest_size=32).digest()[:8], "<u8")
        picture = np.asarray(Image.open(folder / name))
        if noise is not None and noise_at == "native":
            picture = noise.apply(picture[None], key)[0]
        small = preprocess([picture], SPEC)
        if noise is not None and noise_at == "input":
            small = noise.apply(small, key)
        expected.append(small[0])
    for mode in ("resident", "mapped", "generated"):
        for threads in (1, 2):
            store = ViewStore(tmp_path / mode, mode, threads)
            assert store.open(request).mode == mode
            assert np.array_equal(rows(store, request), np.stack(expected))


def test_pictures_alike_share_a_row(folder: Path) -> None:
    store = ViewStore()
    clean = store.open(ViewRequest(dataset(source(folder)), SPEC))
    assert clean.pixels.shape == (8, 24, 24, 3)
    assert clean.index.tolist() == [0, 1, 2, 3, 4, 5, 6, 7, 2, 3]
    noisy = store.open(ViewRequest(dataset(source(folder)), SPEC, NOISE, "native"))
    assert noisy.index.tolist() == [0, 1, 2, 3, 4, 5, 6, 7, 2, 8]  # other bytes, other noise


def test_the_second_sweep_decodes_nothing(folder: Path) -> None:
    first = ViewStore(threads=2)
    pictures = source(folder)
    requests = [ViewRequest(dataset(pictures), SPEC, *case) for case in CASES]
    first.check_pictures([pictures])
    before = [rows(first, request) for request in requests]
    assert (first.counters.hashed, first.counters.decoded) == (10, 10 + 9 + 9)
    second = ViewStore()
    again = source(folder)
    second.check_pictures([again])
    after = [rows(second, ViewRequest(dataset(again), SPEC, *case)) for case in CASES]
    assert (second.counters.hashed, second.counters.decoded) == (0, 0)
    assert all(np.array_equal(a, b) for a, b in zip(before, after, strict=True))


def test_noise_after_resizing_decodes_once_for_all_levels(folder: Path) -> None:
    store = ViewStore()
    for sigma in ("0.05", "0.1", "0.2"):
        noise = parse(f"gaussian_noise:sigma={sigma}")
        store.open(ViewRequest(dataset(source(folder)), SPEC, noise, "input"))
    assert store.counters.decoded == 9


def test_only_what_changed_is_hashed_and_the_key_follows(folder: Path) -> None:
    request = ViewRequest(dataset(source(folder)), SPEC)
    before = ViewStore().key(request)
    picture = folder / "5.png"
    changed = Image.fromarray(np.asarray(Image.open(picture))[::-1])
    changed.save(picture)
    store = ViewStore()
    request = ViewRequest(dataset(source(folder)), SPEC)
    assert store.key(request) != before
    assert store.counters.hashed == 1
    os.utime(picture, ns=(0, 0))  # touched, not changed: read again, same digest
    touched = ViewStore()
    assert touched.key(ViewRequest(dataset(source(folder)), SPEC)) == store.key(request)
    assert touched.counters.hashed == 1


def test_a_key_for_every_difference(folder: Path) -> None:
    pictures = dataset(source(folder))
    store = ViewStore()
    requests = [
        ViewRequest(pictures, SPEC),
        ViewRequest(pictures, PixelSpec(24, 24, "squash")),
        ViewRequest(pictures, PixelSpec(24, 24, "shortest", "bilinear")),
        ViewRequest(pictures, SPEC, NOISE, "native"),
        ViewRequest(pictures, SPEC, NOISE, "input"),
        ViewRequest(pictures, SPEC, parse("gaussian_noise:sigma=0.2", seed=3), "input"),
        ViewRequest(pictures, SPEC, parse("gaussian_noise:sigma=0.1", seed=4), "input"),
        ViewRequest(pictures, SPEC, parse("gaussian_noise:sigma=0.1", seed=3, draw=1), "input"),
    ]
    assert len({store.key(request) for request in requests}) == len(requests)


def test_truncated_pictures_are_all_named_before_anything_else(folder: Path) -> None:
    for name in ("1.png", "6.png"):
        (folder / name).write_bytes((folder / name).read_bytes()[:300])
    Image.new("L", (40, 40)).save(folder / "4.png")
    store = ViewStore()
    with pytest.raises(DataError) as caught:
        store.check_pictures([source(folder)])
    assert "2 pictures" in str(caught.value)
    assert "1.png" in str(caught.value) and "6.png" in str(caught.value)
    check = ViewStore().check_pictures([source(folder)], skip_bad=True)[0]
    assert sorted(check.bad) == [1, 6] and check.not_rgb == (4,)
    with pytest.raises(DataError, match="decoded"):
        store.open(ViewRequest(dataset(source(folder)), SPEC))
    assert not list((store.cache_dir / "views").glob("*"))


def test_a_full_disk_leaves_nothing(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = ViewStore()
    request = ViewRequest(dataset(source(folder)), SPEC)
    store.key(request)

    def full(number: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        with pytest.raises(RefusalError, match="No space left") as caught:
            store.open(request)
    assert caught.value.exit_code == 3 and "--cache-dir" in str(caught.value)
    assert not list((store.cache_dir / "views").glob("*"))
    assert not list((store.cache_dir / "views").glob(".*"))
    assert rows(store, request).shape == (10, 24, 24, 3)


def test_what_a_killed_process_left_is_cleared_away(folder: Path) -> None:
    store = ViewStore()
    views = store.cache_dir / "views"
    views.mkdir(parents=True)
    for name, age in ((".tmp-old.view", 7200), (".tmp-being-written.view", 0)):
        (views / name).write_bytes(b"half")
        os.utime(views / name, (time.time() - age,) * 2)
    store.open(ViewRequest(dataset(source(folder)), SPEC))
    assert [path.name for path in views.glob(".tmp-*")] == [".tmp-being-written.view"]


def test_a_damaged_file_is_made_anew(folder: Path) -> None:
    request = ViewRequest(dataset(source(folder)), SPEC)
    good = rows(ViewStore(), request)
    path = next((ViewStore().cache_dir / "views").glob(f"*{view_file.SUFFIX}"))
    path.write_bytes(path.read_bytes()[:-10])
    assert not ViewStore().plan([request])[0].cached
    assert np.array_equal(rows(ViewStore(), request), good)


def test_plan_tells_what_open_does(folder: Path) -> None:
    pictures = dataset(source(folder))
    requests = [ViewRequest(pictures, SPEC, *case) for case in CASES]
    size = 10 * 24 * 24 * 3
    store = ViewStore(memory=str(2 * size))
    planned = store.plan(requests)
    assert [p.mode for p in planned] == ["resident", "resident", "mapped"]
    assert all(p.bytes == size and p.rows == 10 and not p.cached for p in planned)
    assert store.counters.decoded == 0
    views = [store.open(request) for request in requests]
    assert [v.mode for v in views] == [p.mode for p in planned]
    assert [v.key for v in views] == [p.key for p in planned]
    assert all(p.cached for p in ViewStore(memory="mapped").plan(requests))
    del views  # what is closed makes room
    assert store.budget.resident == 0


def test_memory_is_checked() -> None:
    with pytest.raises(UsageError, match="plenty") as caught:
        ViewStore(memory="plenty")
    assert "resident" in str(caught.value)


def test_without_room_on_the_disk_views_are_generated(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("fastclip.stimuli.budget._free_disk", lambda folder: 2**30 + 5000)
    budget = Budget("1GiB", tmp_path)
    assert budget.mode(5000, on_disk=False) == "resident"
    assert budget.mode(5001, on_disk=False) == "generated"
    assert budget.mode(5001, on_disk=True) == "resident"
    assert budget.mode(3000, on_disk=False, disk=3000) == "generated"


def test_open_views_are_shared_and_array_sets_work(tmp_path: Path) -> None:
    planes = np.random.default_rng(1).integers(0, 256, (6, 3, 32, 32), np.uint8)
    path = tmp_path / "test"
    path.write_bytes(b"stands for the pickle")
    pictures = ArrayPictures(planes, [f"p{i}" for i in range(6)], path, planes_first=True)
    store = ViewStore()
    request = ViewRequest(dataset(pictures), PixelSpec(32, 32))
    assert store.check_pictures([pictures])[0].not_rgb == ()
    view = store.open(request)
    assert store.open(request) is view
    assert np.array_equal(view.pixels[0:6], planes.transpose(0, 2, 3, 1))


def test_pixels_that_begin_like_a_file_are_pixels(tmp_path: Path) -> None:
    """Of 50,000 pictures some begin with a PCX file's mark, and one of those with a wrong mode."""
    header = np.zeros(128, np.uint8)
    header[[0, 1, 2, 3, 8, 10, 65]] = [10, 5, 1, 7, 31, 31, 9]
    array = np.zeros((1, 32, 32, 3), np.uint8)
    array.reshape(-1)[:128] = header
    with pytest.raises(OSError, match="unknown PCX mode"):
        Image.open(io.BytesIO(array.tobytes()))
    path = tmp_path / "test"
    path.write_bytes(b"stands for the pickle")
    pictures = ArrayPictures(array, ["p"], path)
    check = ViewStore().check_pictures([pictures])[0]
    assert not check.bad and not check.not_rgb


def test_results_come_in_order_and_errors_stop_the_work() -> None:
    assert list(manifest_module.in_order(lambda n: n * n, range(50), 4)) == [
        n * n for n in range(50)
    ]
    done = []

    def work(number: int) -> int:
        done.append(number)
        if number == 3:
            raise DataError("three")
        return number

    with pytest.raises(DataError):
        list(manifest_module.in_order(work, range(1000), 2))
    assert len(done) < 20


def test_a_picture_that_changes_under_the_sweep_is_refused(folder: Path, tmp_path: Path) -> None:
    """Else the cache would hold another picture under the key of this one."""
    store = ViewStore(tmp_path / "cache", threads=1)
    data = dataset(source(folder))
    store.pictures_digest(data.pictures)
    (folder / "4.png").write_bytes((folder / "5.png").read_bytes())
    with pytest.raises(DataError, match="changed while") as caught:
        store.open(ViewRequest(data, SPEC))
    assert "4.png" in str(caught.value)
    assert not list((tmp_path / "cache" / "views").glob("[!.]*"))
