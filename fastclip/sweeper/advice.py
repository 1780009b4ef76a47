"""What a profile's figures say against the machine's ceilings, and what a user can change."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from fastclip.engines import ENGINES
from fastclip.parity.base import SCREENING
from fastclip.sweeper.ceilings import MATRIX_PRECISIONS, matrix_product_rate, memory_bandwidth
from fastclip.sweeper.profile import AHEAD, BEHIND, Group, Profile

MATTERS = 0.1
"""Share of the time from which something is worth a word."""

MOST = 0.5
"""Share of the time from which it is what the time is about."""

WELL = 0.6
"""Fraction of the matrix-product rate below which another engine or batch may be faster."""

FASTER = 1.3
"""How much faster a precision's products must be to be worth a word."""

KEPT = {
    "pictures": "pictures: what was decoded is in the cache now, a second sweep decodes nothing",
    "graph": "the graph: what was exported is in the cache now",
    "probe": "the probe: an engine that has passed it is not probed again",
    "trial": "trying engines: this output folder has settled on one",
}
"""Phase -> what became of its work, for the next sweep."""


@dataclass(frozen=True)
class Ceilings:
    """What the device can do.

    Attributes:
        matrix: precision -> FLOP/s of a square matrix product, for the group's own precision and
            for those that an engine here can screen with.
        copy: bytes/s, read and written.
    """

    matrix: dict[str, float]
    copy: float


def measure_ceilings(group: Group) -> Ceilings:
    """Measure them now, on as many threads as the engine had."""
    wanted = {group.precision, *(_screening_here(group) if group.precision == "fp32" else ())}
    return Ceilings(
        {
            precision: matrix_product_rate(group.device, precision, threads=group.threads)
            for precision in MATRIX_PRECISIONS
            if precision in wanted
        },
        memory_bandwidth(group.device, threads=group.threads),
    )


def _screening_here(group: Group) -> set[str]:
    kind = group.device.split(":")[0]
    engines = [ENGINES.get(name) for name in ENGINES]
    return {
        precision
        for engine in engines
        if kind in engine.devices and engine.unavailable(group.device) is None
        for precision in set(engine.precisions) & set(SCREENING)
    }


def fraction(group: Group, ceilings: Ceilings) -> float | None:
    """Of the matrix-product rate, while pictures are encoded; None where it has no ceiling."""
    speed, ceiling = group.pictures_per_second, ceilings.matrix.get(group.precision)
    return speed * group.flop / ceiling if speed and ceiling else None


def reached(group: Group, ceilings: Ceilings) -> Iterator[str]:
    """What was reached of each ceiling."""
    speed = group.pictures_per_second
    yield f"  the engine encoded {group.encoding:.0%} of the time"
    if speed:
        words = f"  pictures: {speed:,.0f}/s of {group.flop / 1e9:.3g} GFLOP"
        part = fraction(group, ceilings)
        if part is not None:
            words += (
                f" are {speed * group.flop / 1e9:,.0f} GFLOP/s, {part:.0%} of the "
                f"{ceilings.matrix[group.precision] / 1e9:,.0f} of a {group.precision} matrix "
                "product, measured now"
            )
        yield words
    weights = group.weight_bytes * len(group.steady)
    for what, stages in (("packed and prepared", ("pack", "prepare")), ("swapped in", ("swap",))):
        rate = group.rate(weights, *stages)
        if rate:
            yield (
                f"  weights {what}: {group.weight_bytes / 1e6:,.0f} MB at {rate / 1e6:,.0f} MB/s; "
                f"memory is copied at {ceilings.copy / 2e6:,.0f}"
            )
    read = sum(visit.read_bytes for visit in group.steady)
    rate = group.rate(read, "read")
    if rate:
        each = read / len(group.steady) / 1e6
        yield f"  checkpoints read: {each:,.0f} MB at {rate / 1e6:,.0f} MB/s, {_source(group)}"


def _from_cache(group: Group) -> bool | None:
    """Whether nearly nothing came from storage; None where the system does not tell."""
    if group.fetched is None:
        return None
    return group.fetched < MATTERS * sum(visit.read_bytes for visit in group.visits)


def _source(group: Group) -> str:
    from_cache = _from_cache(group)
    if from_cache is None:
        return "hashed meanwhile"
    return f"{'from the page cache' if from_cache else 'from storage'}, hashed meanwhile"


def advice(profile: Profile, group: Group, ceilings: Ceilings) -> Iterator[str]:
    """What to change, by rules on the figures; never empty."""
    found = [
        *_start_up(profile),
        *_waiting(group),
        *_scoring(group),
        *_encoding(group, ceilings),
        *_screening(group, ceilings),
    ]
    yield from found
    if not found:
        part = fraction(group, ceilings)
        rate = f", at {part:.0%} of the matrix-product rate" if part is not None else ""
        yield f"nothing: the engine encodes {group.encoding:.0%} of the time{rate}"


def _start_up(profile: Profile) -> Iterator[str]:
    whole = profile.start_up + sum(g.visits[-1].ended - g.began for g in profile.measured)
    again = profile.start_up
    for phase, what in KEPT.items():
        spent = profile.phases.get(phase, 0.0)
        if spent > MATTERS * whole:
            again -= spent
            yield f"{spent / whole:.0%} of the time went into {what}"
    if again > MOST * whole:
        yield (
            f"{again / whole:.0%} of the time was start-up, which is the same for one checkpoint "
            "and for hundreds: name more of them in one call"
        )


def _waiting(group: Group) -> Iterator[str]:
    share = group.share("wait")
    if share < MATTERS:
        return
    reading, rest = group.total("read"), group.total(*AHEAD[1:]) if group.prepares_ahead else 0.0
    head = f"the engine waited {share:.0%} of the time for the next checkpoint: "
    if rest > reading:
        yield (
            head + f"preparing it takes {rest / len(group.steady):.2f} s, more than reading it; up "
            "to there more tasks, levels or pictures in the same call cost no time"
        )
    elif _from_cache(group):
        yield (
            head + "reading and hashing it takes longer than encoding, though it lay in memory; "
            "up to there more tasks, levels or pictures in the same call cost no time"
        )
    else:
        yield head + "copy the checkpoints to a faster disk, or measure more in the same call"


def _scoring(group: Group) -> Iterator[str]:
    behind = group.total(*BEHIND)
    if behind > group.total("encode_images", "encode_texts") and behind > MOST * group.wall:
        each = behind / len(group.steady)
        yield (
            f"scoring and writing a checkpoint takes {each:.2f} s, longer than encoding it: leave "
            "out tasks (--tasks), levels or seeds that you do not need"
        )


def _encoding(group: Group, ceilings: Ceilings) -> Iterator[str]:
    part = fraction(group, ceilings)
    if part is None or part >= WELL or group.encoding < MOST:
        return
    yield (
        f"encoding reaches {part:.0%} of the matrix-product rate: try another --engine "
        f"(`fastclip bench engines {group.name}` compares them) or --batch-size than "
        f"{group.image_batch}"
    )


def _screening(group: Group, ceilings: Ceilings) -> Iterator[str]:
    own = ceilings.matrix.get(group.precision)
    if own is None or group.encoding < MOST:
        return
    for precision, rate in ceilings.matrix.items():
        if precision in SCREENING and rate > FASTER * own:
            yield (
                f"{precision} products are {rate / own:.1f} times as fast here: `--precision "
                f"{precision}` may screen faster, a small tower hardly (`fastclip bench engines "
                f"{group.name}` tries), at a cost in accuracy that `fastclip verify --precision "
                f"{precision} CKPTS` says"
            )
