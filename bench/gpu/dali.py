"""DALI: what its decoders change in the pixels, whether they are sound, and how fast they are."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import common
import numpy as np

KINDS: dict[str, dict[str, Any]] = {
    "jpeg-444-q95": {"quality": 95, "subsampling": 0},
    "jpeg-422-q85": {"quality": 85, "subsampling": 1},
    "jpeg-420-q90": {"quality": 90, "subsampling": 2},
    "jpeg-420-q60": {"quality": 60, "subsampling": 2},
    "jpeg-progressive": {"quality": 90, "progressive": True},
    "jpeg-grey": {"quality": 90},
    "png": {},
    "bmp": {},
}
SIZE = (500, 375)
BATCH = 256
SECONDS = 4.0


def main() -> int:
    """Tests, then differences of each set, then pictures/s."""
    parser = common.parser(__doc__)
    parser.add_argument("--pictures", type=Path, help="a folder of real pictures to compare, too")
    options = parser.parse_args()
    report = common.Report(options.output, options.device)
    common.run_tests(
        report, "tests/kernels/test_dali_operator.py", "tests/stimuli/test_dali_mixed.py"
    )
    with TemporaryDirectory() as folder:
        sets = make(Path(folder), 4 if options.small else 32)
        if options.pictures:
            sets["real"] = options.pictures
        for name, root in sets.items():
            differences(report, name, root, options.device)
        speed(report, sets["jpeg-420-q90"], options, 16 if options.small else 64)
    return report.finish()


def make(folder: Path, count: int) -> dict[str, Path]:
    """A folder of pictures of each kind, the same pictures in all."""
    from make_sets import draw
    from PIL import Image

    pictures = [Image.fromarray(draw(number, SIZE)) for number in range(count)]
    for name, options in KINDS.items():
        kind = name.partition("-")[0]
        (folder / name).mkdir()
        for number, picture in enumerate(pictures):
            wanted = picture.convert("L") if name.endswith("grey") else picture
            wanted.save(folder / name / f"{number:03}.{kind}", **options)
    return {name: folder / name for name in KINDS}


def source(root: Path, times: int = 1) -> Any:
    """The pictures of a folder, all of them `times` times."""
    from fastclip.stimuli.sources import FilePictures, Folder

    names = Folder(root).pictures()
    numbered = [f"{turn}/{name}" for turn in range(times) for name in names]
    return FilePictures(root, numbered, names * times)


def decoders(device: str) -> list[str]:
    """What runs on this device."""
    from fastclip.stimuli.differences import OTHERS

    return [name for name in OTHERS if device.startswith("cuda") or "mixed" not in name]


def differences(report: common.Report, name: str, root: Path, device: str) -> None:
    """Against libjpeg-turbo and the native resize; lossless files must be equal."""
    from fastclip.stimuli.base import PixelSpec
    from fastclip.stimuli.differences import DECODED, compare

    for decoder in decoders(device):
        for found in compare(source(root), decoder, PixelSpec(224, 224), device=device):
            report.add("differences", {"set": name, **found.figures()})
            exact = "resize" not in decoder and (name in ("png", "bmp") or decoder == "dali")
            if exact and found.largest and name != "real":
                report.fail(f"{decoder} differs on {name} by {found.largest} ({found.at})")
            if found.at == DECODED and found.largest > 64:
                report.fail(f"{decoder} is far off on {name}: {found.largest}")


def speed(report: common.Report, root: Path, options: Any, times: int) -> None:
    """Decode alone, and views of 224 x 224 that are streamed to where an engine reads them."""
    from fastclip.machine import usable_cores
    from fastclip.stimuli.dali.pipelines import Plan, reading
    from fastclip.stimuli.dali.runner import Runner

    pictures = source(root, times)
    paths = [Path(pictures.stat(row)[0]) for row in range(len(pictures))]
    encoded = [np.fromfile(path, np.uint8) for path in paths[:BATCH]]
    cores, gpus = usable_cores(), [None, 0] if options.device.startswith("cuda") else [None]
    for gpu in gpus:
        plan = Plan(min(BATCH, len(encoded)), cores, gpu)
        fed, reader = Runner(plan), reading(paths, plan)
        for name, run in (
            ("fed", lambda fed=fed: fed.run(pictures=encoded)),
            ("reading", lambda reader=reader: reader.run()),
        ):
            rate = per_second(run, plan.batch)
            where = "cpu" if gpu is None else "mixed"
            report.add("decode", {"decoder": where, "by": name, "pictures_per_second": rate})
    for decoder in ["pillow", *decoders(options.device)]:
        report.add("streamed", streamed(pictures, decoder, options.device, cores))


def streamed(pictures: Any, decoder: str, device: str, cores: int) -> dict[str, Any]:
    """Passes over a generated view, batch by batch into one tensor on the device."""
    import torch

    from fastclip.engines.cuda.pictures import DevicePictures
    from fastclip.evaluators.base import ViewRequest
    from fastclip.stimuli.base import Dataset, PixelSpec
    from fastclip.stimuli.differences import NOT_KNOWN
    from fastclip.stimuli.views import ViewStore

    count = len(pictures)
    dataset = Dataset("drawn", "drawn", NOT_KNOWN, pictures, count, count, "")
    store = ViewStore(memory="generated", threads=cores, decoder=decoder, device=device)
    maker = store.maker(ViewRequest(dataset, PixelSpec(224, 224)))
    # Every row by itself: the view's own index would fold equal pictures into one.
    pixels = maker.generated(np.arange(count), (count, 224, 224, 3))
    target = torch.device(device)
    placed = DevicePictures(pixels, target, limit=0)
    out = torch.empty((BATCH, 224, 224, 3), dtype=torch.uint8, device=target)

    def go() -> None:
        for lo in range(0, count, BATCH):
            placed.copy_batch(lo, min(lo + BATCH, count), out)
        if target.type == "cuda":
            torch.cuda.synchronize(target)

    return {"decoder": decoder, "pictures_per_second": per_second(go, count)}


def per_second(run: Callable[[], object], pictures: int) -> float:
    """Pictures per second of whole runs, after one that warms up."""
    run()
    began, runs = time.perf_counter(), 0
    while runs == 0 or time.perf_counter() - began < SECONDS:
        run()
        runs += 1
    return round(runs * pictures / (time.perf_counter() - began), 1)


if __name__ == "__main__":
    sys.exit(main())
