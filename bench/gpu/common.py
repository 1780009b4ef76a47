"""What the parts share: arguments, a report that is on disk after every line, and pytest."""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
import xml.etree.ElementTree as ElementTree
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / "tests")]

TINY = ROOT / "bench" / "gpu" / "tiny.json"
"""A tiny architecture for `--small`."""


def parser(description: str | None) -> argparse.ArgumentParser:
    """The options every part has."""
    made = argparse.ArgumentParser(description=description)
    made.add_argument("--device", default="cuda")
    made.add_argument("--small", action="store_true", help="tiny towers and sets")
    made.add_argument("--output", type=Path, required=True)
    return made


class Report:
    """A JSON file that is written anew whenever something is added."""

    def __init__(self, path: Path, device: str) -> None:
        from fastclip.sweeper.environment import machine, versions

        self.path = path
        self.body: dict[str, Any] = {
            "command": " ".join(["python", *sys.argv]),
            "date": time.strftime("%Y-%m-%d"),
            "device": device,
            "gpu": gpu() if device.startswith("cuda") else None,
            "machine": machine(),
            "versions": versions(),
            "finished": False,
            "failures": [],
        }
        self._write()

    def add(self, name: str, value: Any) -> None:
        """Put `value` under `name`; a second one under the same name joins it in a list."""
        self.body.setdefault(name, []).append(value)
        print(f"{name}: {json.dumps(value)[:400]}")
        self._write()

    def fail(self, what: str) -> None:
        """Note something that is not as it must be."""
        self.body["failures"].append(what)
        print(f"FAILED: {what}")
        self._write()

    def put(self, name: str, value: Any) -> None:
        """Put `value` under `name` in place of what was there."""
        self.body[name] = value
        self._write()

    def finish(self) -> int:
        """Mark the report as whole; a part that was cut short has none of this. 1 on failures."""
        self.body["finished"] = True
        self._write()
        return 1 if self.body["failures"] else 0

    def _write(self) -> None:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self.path.write_text(json.dumps(self.body, indent=1) + "\n")


def gpu() -> dict[str, str]:
    """Name, driver and CUDA as torch and nvidia-smi tell them."""
    import torch

    driver = subprocess.run(
        ["nvidia-smi", "--query-gpu=driver_version", "--format=csv,noheader"],
        capture_output=True,
        text=True,
        check=False,
    ).stdout.strip()
    major, minor = torch.cuda.get_device_capability()
    return {
        "name": torch.cuda.get_device_name(),
        "driver": driver,
        "cuda": str(torch.version.cuda),
        "capability": f"{major}.{minor}",
    }


def run_tests(report: Report, *arguments: str) -> None:
    """Run pytest on what is marked gpu; names and messages of failures go into the report."""
    marker = "gpu" if report.body["device"].startswith("cuda") else "not gpu and not slow"
    with TemporaryDirectory() as folder:
        xml = Path(folder) / "tests.xml"
        subprocess.run(
            [sys.executable, "-m", "pytest", "-q", "-m", marker, f"--junitxml={xml}", *arguments],
            cwd=ROOT,
            check=False,
        )
        if not xml.is_file():
            report.fail(f"pytest {' '.join(arguments)} did not end")
            return
        cases = list(ElementTree.parse(xml).iter("testcase"))
    outcomes = {"passed": 0, "failed": 0, "skipped": 0}
    for case in cases:
        broken = case.find("failure")
        broken = case.find("error") if broken is None else broken
        if broken is not None:
            outcomes["failed"] += 1
            message = (broken.get("message") or "")[:300]
            report.fail(f"{case.get('classname')}::{case.get('name')}: {message}")
        elif case.find("skipped") is not None:
            outcomes["skipped"] += 1
        else:
            outcomes["passed"] += 1
    report.add("tests", {"arguments": list(arguments), **outcomes})
    if not outcomes["passed"]:
        report.fail(f"no test of {' '.join(arguments)} was run")


def architectures(small: bool, *names: str) -> tuple[str, ...]:
    """`names`, or the tiny one."""
    return (str(TINY),) if small else names
