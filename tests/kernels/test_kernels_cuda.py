"""The CUDA kernels give the CPU's bytes.

On a GPU: the calls that users make, on CUDA tensors. Without one: `kernels/cuda.cu` compiled for a
runtime that runs the threads one after the other, against the host's kernels.
"""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from fastclip import _kernels, kernels
from fastclip.distortions.levels import PUBLISHED, distortion_list, parse
from fastclip.errors import RefusalError, UsageError
from fastclip.stimuli.base import PixelSpec
from fastclip.stimuli.pixels import preprocess

KERNELS = Path(__file__).resolve().parents[2] / "kernels"
EMULATED = Path(__file__).parent / "emulated_cuda"
SOURCES = ("resize", "noise", "filters")
no_device = not (_kernels.built_with_cuda and _kernels.cuda_devices()[0])

EVERYTHING = [
    f"{kind}:{name}={severity + 1}"
    for name, kinds in PUBLISHED.items()
    for kind, levels in kinds.items()
    for severity in range(0, len(levels), 2)
    if kind != "jpeg_compression"
]


def random_pictures(seed: int, *shape: int) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (*shape, 3), np.uint8)


def random_keys(count: int) -> np.ndarray:
    return np.random.default_rng(count).integers(0, 2**64, count, np.uint64)


def assert_same(result: Any, expected: np.ndarray) -> None:
    assert result.is_cuda and result.dtype == torch.uint8
    np.testing.assert_array_equal(result.cpu().numpy(), expected)


@pytest.mark.gpu
@pytest.mark.skipif(no_device, reason="no CUDA device")
@pytest.mark.parametrize("text", EVERYTHING)
def test_distortions_equal_the_cpu_over_random_shapes(text: str) -> None:
    sizes = np.random.default_rng(len(text)).integers(1, 130, (6, 3)).tolist()
    for n, h, w in [*sizes, (3, 224, 224), (2, 384, 512)]:
        pictures, keys = random_pictures(n, n, h, w), random_keys(n)
        distortion = parse(text, seed=7)
        result = distortion.apply(torch.from_numpy(pictures).cuda(), keys)
        assert_same(result, distortion.apply(pictures, keys))


@pytest.mark.gpu
@pytest.mark.skipif(no_device, reason="no CUDA device")
@pytest.mark.parametrize("interpolation", ["bicubic", "bilinear"])
@pytest.mark.parametrize("mode", ["shortest", "longest", "squash"])
def test_preprocess_equals_the_cpu(mode: str, interpolation: str) -> None:
    spec = PixelSpec(224, 224, mode, interpolation, fill=7)
    sizes = [(384, 512), (512, 384), (32, 32), (500, 333), (224, 224), (61, 17)]
    for size in sizes:
        pictures = random_pictures(1, 5, *size)
        placed = torch.from_numpy(pictures).cuda()
        assert_same(preprocess(placed, spec), preprocess(pictures, spec))
    mixed = [random_pictures(2, *size) for size in sizes]
    assert_same(
        preprocess([torch.from_numpy(picture).cuda() for picture in mixed], spec),
        preprocess(mixed, spec),
    )


@pytest.mark.gpu
@pytest.mark.skipif(no_device, reason="no CUDA device")
def test_more_pictures_than_a_grid_has_rows_and_bytes_than_32_bits() -> None:
    many = random_pictures(3, 70_000, 4, 5)
    noise = parse("gaussian_noise:sigma=0.1")
    keys = random_keys(len(many))
    assert_same(noise.apply(torch.from_numpy(many).cuda(), keys), noise.apply(many, keys))
    one = random_pictures(4, 1, 256, 256)
    large = torch.from_numpy(one).cuda().expand(22_000, -1, -1, -1)  # 4.3e9 bytes
    keys = random_keys(len(large))
    for text in ("gaussian_noise:sigma=0.1", "contrast:factor=0.5", "brightness:shift=0.2"):
        distortion = parse(text)
        last = distortion.apply(large, keys)[-1:].clone()
        assert_same(last, distortion.apply(one, keys[-1:]))
    blur = parse("gaussian_blur:sigma=1")
    assert_same(blur.apply(large, keys)[-1:].clone(), blur.apply(one, keys[-1:]))
    spec = PixelSpec(224, 224)
    assert_same(preprocess(large, spec)[-1:].clone(), preprocess(one, spec))


@pytest.mark.gpu
@pytest.mark.skipif(no_device, reason="no CUDA device")
def test_work_is_queued_on_the_current_stream() -> None:
    """The input is written on the same side stream, late: another stream would read zeros."""
    pictures, keys = random_pictures(5, 64, 224, 224), random_keys(64)
    source = torch.from_numpy(pictures).cuda()
    spec = PixelSpec(96, 96)
    torch.cuda.synchronize()
    with torch.cuda.stream(torch.cuda.Stream()):  # type: ignore[no-untyped-call]
        late = torch.zeros_like(source)
        torch.cuda._sleep(200_000_000)
        late.copy_(source)
        results = [d.apply(late, keys) for d in map(parse, EVERYTHING)]
        resized = preprocess(late, spec)
        late.zero_()
    torch.cuda.synchronize()
    for text, result in zip(EVERYTHING, results, strict=True):
        assert_same(result, parse(text).apply(pictures, keys))
    assert_same(resized, preprocess(pictures, spec))


@pytest.mark.gpu
@pytest.mark.skipif(no_device, reason="no CUDA device")
def test_views_that_are_not_contiguous_and_cupy() -> None:
    pictures, keys = random_pictures(6, 4, 40, 30), random_keys(4)
    channels_first = torch.from_numpy(pictures).cuda().permute(0, 3, 1, 2).contiguous()
    noise = parse("gaussian_noise:sigma=0.1")
    assert_same(noise.apply(channels_first.permute(0, 2, 3, 1), keys), noise.apply(pictures, keys))
    cupy = pytest.importorskip("cupy")
    for distortion in (noise, parse("pixelate:factor=0.5"), parse("contrast:factor=0.5")):
        result = distortion.apply(cupy.asarray(pictures), keys)
        assert isinstance(result, cupy.ndarray)
        np.testing.assert_array_equal(result.get(), distortion.apply(pictures, keys))
    spec = PixelSpec(24, 24)
    resized = preprocess(list(cupy.asarray(pictures)), spec)
    np.testing.assert_array_equal(resized.get(), preprocess(pictures, spec))


@pytest.mark.gpu
@pytest.mark.skipif(no_device, reason="no CUDA device")
def test_jpeg_is_refused_on_a_device() -> None:
    (jpeg,) = distortion_list(["jpeg_compression:quality=10"])
    with pytest.raises(UsageError, match="CPU only"):
        jpeg.apply(torch.zeros((1, 8, 8, 3), dtype=torch.uint8, device="cuda"), random_keys(1))


class OnDevice:
    """What DLPack shows of a CUDA array."""

    def __dlpack_device__(self) -> tuple[int, int]:
        return 2, 0


def test_arrays_of_unknown_libraries_and_builds_without_cuda_are_refused(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert not kernels.on_device(np.zeros(1)) and not kernels.on_device(torch.zeros(1))
    with pytest.raises(UsageError, match="OnDevice is a CUDA array of neither"):
        kernels.on_device(OnDevice())
    monkeypatch.setattr(OnDevice, "__module__", "cupy")
    monkeypatch.setattr(_kernels, "built_with_cuda", True)
    assert kernels.on_device(OnDevice())
    with pytest.raises(UsageError, match="CPU only"):
        parse("jpeg_compression:quality=10").apply(OnDevice(), random_keys(1))
    monkeypatch.setattr(_kernels, "built_with_cuda", False)
    with pytest.raises(RefusalError, match="built without CUDA"):
        kernels.on_device(OnDevice())


@pytest.mark.skipif(shutil.which("g++") is None, reason="no g++")
def test_device_code_run_thread_by_thread_on_the_host(tmp_path: Path) -> None:
    """Indices, grids, workspaces in pieces and the stream of every call, under a sanitizer."""
    program = tmp_path / "compare"
    flags = "-std=c++17 -O0 -fsanitize=address -ffp-contract=off"
    defined = ["-DFASTCLIP_ISA=x86_64", "-DFASTCLIP_WORKSPACE=20000"]
    folders = [f"-I{EMULATED}", f"-I{KERNELS}"]
    sources = [EMULATED / "compare.cpp", *(KERNELS / f"{name}.cpp" for name in SOURCES)]
    build = ["g++", *flags.split(), *defined, *folders, *map(str, sources), "-o", str(program)]
    subprocess.run(build, check=True)
    result = subprocess.run([program], capture_output=True, text=True)
    assert result.returncode == 0, result.stdout + result.stderr


@pytest.mark.skipif(shutil.which("nvcc") is None, reason="no nvcc")
@pytest.mark.parametrize("cc", [80, 90])
def test_device_code_compiles_without_a_warning_and_fuses_nothing(cc: int, tmp_path: Path) -> None:
    """The PTX multiplies and adds with one rounding each, and divides as IEEE 754 has it."""
    flags = "-std=c++17 -fmad=false -Werror all-warnings -Xcompiler=-ffp-contract=off,-Wall,-Wextra"
    target = [f"-gencode=arch=compute_{cc},code=sm_{cc}", "-c", "-o", str(tmp_path / "cuda.o")]
    keep = ["--keep", f"--keep-dir={tmp_path}"]
    build = ["nvcc", *flags.split(), *target, *keep, str(KERNELS / "cuda.cu")]
    subprocess.run(build, check=True)
    ptx = (tmp_path / "cuda.ptx").read_text()
    assert f".target sm_{cc}" in ptx
    for instruction in ("mul.rn.f32", "add.rn.f32", "sqrt.rn.f32", "div.rn.f32"):
        assert instruction in ptx
    assert not re.search(r"\bfma\.|\bmad\.\w*f32|\.approx|\.ftz", ptx)
