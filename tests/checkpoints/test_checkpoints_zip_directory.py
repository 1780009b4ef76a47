"""The zip directory as Python's own zipfile reads it."""

from __future__ import annotations

import zipfile
from pathlib import Path

import pytest
import torch

from fastclip.checkpoints.zip_directory import read_directory
from fastclip.errors import CheckpointError


def assert_same(path: Path) -> None:
    directory = read_directory(path)
    with zipfile.ZipFile(path) as archive:
        expected = [
            (i.filename.partition("/")[2], i.compress_type, i.CRC, i.file_size, i.header_offset)
            for i in archive.infolist()
        ]
    entries = directory.entries()
    assert [(e.name, e.method, e.crc, e.size, e.header) for e in entries] == expected
    assert directory.entries(2) == entries[:2]
    assert directory.size == path.stat().st_size


def test_torch_archive(tmp_path: Path) -> None:
    torch.save({f"w{i}": torch.randn(i) for i in range(40)}, tmp_path / "a.pt")
    assert_same(tmp_path / "a.pt")


def test_directory_longer_than_one_read(tmp_path: Path) -> None:
    torch.save([torch.tensor(float(i)) for i in range(2000)], tmp_path / "many.pt")
    assert len(read_directory(tmp_path / "many.pt").raw) > 1 << 16
    assert_same(tmp_path / "many.pt")


def test_positions_beyond_4_gib(tmp_path: Path) -> None:
    """ViT-H with its optimizer is 12 GB; here the first 5 GiB are a hole in the file."""
    path = tmp_path / "large.pt"
    with path.open("wb") as file:
        file.seek(5 << 30)
        with zipfile.ZipFile(file, "w") as archive:
            archive.writestr("large/data.pkl", b"x" * 30)
            archive.writestr("large/data/0", b"y" * 300)
    assert read_directory(path).entries()[1].header > 5 << 30
    assert_same(path)


@pytest.mark.parametrize("content", [b"", b"PK", b"PK\5\6" + b"\xff" * 18, b"\0" * 70000])
def test_not_an_archive(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "a.pt").write_bytes(content)
    with pytest.raises(CheckpointError):
        read_directory(tmp_path / "a.pt")


def test_lfs_pointer_is_called_so(tmp_path: Path) -> None:
    (tmp_path / "a.pt").write_text("version https://git-lfs.github.com/spec/v1\noid sha256:0\n")
    with pytest.raises(CheckpointError, match="Git LFS pointer"):
        read_directory(tmp_path / "a.pt")
