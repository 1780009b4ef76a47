"""Kill a sweep with SIGKILL again and again, resume it, and compare with one that was left alone.

    python tests/sweeper/kill_and_resume.py [KILLS] [CHECKPOINTS]

prints how many kills there were, how many records each left, and whether the final tables are
byte-equal (timings aside).
"""

from __future__ import annotations

import random
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))


def command(run: Path, sets: tuple[str, ...], cache: Path, out: Path) -> list[str]:
    """The ordinary command line."""
    data = [word for one in sets for word in ("--data", one)]
    fixed = ["--cache-dir", str(cache), "--workers", "1", "--no-progress", "-q"]
    return [sys.executable, "-m", "fastclip", "sweep", str(run), "-o", str(out), *data, *fixed]


def kill_and_resume(line: list[str], out: Path, kills: int, randomness: random.Random) -> list[int]:
    """Start the sweep `kills` times and kill it after a random moment, then let it finish.

    Each start is killed a random few milliseconds after a random number (0 to 2) of new records;
    returns how many records there were at each kill.
    """
    counts = []
    while len(counts) < kills:
        goal = records(out) + randomness.randrange(3)
        process = subprocess.Popen(line)
        while process.poll() is None and records(out) < goal:
            time.sleep(0.005)
        time.sleep(randomness.random() * (0.05 if goal else 3.0))
        if process.poll() is not None:
            raise RuntimeError("the sweep ended before it could be killed: use more checkpoints")
        process.send_signal(signal.SIGKILL)
        process.wait()
        counts.append(records(out))
    subprocess.run(line, check=True)
    return counts


def records(out: Path) -> int:
    """Finished records, half-written ones not counted."""
    return sum(not p.name.startswith(".tmp-") for p in (out / "records").glob("*/*.json"))


def table(out: Path) -> str:
    """results.csv without its only timing column, `seconds`."""
    lines = (out / "results.csv").read_text().splitlines()
    timing = lines[0].split(",").index("seconds")
    return "\n".join(
        ",".join(cell for i, cell in enumerate(line.split(",")) if i != timing) for line in lines
    )


def main() -> int:
    """Run the experiment on tiny sets and print what happened."""
    from make_run import make_run
    from make_sets import make_cifar100, make_cue_conflict, make_tid2013

    kills = int(sys.argv[1]) if len(sys.argv) > 1 else 20
    checkpoints = int(sys.argv[2]) if len(sys.argv) > 2 else 12
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        run = make_run(root / "runs", checkpoints)
        sets = (
            f"tid2013:toy-tid2013={make_tid2013(root / 'tid')}",
            f"cue-conflict:toy-cue-conflict={make_cue_conflict(root / 'cue')}",
            f"cifar100:toy-cifar={make_cifar100(root / 'cifar')}",
        )
        killed, alone = root / "killed", root / "alone"
        counts = kill_and_resume(
            command(run, sets, root / "cache", killed), killed, kills, random.Random(1)
        )
        subprocess.run(command(run, sets, root / "cache2", alone), check=True)
        equal = table(killed) == table(alone)
        print(f"{kills} kills, records at each: {counts}")
        print(f"{records(alone)} records in all; tables byte-equal, timings aside: {equal}")
    return 0 if equal else 1


if __name__ == "__main__":
    sys.exit(main())
