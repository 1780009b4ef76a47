"""The cache folder and `fastclip cache`."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest
from click.testing import CliRunner

from fastclip.cli.cache import command
from fastclip.errors import UsageError
from fastclip.stimuli.cache import cache_folder, entries, parse_size, prune, size_text
from fastclip.stimuli.view_file import write_view


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("4GiB", 4 * 2**30),
        ("500MB", 500000000),
        ("1.5 gib", 3 * 2**29),
        ("2G", 2 * 10**9),
        ("1000", 1000),
        ("10 B", 10),
        ("3Ti", 3 * 2**40),
    ],
)
def test_sizes(text: str, size: int) -> None:
    assert parse_size(text) == size


@pytest.mark.parametrize("text", ["", "GiB", "-1", "4 apples", "4iB", "1e3"])
def test_no_sizes(text: str) -> None:
    with pytest.raises(UsageError):
        parse_size(text)


def test_size_text() -> None:
    assert [size_text(n) for n in (10, 2048, 5 * 2**40)] == ["10 B", "2.0 KiB", "5.0 TiB"]


def test_where_the_cache_is(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("FASTCLIP_CACHE", str(tmp_path / "named"))
    assert cache_folder() == tmp_path / "named"
    assert cache_folder(tmp_path / "option") == tmp_path / "option"
    monkeypatch.delenv("FASTCLIP_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert cache_folder() == tmp_path / "fastclip"


@pytest.fixture
def filled(own_cache: Path) -> Path:
    """Two views of different age, a graph, and the leftover of a killed process."""
    import numpy as np

    for number, age in ((1, 10), (2, 0)):
        pictures = [np.full((8, 8, 3), n, np.uint8) for n in range(4)]
        path = own_cache / "views" / f"{number}.view"
        write_view(path, f"{number}", f"set {number}", pictures, np.arange(4), (8, 8), stored=True)
        os.utime(path, (time.time() - age * 86400,) * 2)
    graph = own_cache / "graphs" / "abc"
    graph.mkdir(parents=True)
    (graph / "visual.onnx").write_bytes(b"x" * 100)
    leftover = own_cache / "views" / ".tmp-1-3.view"
    leftover.write_bytes(b"half")
    os.utime(leftover, (time.time() - 86400,) * 2)
    return own_cache


def test_ls_says_what_is_there(filled: Path) -> None:
    output = CliRunner().invoke(command, ["ls"]).output
    assert "set 1 (4 distinct of 4 pictures)" in output and "abc" in output
    assert f"4 entries, 9.7 KiB in {filled}" in output


def test_prune_by_age_takes_leftovers_too(filled: Path) -> None:
    gone = prune(filled, older_than_days=5)
    assert sorted(entry.path.name for entry in gone) == [".tmp-1-3.view", "1.view"]
    assert sorted(e.path.name for e in entries(filled)) == ["2.view", "abc"]


def test_prune_by_size_keeps_what_was_used_last(filled: Path) -> None:
    prune(filled, max_size=5000)
    assert sorted(e.path.name for e in entries(filled)) == ["2.view", "abc"]


def test_prune_all_from_the_command_line(filled: Path) -> None:
    result = CliRunner().invoke(command, ["prune", "--all"])
    assert "deleted 4 entries" in result.output
    assert entries(filled) == []


def test_prune_wants_to_be_told(filled: Path) -> None:
    result = CliRunner().invoke(command, ["prune"])
    assert isinstance(result.exception, UsageError)
