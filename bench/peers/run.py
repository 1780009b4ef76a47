"""A loop in a process of its own."""

from __future__ import annotations

import json
import sys
from pathlib import Path

from peers.common import Numbers, Request
from processes import Ran, run

BENCH = Path(__file__).resolve().parents[1]


def run_loop(loop: str, request: Request, folder: Path) -> tuple[Ran, list[Numbers]]:
    """Run `plain_loop`, `compiled_loop` or `per_pair` as a program; what it took and found."""
    folder.mkdir(parents=True, exist_ok=True)
    asked, found = folder / "request.json", folder / "numbers.json"
    request.write(asked)
    ran = run(
        [sys.executable, "-m", "peers", loop, str(asked), str(found)],
        {"PYTHONPATH": f"{BENCH}:{BENCH.parent}"},
    )
    return ran, json.loads(found.read_text())
