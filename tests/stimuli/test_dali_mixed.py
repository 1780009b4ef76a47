"""What a view streamed on a GPU promises, and what its JPEG decoder changes."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import ClassVar

import numpy as np
import pytest
import torch
from PIL import Image

from fastclip.distortions.levels import parse
from fastclip.engines.cuda.pictures import DevicePictures
from fastclip.errors import RefusalError
from fastclip.evaluators.base import ViewRequest
from fastclip.stimuli.base import Dataset, DatasetInfo, DevicePixels, PixelSpec
from fastclip.stimuli.generated import GeneratedPixels
from fastclip.stimuli.sources import FilePictures
from fastclip.stimuli.views import ViewStore

pytest.importorskip("nvidia.dali")
from dali_helpers import cache, compiled_operator, gpus
from make_sets import draw

from fastclip.stimuli.dali import build, operator
from fastclip.stimuli.dali.pipelines import Plan, fed
from fastclip.stimuli.dali.runner import Runner

SPEC = PixelSpec(48, 48)
NOISE = parse("gaussian_noise:sigma=0.1", seed=3)


@pytest.mark.skipif(gpus() > 0, reason="a GPU runs these pipelines in earnest")
@compiled_operator
@pytest.mark.parametrize(
    "plan",
    [
        Plan(4, 2, gpu=0),
        Plan(4, 2, gpu=0, distortion=NOISE, resize=SPEC),  # type: ignore[arg-type]
        Plan(4, 2, gpu=0, raw=True, distortion=parse("gaussian_blur:sigma=1")),  # type: ignore[arg-type]
    ],
)
def test_without_a_gpu_pipelines_for_one_get_as_far_as_the_driver(plan: Plan) -> None:
    """Every operator and argument has its name, on the device it is asked for on."""
    operator.load(cache())
    with pytest.raises(RuntimeError, match="CUDA is not available"):
        fed(plan)
    assert operator.registered(gpu=True) == (build.nvcc() is not None)
    with pytest.raises(RefusalError, match=r"cannot build its pipeline: Assert on .*CUDA"):
        Runner(plan).run(pictures=[])


class OnAnyDevice(GeneratedPixels):
    """Stands for pictures made on a GPU: tensors, copied from where they are."""

    copied = 0

    def copy_batch(self, lo: int, hi: int, out: torch.Tensor) -> None:
        out.copy_(self.take(lo, hi))
        self.copied += 1


def made(rows: Sequence[int]) -> torch.Tensor:
    return torch.tensor(rows, dtype=torch.uint8).view(-1, 1, 1, 1).expand(-1, 2, 2, 3)


@pytest.mark.parametrize("limit", [0, 1 << 20])
def test_engines_take_pictures_from_where_they_are(limit: int) -> None:
    """The hook a CUDA engine uses, with a CPU as the device."""
    pixels = OnAnyDevice(made, np.arange(10), (10, 2, 2, 3))
    assert isinstance(pixels, DevicePixels)
    assert not isinstance(GeneratedPixels(made, np.arange(10), (10, 2, 2, 3)), DevicePixels)
    pictures = DevicePictures(pixels, torch.device("cpu"), limit)
    for lo in (0, 4, 8):
        out = torch.empty((4, 2, 2, 3), dtype=torch.uint8)
        pictures.copy_batch(lo, min(lo + 4, 10), out)
        assert out[:, 0, 0, 0].tolist() == [min(lo + i, 9) for i in range(4)]
    assert pixels.copied == (3 if limit == 0 else 1)


class Stream:
    """Stands for a CUDA stream: what it is told, in order, in a log of all streams."""

    log: ClassVar[list[str]] = []

    def __init__(self, device: torch.device | None = None, name: str = "own") -> None:
        self.name = name

    def record_event(self) -> str:
        self.log.append(f"{self.name} records")
        return "ready"

    def wait_event(self, event: str) -> None:
        self.log.append(f"{self.name} waits for {event}")


def test_a_batch_is_copied_when_its_stream_is_through(monkeypatch: pytest.MonkeyPatch) -> None:
    """On a CPU, with streams that write down what is asked of them."""
    from fastclip.stimuli.dali.streaming import StreamedPixels

    def make(rows: Sequence[int]) -> torch.Tensor:
        Stream.log.append("made")
        return made(rows).contiguous()

    monkeypatch.setattr(torch.cuda, "Stream", Stream)
    monkeypatch.setattr(torch.cuda, "stream", nullcontext)
    monkeypatch.setattr(torch.cuda, "current_stream", lambda device: Stream(device, "engine"))
    monkeypatch.setattr(torch.Tensor, "record_stream", lambda *_: Stream.log.append("kept"))
    pixels = StreamedPixels(make, np.arange(50), (50, 2, 2, 3), torch.device("cpu"))
    assert isinstance(pixels, DevicePixels)
    out = torch.empty((3, 2, 2, 3), dtype=torch.uint8)
    pixels.copy_batch(7, 10, out)  # in no order, so that nothing is made ahead
    assert out[:, 0, 0, 0].tolist() == [7, 8, 9]
    assert Stream.log == ["made", "own records", "engine waits for ready", "kept"]
    assert pixels[20:22][:, 1, 1, 2].tolist() == [20, 21]


needs_gpu = pytest.mark.skipif(gpus() == 0, reason="no CUDA device")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """150 pictures of seven sizes: more than two runs of a pipeline."""
    operator.load(cache())
    root = tmp_path / "set"
    root.mkdir()
    for number in range(150):
        size = (60 + 8 * (number % 7), 90)
        kind = ("png", "bmp", "jpg")[number % 3]
        Image.fromarray(draw(number, size)).save(root / f"{number:03}.{kind}", quality=90)
    return root


def request(folder: Path, noise_at: str = "", kinds: str = "") -> ViewRequest:
    names = sorted(p.name for p in folder.iterdir() if p.suffix in kinds.split() or not kinds)
    pictures = FilePictures(folder, names)
    info = DatasetInfo("drawn", "drawn", "here", "none", "small", "@misc{drawn}")
    data = Dataset("drawn", "drawn", info, pictures, len(pictures), len(pictures), "")
    return ViewRequest(data, SPEC, NOISE if noise_at else None, noise_at)


def passes(store: ViewStore, wanted: ViewRequest, batch: int) -> list[torch.Tensor]:
    """Two passes as an engine makes them, and one on the host."""
    view = store.open(wanted)
    pictures = DevicePictures(view.pixels, torch.device("cuda"), limit=0)
    count, results = view.pixels.shape[0], []
    for _ in range(2):
        out = torch.empty((count, *view.pixels.shape[1:]), dtype=torch.uint8, device="cuda")
        for lo in range(0, count, batch):
            hi = min(lo + batch, count)
            pictures.copy_batch(lo, hi, out[lo:hi])
        results.append(out.cpu()[view.index])
    results.append(torch.from_numpy(view.pixels[0:count])[view.index])
    return results


@pytest.mark.gpu
@needs_gpu
@pytest.mark.parametrize("noise_at", ["", "native", "input"])
def test_lossless_pictures_are_the_references(folder: Path, tmp_path: Path, noise_at: str) -> None:
    wanted = request(folder, noise_at, ".png .bmp")
    reference = ViewStore(tmp_path / "pillow").open(wanted)
    expected = torch.from_numpy(reference.pixels[0 : reference.pixels.shape[0]])[reference.index]
    for mode, batch in (("generated", 32), ("generated", 100), ("resident", 64)):
        store = ViewStore(tmp_path / f"{mode}{batch}", mode, threads=4, decoder="dali-mixed")
        for got in passes(store, wanted, batch):
            assert torch.equal(got, expected)


@pytest.mark.gpu
@needs_gpu
def test_jpeg_on_the_gpu_is_near_and_the_same_every_time(folder: Path, tmp_path: Path) -> None:
    """A picture's pixels depend on no other picture of its batch."""
    wanted = request(folder, kinds=".jpg")
    reference = ViewStore(tmp_path / "pillow").open(wanted)
    expected = torch.from_numpy(reference.pixels[0 : reference.pixels.shape[0]])[reference.index]
    results = [
        got
        for batch in (7, 32)
        for got in passes(
            ViewStore(tmp_path / str(batch), "generated", threads=4, decoder="dali-mixed"),
            wanted,
            batch,
        )
    ]
    assert all(torch.equal(got, results[0]) for got in results)
    difference = (results[0].int() - expected.int()).abs()
    assert difference.float().mean() < 1 and difference.max() <= 16
