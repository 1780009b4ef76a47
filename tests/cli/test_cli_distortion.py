"""From `--sigma` and `--distortion` to what `robustness` measures."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from fastclip.api import _plain
from fastclip.cli.sweep import command
from fastclip.sweeper.config import SweepConfig
from fastclip.sweeper.options import task_options

TENTH = "gaussian_noise 0.1 seed 0"


def conditions(**options: Any) -> list[str]:
    config = SweepConfig(("run",), Path("out"), **options)
    return [distortion.title for distortion in task_options(config).conditions]


def test_distortion_takes_the_place_of_the_default_noise_only() -> None:
    assert conditions() == [TENTH]
    assert conditions(sigma="0.2") == ["gaussian_noise 0.2 seed 0"]
    assert conditions(sigma="") == []
    blur = ("gaussian_blur:imagenet-c=2",)
    assert conditions(distortion=blur) == ["gaussian_blur 2"]
    assert conditions(distortion=blur, sigma="0.1") == [TENTH, "gaussian_blur 2"]
    assert conditions(distortion=("gaussian_noise:sigma=0.1",), sigma="0.1") == [TENTH]


def parsed(*words: str) -> dict[str, Any]:
    context = command.make_context("sweep", ["ckpts", *words], auto_envvar_prefix="FASTCLIP")
    return context.params


def test_line_file_environment_and_python_agree(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = ["contrast 0.75", "pixelate 0.5"]
    both = ("contrast:cifar-c=1", "pixelate:factor=0.5")
    given = [parsed("--distortion", both[0], "--distortion", both[1])]
    given.append(parsed("--distortion", ",".join(both)))
    for text in (f'"{",".join(both)}"', str(list(both))):
        (tmp_path / "sweep.toml").write_text(f"distortion = {text}\n")
        given.append(parsed("--config", str(tmp_path / "sweep.toml")))
    monkeypatch.setenv("FASTCLIP_DISTORTION", " ".join(both))
    given.append(parsed())
    for params in given:
        assert params["sigma"] is None
        assert conditions(distortion=params["distortion"]) == expected
    for value in (",".join(both), list(both)):
        assert conditions(distortion=_plain("distortion", value)) == expected
    assert _plain("sigma", None) is None and _plain("sigma", [0.1, 0.2]) == "0.1,0.2"
