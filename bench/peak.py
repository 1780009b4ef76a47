"""The processor's instruction peak, measured in the same minute as what is compared with it.

python bench/peak.py      prints GFLOP/s of all usable cores, by instruction
"""

from __future__ import annotations

import subprocess
import tempfile
from functools import cache
from pathlib import Path

from fastclip.machine import usable_cores

SOURCE = Path(__file__).with_name("peak.c")
SECONDS = 0.4

INSTRUCTIONS = {
    "fp32": "VFMADD, 512 bits",
    "bf16": "VDPBF16PS, 512 bits",
    "amx": "TDPBF16PS, tiles of bf16",
}


@cache
def _program() -> tuple[tempfile.TemporaryDirectory[str], Path]:
    """`peak.c`, compiled once per process; its folder goes when the process ends."""
    folder = tempfile.TemporaryDirectory()
    path = Path(folder.name) / "peak"
    subprocess.run(["cc", "-O2", "-pthread", "-o", str(path), str(SOURCE)], check=True)
    return folder, path


def peak(instruction: str, seconds: float = SECONDS) -> float | None:
    """FLOP/s of multiply-adds in registers on all usable cores together.

    Args:
        instruction: name from `INSTRUCTIONS`.

    Returns:
        None where the processor lacks the instruction.
    """
    _, program = _program()
    done = subprocess.run(
        [str(program), instruction, str(usable_cores()), str(seconds)],
        capture_output=True,
        text=True,
    )
    if done.returncode == 2:
        return None
    done.check_returncode()
    return float(done.stdout)


def peaks() -> dict[str, float]:
    """FLOP/s by instruction, for those that the processor has."""
    measured = {instruction: peak(instruction) for instruction in INSTRUCTIONS}
    return {name: rate for name, rate in measured.items() if rate is not None}


if __name__ == "__main__":
    for name, rate in peaks().items():
        print(f"{name}: {rate / 1e9:.0f} GFLOP/s on {usable_cores()} cores")
