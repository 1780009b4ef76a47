"""What passes before the first picture, and how quickly what is done already is known.

    python bench/startup.py [PART ...] [--repeats 5]

Parts:
    tiny, b32   seconds from process start until the first batch of pictures is encoded, page cache
                and fastclip's cache warm: into a new folder (engines are tried first) and into one
                that has settled its engine; about 1.5 and 3 min
    decode      pictures decoded by a second sweep of the same data into another folder; 0.5 min
    many        10,000 checkpoints: `--dry-run`, deciding that all are done, and a whole second
                sweep with its tables; 2 min

About 7 minutes in all on two cores; --quick takes 2. The 10,000 are one tiny checkpoint's files
without their weights, which nothing here reads, and records as a sweep of it writes them.
"""

from __future__ import annotations

import json
import os
import shutil
import sys
import time
import zipfile
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import workload
from peers import ours
from peers.common import Request
from processes import Ran, run
from report import ROOT, Report, parser, spread

WATCHED = ROOT / "bench" / "watched.py"
FRACTION = 0.04
LARGE = 1 << 16
"""Bytes from which on a tensor is left out of a hollow file."""


def main() -> int:
    """Run the parts that were asked for."""
    made = parser(__doc__, "startup")
    made.add_argument("parts", nargs="*", default=["tiny", "b32", "decode", "many"])
    made.add_argument("--checkpoints", type=int, help="of the part many; 10,000")
    options = made.parse_args()
    if options.quick:
        options.parts = [part for part in options.parts if part != "b32"]
    report = Report(options)
    shutil.rmtree(options.work / "startup", ignore_errors=True)
    for part in options.parts:
        if part == "many":
            many(options, report)
        elif part == "decode":
            second_sweep(options.work, report)
        else:
            first_batch(part, options, report)
    return report.finish()


def watched(arguments: list[str], **environment: str) -> tuple[Ran, dict[str, float]]:
    """`fastclip` with its moments told."""
    told = {f"BENCH_{name.upper()}": value for name, value in environment.items()}
    began = {"BENCH_BEGAN": str(time.monotonic()), "PYTHONPATH": str(ROOT)}
    ran = run([sys.executable, str(WATCHED), *arguments], told | began)
    lines = [line.split() for _, line in ran.lines if line.startswith("watched ")]
    return ran, {name: float(value) for _, name, value in lines}


def request_for(work: Path, model: str, *, optimizer: bool = True) -> Request:
    """Two checkpoints on small sets: how many pictures there are does not matter here."""
    sets = workload.make_sets(work, FRACTION)
    folder = workload.make_checkpoints(work, model, 2, optimizer=optimizer)
    files = tuple(str(folder / f"epoch_{n}.pt") for n in (1, 2))
    workload.fill_page_cache(folder, sets.tid, sets.cue, sets.cifar)
    return Request(
        files, workload.architecture(work, model), str(sets.tid), str(sets.cue), str(sets.cifar)
    )


def first_batch(part: str, options: Any, report: Report) -> None:
    """Time to the first batch: cold, then warm into new folders and into a settled one."""
    request = request_for(options.work, "tiny" if part == "tiny" else "ViT-B-32")
    folder = options.work / "startup" / part
    repeats = options.repeats or (2 if options.quick else 5)

    def until_first_batch(out: str) -> float:
        arguments = ours.sweep_arguments(request, folder / out, folder / "cache")
        return watched(arguments, stop="first-batch", watch="engines")[1]["first-batch"]

    cold = until_first_batch("cold")
    new, settled = [], []
    for turn in range(repeats):
        new.append(until_first_batch(f"new-{turn}"))
        settled.append(until_first_batch("cold"))
    report.add(
        "first_batch_seconds",
        {"model": part, "cold": cold, "new_folder": spread(new), "settled": spread(settled)},
    )


def second_sweep(work: Path, report: Report) -> None:
    """Pictures decoded by a first and by a second sweep, same data and cache, another folder."""
    request = request_for(work, "tiny")
    folder = work / "startup" / "decode"
    for turn in ("first", "second"):
        arguments = ours.sweep_arguments(request, folder / turn, folder / "cache")
        _, told = watched(arguments)
        report.add("decoded", {"sweep": turn, **told})


def many(options: Any, report: Report) -> None:
    """Plan many checkpoints; decide that all are done; sweep again, tables and all."""
    count = options.checkpoints or (1000 if options.quick else 10_000)
    repeats = options.repeats or (1 if options.quick else 3)
    folder = options.work / "startup" / "many"
    base = request_for(options.work, "nano", optimizer=False)
    ours.sweep(base, folder / "out", folder / "cache")
    run_folder = multiply(Path(base.checkpoints[0]), folder, count)
    request = replace(base, checkpoints=(str(run_folder),))
    new = ours.sweep_arguments(request, folder / "new", folder / "cache")
    done = ours.sweep_arguments(request, folder / "out", folder / "cache")
    walls: dict[str, list[float]] = {"plan_new": [], "plan_done": [], "decide": []}
    for _ in range(repeats):
        walls["plan_new"].append(watched([*new, "--dry-run"], watch="progress")[0].wall)
        walls["plan_done"].append(watched([*done, "--dry-run"], watch="progress")[0].wall)
        _, told = watched(done, stop="decided", watch="progress", checkpoints=str(count))
        walls["decide"].append(told["decided"])
    whole, told = watched(done, watch="progress", checkpoints=str(count))
    assert told["cached"] == count, told
    seconds = {name: spread(values) for name, values in walls.items()}
    report.put("many", {"checkpoints": count, **seconds, "whole_second_sweep": whole.figures()})


def multiply(template: Path, folder: Path, count: int) -> Path:
    """`count` checkpoints like `template`, and their records in `folder/out`; the run's folder."""
    from fastclip.checkpoints.find import find
    from fastclip.results import sightings

    run_folder = folder / "run" / "checkpoints"
    run_folder.mkdir(parents=True)
    for number in range(1, count + 1):
        hollow(template, run_folder / f"epoch_{number}.pt")
    out = folder / "out"
    base = min(sightings.read_sightings(out), key=lambda sighting: sighting.name)
    records = sorted((out / "records" / base.checkpoint_id).iterdir())
    for number, checkpoint in enumerate(find((str(run_folder),)).checkpoints, start=1):
        other = f"{number:0{len(base.checkpoint_id)}x}"
        seen = replace(
            base,
            name=checkpoint.name,
            run=checkpoint.run,
            path=str(checkpoint.path),
            stamp=checkpoint.stamp,
            checkpoint_id=other,
            epoch=number,
        )
        path = out / "checkpoints" / f"{sightings.file_key(checkpoint)}.json"
        path.write_text(json.dumps(asdict(seen)))
        place = out / "records" / other
        place.mkdir()
        for record in records:
            if record.suffix == ".json":
                body = json.loads(record.read_bytes()) | {"checkpoint_id": other}
                (place / record.name).write_text(json.dumps(body))
            else:
                (place / record.name).hardlink_to(record)
    return run_folder


def hollow(template: Path, path: Path) -> None:
    """A copy with holes where large tensors were; all that is not weights is there."""
    with zipfile.ZipFile(template) as archive:
        entries = sorted(archive.infolist(), key=lambda entry: entry.header_offset)
        ends = [*(entry.header_offset for entry in entries[1:]), archive.start_dir]
    size = template.stat().st_size
    kept = [(archive.start_dir, size)]
    for entry, end in zip(entries, ends, strict=True):
        large = entry.file_size > LARGE
        kept.append((entry.header_offset, entry.header_offset + 256 if large else end))
    with template.open("rb") as source, path.open("wb") as target:
        target.truncate(size)
        for low, high in kept:
            source.seek(low)
            target.seek(low)
            target.write(source.read(high - low))
    # A file of this minute is taken for one that is being written.
    os.utime(path, (time.time() - 3600, time.time() - 3600))


if __name__ == "__main__":
    sys.exit(main())
