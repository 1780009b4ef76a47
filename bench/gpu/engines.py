"""The table of engines per architecture, beside the matrix-product rate measured in the same run.

Gates on an H200: 50 % of the fp16 rate for ViT-B-32, 60 % for ViT-B-16 and ViT-L-14; a swap of
ViT-B-32 within 50 ms. Aims: 60,000, 16,000 and 3,500 pictures/s.
"""

from __future__ import annotations

import sys

import common

GATES = {"ViT-B-32": 0.5, "ViT-B-16": 0.6, "ViT-L-14": 0.6}
AIMS = {"ViT-B-32": 60_000, "ViT-B-16": 16_000, "ViT-L-14": 3_500}
SWAP = {"ViT-B-32": 0.05}


def main() -> int:
    """Measure, writing after every architecture."""
    options = common.parser(__doc__).parse_args()
    from fastclip.cli.bench import table
    from fastclip.errors import FastclipError
    from fastclip.sweeper.bench import bench_engines

    report = common.Report(options.output, options.device)
    for name in common.architectures(options.small, *GATES):
        # fp32 is for parity; the speed of what users get is asked for here.
        precisions = ("fp16", "bf16") if options.device.startswith("cuda") else ()
        try:
            found = bench_engines(name, device=options.device, precisions=precisions)
        except FastclipError as error:
            report.fail(f"{name}: {error.what}")
            continue
        print("\n".join(table(found)))
        report.add("architectures", found)
        passed = [row for row in found["engines"] if not row["refusal"]]
        if name in GATES:
            judge(report, name, passed)
    return report.finish()


def judge(report: common.Report, name: str, rows: list[dict[str, float]]) -> None:
    """Hold the fastest fp16 engine against gate, aim and swap."""
    half = [row for row in rows if row["precision"] == "fp16"] or rows
    best = max(half, key=lambda row: row["pictures_per_second"])
    fraction, swap = best["fraction_of_matrix_rate"], best["swap_seconds"]
    report.add(
        "judged",
        {
            "architecture": name,
            "engine": best["engine"],
            "pictures_per_second": best["pictures_per_second"],
            "aim": AIMS[name],
            "fraction_of_matrix_rate": fraction,
            "gate": GATES[name],
            "swap_seconds": swap,
        },
    )
    if fraction < GATES[name]:
        report.fail(f"{name}: {fraction:.0%} of the matrix rate, gate {GATES[name]:.0%}")
    if swap > SWAP.get(name, float("inf")):
        report.fail(f"{name}: swap {1000 * swap:.0f} ms, at most {1000 * SWAP[name]:.0f}")


if __name__ == "__main__":
    sys.exit(main())
