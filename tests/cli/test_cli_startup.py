"""The command starts quickly and imports nothing heavy before it must."""

from __future__ import annotations

import subprocess
import sys
import time

import pytest

HEAVY = ("torch", "pandas", "scipy", "onnx", "open_clip", "pyarrow", "matplotlib")


@pytest.mark.parametrize(
    "code",
    [
        "import fastclip",
        "from fastclip.cli import group; group.main(['--help'], standalone_mode=False)",
    ],
)
def test_nothing_heavy_is_imported(code: str) -> None:
    probe = f"{code}\nimport sys; print('HEAVY', [m for m in {HEAVY!r} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", probe], capture_output=True, text=True, check=True)
    assert done.stdout.strip().endswith("HEAVY []")


@pytest.mark.alone
def test_help_is_quick() -> None:
    times = []
    for _ in range(5):
        began = time.perf_counter()
        subprocess.run(
            [sys.executable, "-m", "fastclip", "--help"], capture_output=True, check=True
        )
        times.append(time.perf_counter() - began)
    assert min(times) < 0.3


def test_every_command_has_help() -> None:
    from fastclip.cli import COMMANDS

    for name in COMMANDS:
        done = subprocess.run(
            [sys.executable, "-m", "fastclip", name, "--help"], capture_output=True, text=True
        )
        assert done.returncode == 0, done.stderr
        assert "Usage:" in done.stdout
