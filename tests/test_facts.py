"""Facts are found out once, and again wherever the file is of no use."""

from __future__ import annotations

from pathlib import Path

from fastclip.facts import installed, known


def test_found_out_once(tmp_path: Path) -> None:
    asked: list[str] = []

    def find_out(word: str) -> list[object]:
        return known(tmp_path, "words", [word, 1], lambda: asked.append(word) or (word, 1.5))  # type: ignore[no-any-return, func-returns-value]

    assert find_out("a") == find_out("a") == ["a", 1.5]
    assert find_out("b") == ["b", 1.5]
    assert asked == ["a", "b"]
    for file in (tmp_path / "words").iterdir():
        file.write_text('["cut sho')
    assert find_out("a") == ["a", 1.5]
    assert asked == ["a", "b", "a"]


def test_without_a_folder_nothing_is_kept(tmp_path: Path) -> None:
    file = tmp_path / "a file, no folder"
    file.touch()
    for folder in (None, file):
        assert known(folder, "words", 1, lambda: {"x": (1, 2)}) == {"x": [1, 2]}
    assert list(tmp_path.iterdir()) == [file]


def test_versions() -> None:
    import numpy

    assert installed("numpy") == numpy.__version__
    assert installed("no-such-package-at-all") == ""
