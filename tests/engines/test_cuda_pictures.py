"""Pictures and weights for CUDA engines: simulated on a CPU, and on a GPU where there is one."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from fastclip.engines.cuda import pictures
from fastclip.engines.cuda.device import driver_version, exact_products, no_device
from fastclip.engines.cuda.pictures import DevicePictures
from fastclip.engines.cuda.weights import upload

CPU = torch.device("cpu")
needs_gpu = pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
PICTURES = np.random.default_rng(0).integers(0, 256, (11, 6, 5, 3), dtype=np.uint8)


class Generated:
    """Pictures made when they are asked for; counts how many were."""

    shape = PICTURES.shape
    asked = 0

    def __getitem__(self, rows: slice) -> np.ndarray:
        self.asked += rows.stop - rows.start
        return PICTURES[rows].copy()


def batches(placed: DevicePictures, size: int, device: torch.device = CPU) -> list[np.ndarray]:
    """Every batch in order through one buffer, as an engine reads them."""
    out = torch.zeros((size, *PICTURES.shape[1:]), dtype=torch.uint8, device=device)
    found = []
    for lo in range(0, len(PICTURES), size):
        placed.copy_batch(lo, min(lo + size, len(PICTURES)), out)
        found.append(out.clone())
    return [batch.cpu().numpy() for batch in found]


def expected(size: int) -> list[np.ndarray]:
    rows = np.minimum(np.arange(-(-len(PICTURES) // size) * size), len(PICTURES) - 1)
    return list(PICTURES[rows].reshape(-1, size, *PICTURES.shape[1:]))


@pytest.mark.parametrize("limit", [None, PICTURES.size, PICTURES.size - 1, 0])
@pytest.mark.parametrize("size", [1, 4, 11])
def test_batches_are_the_pictures_and_the_last_is_padded(limit: int | None, size: int) -> None:
    placed = DevicePictures(PICTURES, CPU, limit)
    assert placed.resident == (limit is None or limit >= PICTURES.size)
    np.testing.assert_array_equal(batches(placed, size), expected(size))


@pytest.mark.parametrize("fill", [1, 200, 1 << 26])
def test_a_resident_set_is_read_once_in_pieces(monkeypatch: pytest.MonkeyPatch, fill: int) -> None:
    monkeypatch.setattr(pictures, "_FILL", fill)
    source = Generated()
    placed = DevicePictures(source, CPU)
    assert source.asked == len(PICTURES)
    for _ in range(2):
        np.testing.assert_array_equal(batches(placed, 4), expected(4))
    assert source.asked == len(PICTURES)


def test_a_set_that_does_not_fit_is_read_batch_by_batch() -> None:
    source = Generated()
    placed = DevicePictures(source, CPU, limit=100)
    assert source.asked == 0
    np.testing.assert_array_equal(batches(placed, 4), expected(4))
    assert source.asked == len(PICTURES)


def test_mapped_pictures_need_not_be_writable(tmp_path: Path) -> None:
    np.save(tmp_path / "view.npy", PICTURES)
    mapped = np.load(tmp_path / "view.npy", mmap_mode="r")
    np.testing.assert_array_equal(batches(DevicePictures(mapped, CPU), 4), expected(4))


def test_uploaded_tensors_are_float32_and_integers_stay() -> None:
    stored = {
        "half": torch.tensor([1.5, 65504.0], dtype=torch.float16),
        "bfloat16": torch.tensor([[1.0, -3e38]], dtype=torch.bfloat16),
        "array": np.arange(6, dtype=np.float32).reshape(2, 3),
        "scalar": np.float32(2.5),
        "steps": np.arange(3),
    }
    found = upload(stored, CPU)
    assert {name: tensor.dtype for name, tensor in found.items()} == {
        **dict.fromkeys(("half", "bfloat16", "array", "scalar"), torch.float32),
        "steps": torch.int64,
    }
    for name, value in stored.items():
        assert found[name].shape == np.shape(value)
        torch.testing.assert_close(found[name].double(), torch.as_tensor(value).double())


def test_a_machine_without_cuda_says_why(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.version, "cuda", None)
    assert no_device("cuda") == "this torch is built without CUDA"
    monkeypatch.setattr(torch.version, "cuda", "13.0")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert "nvidia-smi" in str(no_device("cuda"))
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    assert no_device("cuda") is None
    assert no_device("cuda:0") is None
    assert no_device("cuda:1") == "there is no device 1: this machine has 1"


def test_the_driver_is_what_nvidia_smi_says(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    driver_version.cache_clear()
    assert driver_version() == "unknown"
    tool = tmp_path / "nvidia-smi"
    tool.write_text("#!/bin/sh\necho 580.65.06\necho 580.65.06\n")
    tool.chmod(0o755)
    driver_version.cache_clear()
    assert driver_version() == "580.65.06"
    driver_version.cache_clear()


def test_products_are_exact_only_inside() -> None:
    def settings() -> tuple[bool, ...]:
        matmul = torch.backends.cuda.matmul
        return (
            matmul.allow_tf32,
            torch.backends.cudnn.allow_tf32,
            matmul.allow_fp16_reduced_precision_reduction,
            matmul.allow_bf16_reduced_precision_reduction,
        )

    before = settings()
    assert any(before)
    with pytest.raises(KeyError), exact_products():
        assert settings() == (False, False, False, False)
        raise KeyError
    assert settings() == before


@pytest.mark.gpu
@needs_gpu
def test_on_a_gpu_resident_or_not() -> None:
    """Also while the device is behind: the host must not overwrite what has not crossed."""
    device = torch.device("cuda")
    for limit in (None, 0):
        placed = DevicePictures(PICTURES, device, limit)
        torch.cuda._sleep(50_000_000)
        np.testing.assert_array_equal(batches(placed, 2, device), expected(2))


@pytest.mark.gpu
@needs_gpu
def test_on_a_gpu_uploads_may_be_written_over() -> None:
    pinned = torch.arange(1 << 20, dtype=torch.float16).pin_memory()
    found = upload({"a": pinned}, torch.device("cuda"))["a"]
    copy = pinned.float()
    pinned.zero_()
    assert found.dtype == torch.float32
    assert torch.equal(found.cpu(), copy)
