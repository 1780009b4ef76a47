"""Safetensors files written by the safetensors library."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from fastclip.checkpoints.safetensors_file import SafetensorsReader
from fastclip.checkpoints.torch_zip import TorchReader
from fastclip.errors import CheckpointError

State = dict[str, torch.Tensor]


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16, torch.float64])
def test_values(dtype: torch.dtype, state: State, tmp_path: Path) -> None:
    stored = {k: v.to(dtype) if v.is_floating_point() else v for k, v in state.items()}
    path = tmp_path / "a.safetensors"
    save_file({"module." + k: v for k, v in stored.items()}, path, metadata={"step": "12"})
    with SafetensorsReader.open(path) as file:
        assert file.metadata.step == 12
        assert set(file.tensors) == set(state)
        read = file.read(state)
    for name, tensor in stored.items():
        want = tensor.float() if tensor.is_floating_point() else tensor
        assert read[name].dtype == want.numpy().dtype
        np.testing.assert_array_equal(read[name], want.numpy(), err_msg=name)


def test_digest_is_that_of_the_same_tensors_in_a_pt(
    state: State, save: Callable[..., Path], tmp_path: Path
) -> None:
    save_file(state, tmp_path / "a.safetensors")
    with (
        SafetensorsReader.open(tmp_path / "a.safetensors") as one,
        TorchReader.open(save(tmp_path / "a.pt")) as other,
    ):
        assert one.digest(state) == other.digest(state)


@pytest.mark.parametrize("share", [0.0, 0.001, 0.05, 0.5, 0.99])
def test_cut_short(share: float, state: State, tmp_path: Path) -> None:
    path = tmp_path / "a.safetensors"
    save_file(state, path)
    path.write_bytes(path.read_bytes()[: int(path.stat().st_size * share)])
    for attempt in (SafetensorsReader.stamp, SafetensorsReader.open):
        with pytest.raises(CheckpointError, match=r"cut short|still being written"):
            attempt(path)


def test_cut_short_while_open(state: State, tmp_path: Path) -> None:
    path = tmp_path / "a.safetensors"
    save_file(state, path)
    with SafetensorsReader.open(path) as file:
        os.truncate(path, path.stat().st_size // 2)
        with pytest.raises(CheckpointError, match=r"cut short|still being written"):
            file.read(file.tensors)


@pytest.mark.parametrize(
    "header",
    [
        b"not json",
        b"[]",
        json.dumps({"w": {"dtype": "F32", "shape": [4], "data_offsets": [0, 8]}}).encode(),
        json.dumps({"w": {"dtype": "F32", "shape": [2]}}).encode(),
    ],
)
def test_damaged_header(header: bytes, tmp_path: Path) -> None:
    path = tmp_path / "a.safetensors"
    path.write_bytes(len(header).to_bytes(8, "little") + header + bytes(8))
    with pytest.raises(CheckpointError, match="header is damaged"):
        SafetensorsReader.open(path)


def test_unknown_dtype_fails_only_when_asked_for(state: State, tmp_path: Path) -> None:
    path = tmp_path / "a.safetensors"
    save_file({**state, "small": torch.zeros(3).to(torch.float8_e4m3fn)}, path)
    with SafetensorsReader.open(path) as file:
        file.read(state)
        with pytest.raises(CheckpointError, match="'small' is stored as float8_e4m3fn"):
            file.read(["small"])
    with pytest.raises(CheckpointError, match="none called 'ema'"):
        SafetensorsReader.open(path, weights="ema")
