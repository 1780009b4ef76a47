"""Headers are read once per stamp."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import NoReturn

import pytest

from fastclip.checkpoints import describe, headers, open_checkpoint
from fastclip.checkpoints.headers import header_of


def test_a_header_is_read_once(
    save: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    checkpoint = describe(save(tmp_path / "run" / "epoch_1.pt", epoch=1))
    with open_checkpoint(checkpoint) as file:
        expected = dict(file.tensors), file.layout
    cache = tmp_path / "cache"
    first = header_of(checkpoint, cache_dir=cache)
    assert (first.tensors, first.layout) == expected

    def refuse(*_: object) -> NoReturn:
        raise AssertionError("opened")

    monkeypatch.setattr(headers, "open_checkpoint", refuse)
    assert header_of(checkpoint, cache_dir=cache) == first
    for other in (
        replace(checkpoint, stamp=checkpoint.stamp + "0"),
        replace(checkpoint, weights="ema"),
    ):
        with pytest.raises(AssertionError, match="opened"):
            header_of(other, cache_dir=cache)
    with pytest.raises(AssertionError, match="opened"):
        header_of(checkpoint, cache_dir=cache, trust_pickle=True)
    with pytest.raises(AssertionError, match="opened"):
        header_of(checkpoint)
