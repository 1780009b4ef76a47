from __future__ import annotations

import shlex
from dataclasses import replace
from pathlib import Path

from click.testing import CliRunner

from fastclip.cli.sweep import command
from fastclip.report.commands import sweep_command
from fastclip.sweeper.config import SweepConfig


def test_the_command_asks_for_the_same_sweep_again(monkeypatch):
    """What the command's own parser makes of the line is the configuration it came from."""
    config = SweepConfig(
        checkpoints=("my run/checkpoints", "openclip:ViT-B-16/openai"),
        output_dir=Path("out of here"),
        model="ViT-B-16",
        weights="ema",
        tasks=("iqa", "shape-bias"),
        data=("tid2013:mine=/sets/tid 2013", "cifar100=/c"),
        sigma="0.05,0.1",
        distortion=("contrast:factor=0.4",),
        steps=(None, 500),
        higher_is_better=False,
        partial=True,
        batch_size=64,
        noise_seeds=2,
        without=("prompts", "read-ahead"),
    )
    asked = []

    def no_sweep(config, *_, **__):
        asked.append(config)
        raise KeyboardInterrupt

    monkeypatch.setattr("fastclip.sweeper.run.sweep", no_sweep)
    of_a_share = replace(config, executor="ray", processes=4, address="auto", shard=(2, 3))
    words = shlex.split(sweep_command(of_a_share.as_json()))
    assert words[:2] == ["fastclip", "sweep"]
    CliRunner().invoke(command, words[2:])
    assert asked == [config]


def test_defaults_are_left_out():
    config = SweepConfig(checkpoints=("run",), output_dir=Path("out"))
    assert sweep_command(config.as_json()) == "fastclip sweep run -o out"
