"""Paths as text, compared with the standard library's."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from fastclip.checkpoints.names import absolute, run_folder


@pytest.mark.parametrize(
    "text",
    [
        "/a.pt", "a.pt", "x/../b/a.pt", "/x/./y//z.pt", ".", "..", "/", "~/x", "../c.pt",
        "checkpoints/e.pt", "/run/checkpoints/e.pt",
    ],
)  # fmt: skip
def test_absolute(text: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for folder in (tmp_path, tmp_path.parent):
        monkeypatch.chdir(folder)
        assert absolute(Path(text)) == os.path.abspath(text)  # noqa: PTH100
        whole = Path(os.path.abspath(text)).parent  # noqa: PTH100
        assert run_folder(Path(text)) == (whole.parent if whole.name == "checkpoints" else whole)
