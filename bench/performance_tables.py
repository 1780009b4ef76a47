"""Markdown tables of `bench/results/*.json` for docs/performance.md.

python bench/performance_tables.py [encoding sweep_speed startup steady prompts savings growth]
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from report import RESULTS

Row = Sequence[str]


def main() -> int:
    """Print the tables of every result that is there."""
    for name in sys.argv[1:] or TABLES:
        path = RESULTS / f"{name}.json"
        if not path.is_file():
            continue
        body = json.loads(path.read_text())
        machine = body["machine"]
        print(f"\n`{body['command']}`, {body['date']}, {machine['processor']},", end=" ")
        print(f"{machine['cores']} cores{'' if body['finished'] else ', cut short'}:\n")
        head, *rows = TABLES[name](body)
        for row in (head, ["---"] * len(head), *rows):
            print(f"| {' | '.join(row)} |")
    return 0


def n(found: dict[str, float] | float, digits: int = 3) -> str:
    """A median, with its range where there is one."""
    if not isinstance(found, dict):
        return short(found, digits)
    low, high = (short(found[key], digits) for key in ("least", "most"))
    return short(found["median"], digits) + (f" ({low} to {high})" if low != high else "")


def short(value: float, digits: int) -> str:
    """As many digits, but no exponent for thousands."""
    return f"{value:,.0f}" if value >= 1000 else f"{value:.{digits}g}"


def percent(found: dict[str, float] | None) -> str:
    """A share in percent."""
    return "" if found is None else f"{100 * found['median']:.0f} %"


def encoding(body: dict[str, Any]) -> Iterator[Row]:
    """Pictures per second against the peak."""
    yield (
        "tower", "side", "pictures/s", "by processor time",
        "of FMA or VDPBF16PS peak", "of AMX peak",
    )  # fmt: skip
    for row in body["encoding"]:
        instruction = "fp32" if row["side"].endswith("fp32") else "bf16"
        yield (
            row["model"],
            row["side"],
            n(row["pictures_per_second_wall"]),
            n(row["pictures_per_second_cpu"]),
            percent(row.get(f"fraction_of_{instruction}_peak_wall")),
            percent(row.get("fraction_of_amx_peak_wall")),
        )


def sweep_speed(body: dict[str, Any]) -> Iterator[Row]:
    """Times faster than the loop."""
    yield (
        "workload", "beside", "fastclip", "pictures, prompts", "per checkpoint, s: loop, fastclip",
        "per checkpoint", "whole process", "at full size", "processor time",
        "largest difference",
    )  # fmt: skip
    for row in body["sweeps"]:
        faster = row["times_faster"]
        for peer, side, ratios in ((p, s, faster[p][s]) for p in faster for s in faster[p]):
            each = [n(row["sides"][one]["checkpoint"]["median"]) for one in (peer, side)]
            apart = row["agreement"][peer if side.endswith("fp32") else side]["same_pictures"]
            yield (
                f"{row['workload']} ({row['checkpoints'][side]} checkpoints)",
                peer,
                side.removeprefix("fastclip "),
                f"{row['pictures']:,}, {row['prompts']:,}",
                ", ".join(each),
                *(f"{n(ratios[kind])} x" for kind in ("checkpoint", "whole", "full_size", "cpu")),
                n(apart["difference"], 1),
            )


def startup(body: dict[str, Any]) -> Iterator[Row]:
    """Seconds until things happen."""
    yield "what", "seconds"
    for row in body.get("first_batch_seconds", []):
        yield f"first batch, {row['model']}, nothing cached", n(row["cold"])
        yield f"first batch, {row['model']}, warm, new folder", n(row["new_folder"])
        yield f"first batch, {row['model']}, warm, settled folder", n(row["settled"])
    for row in body.get("decoded", []):
        yield f"pictures decoded by the {row['sweep']} sweep", f"{row['decoded']:.0f} pictures"
    many = body.get("many")
    if many:
        count = f"{many['checkpoints']:,} checkpoints"
        yield f"`--dry-run`, {count}, new folder", n(many["plan_new"])
        yield f"`--dry-run`, {count}, all measured", n(many["plan_done"])
        yield f"deciding that {count} are measured", n(many["decide"])
        yield (
            f"the whole second sweep of {count}, tables and all",
            n(many["whole_second_sweep"]["wall"]),
        )


def steady(body: dict[str, Any]) -> Iterator[Row]:
    """The last checkpoints against the first."""
    yield "per checkpoint, median", "2nd to 21st", "last 20", "ratio"
    turn = body["turns"][0]
    for name, unit, scale in (
        ("cpu", "processor time, s", 1.0),
        ("wall", "wall time, s", 1.0),
        ("memory", "resident memory, MiB", 2.0**20),
    ):
        early, late = (n(turn[f"{name}_{when}"] / scale, 4) for when in ("early", "late"))
        yield unit, early, late, n(body[f"{name}_ratio"])


def prompts(body: dict[str, Any]) -> Iterator[Row]:
    """Class weights."""
    yield (
        "tower", "prompts", "engine", "open_clip, s", "fastclip, s", "times faster",
        "with tokenising, once a sweep", "largest difference of a weight",
    )  # fmt: skip
    for row in body["prompts"]:
        yield (
            row["model"],
            f"{row['prompts']:,}",
            f"{row['engine']} {row['precision']}",
            n(row["open_clip_seconds"]),
            n(row["fastclip_seconds"]),
            f"{n(row['times_faster'])} x",
            f"{n(row['times_faster_first_checkpoint'])} x",
            n(row["largest_difference"], 1),
        )


def savings(body: dict[str, Any]) -> Iterator[Row]:
    """What each saves."""
    yield (
        "model", "without", "time per checkpoint", "processor time of the sweep",
        "largest difference of a number",
    )  # fmt: skip
    for row in body["savings"]:
        yield (
            row["model"],
            row["without"],
            f"{n(row['checkpoint_ratio'])} x",
            f"{n(row['cpu_ratio'])} x",
            n(row["largest_difference"], 1),
        )


def growth(body: dict[str, Any]) -> Iterator[Row]:
    """Whole processes."""
    yield "what grows", "to", "plain loop, s", "fastclip, s", "no picture cached, s"
    for row in body["growth"]:
        cold = row["wall"].get("fastclip cold")
        yield (
            row["axis"],
            f"{row['amount']:,}",
            n(row["wall"]["plain loop"]),
            n(row["wall"]["fastclip"]),
            n(cold) if cold else "",
        )


def cluster(body: dict[str, Any]) -> Iterator[Row]:
    """What died, and what became of it."""
    yield "what", "Ray, 4 actors", "two shares"
    ray, shard = body["ray"], body["shard"]
    yield "checkpoints", f"{ray['checkpoints']}", f"{body['alone']['checkpoints']}"
    killed = f"{ray['actors_killed']} actors killed, {ray['nodes_removed']} node removed, one added"
    yield "on the way", killed, "one killed, started again"
    yield "failed", f"{ray['failed']}", f"{sum(shard['exit_codes'])}"
    records = body["ray"]["records_alone"]
    yield "records", f"{ray['records']} of {records}", f"{shard['records']} of {records}"
    yield (
        "table equal to one process's",
        str(ray["tables_byte_equal"]),
        str(shard["tables_byte_equal"]),
    )
    yield "driver, ms per checkpoint", n(1000 * ray["driver_seconds_per_checkpoint"], 2), ""
    yield "seconds; one process, one thread", n(ray["seconds"]), n(body["alone"]["seconds"])


def series(body: dict[str, Any]) -> Iterator[Row]:
    """A large series on so many GPUs."""
    yield "GPUs", "hours", "efficiency", "first bottleneck", "minutes of what comes in turn"
    for row in body["model"]["rows"]:
        parts = (
            f"{name} {value:.{0 if value > 10 else 1}f}" for name, value in row["minutes"].items()
        )
        yield (
            f"{row['gpus']}",
            n(row["hours"]),
            f"{row['efficiency']:.2f}",
            row["limit"],
            ", ".join(parts),
        )


TABLES: dict[str, Callable[[dict[str, Any]], Iterator[Row]]] = {
    "encoding": encoding,
    "sweep_speed": sweep_speed,
    "prompts": prompts,
    "startup": startup,
    "steady": steady,
    "savings": savings,
    "growth": growth,
    "cluster": cluster,
    "series": series,
}


if __name__ == "__main__":
    sys.exit(main())
