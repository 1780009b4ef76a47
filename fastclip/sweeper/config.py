"""What a sweep is asked for, and what its output folder has settled."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from fastclip.engines import ENGINES, engine_name
from fastclip.errors import RefusalError, UsageError
from fastclip.evaluators import TASKS
from fastclip.files import create_exclusive, digest_of, readable_json, write_atomic
from fastclip.parity.base import SCREENING
from fastclip.savings import ROUNDED, SAVINGS
from fastclip.stimuli.decoders import DECODERS
from fastclip.stimuli.decoders import DEFAULT as DEFAULT_DECODER

DEFAULT_SIGMA = "0.1"
PRECISIONS = ("auto", "fp32", "fp16", "bf16", "int8")


@dataclass(frozen=True)
class SweepConfig:
    """Everything `fastclip sweep` can be asked for; the defaults are the command's.

    Attributes:
        checkpoints: folders, globs, files, `@list.txt`, `openclip:ARCH/TAG`.
        model: open_clip name, JSON config, or "auto".
        tasks: names from `fastclip.evaluators.TASKS`; empty for every task that has data.
        data_dir, data: where the data sets are (`[KIND:]NAME=PATH` overrides).
        higher_is_better: polarity of an `iqa:` table.
        sigma: comma-separated levels of Gaussian noise, or "cifar-c", "imagenet-c"; None is
            `DEFAULT_SIGMA`, but no noise where `distortion` names other conditions.
        distortion: comma-separated lists of `KIND:PARAMETER=LEVEL`, `KIND:SET=SEVERITY` or
            `KIND:SET` (`fastclip.distortions.levels`), measured beside `sigma`.
        noise_at: where pictures are distorted: "auto" (the data set's own), "native" or "input".
        memory: "auto", a size ("4GiB"), "resident", "mapped" or "generated".
        decoder: name from `fastclip.stimuli.decoders.DECODERS`.
        limit: use only the first N pictures of each set; the rows say so.
        engine, precision, device, batch_size: "auto" (None for the batch) leaves the choice to
            `fastclip.sweeper.choose`; a device is "cpu", "cuda" or "cuda:N".
        without: names of `fastclip.savings.SAVINGS` that are not made: for measuring what they
            save, and that they change nothing.
        rescore: let this output folder change engine family or precision.
        rehash: read the weights of finished checkpoints again and compare digests.
        max_failures: stop once more checkpoints than this have failed; None never stops.
        executor: name from `fastclip.sweeper.executors.EXECUTORS`.
        processes: how many measure at a time; 0 for one, or one per GPU.
        address: of a Ray cluster; None starts or finds one as Ray does.
        shard: `(I, N)`: only the I-th of N equal shares of the checkpoints, I from 1.
    """

    checkpoints: tuple[str, ...]
    output_dir: Path
    model: str = "auto"
    tokenizer: str | None = None
    run: str | None = None
    weights: str = "raw"
    samples_per_epoch: int | None = None
    every: int = 1
    steps: tuple[int | None, int | None] | None = None
    epochs: tuple[int | None, int | None] | None = None
    trust_pickle: bool = False
    tasks: tuple[str, ...] = ()
    data_dir: Path | None = None
    data: tuple[str, ...] = ()
    higher_is_better: bool | None = None
    partial: bool = False
    limit: int | None = None
    skip_bad_pictures: bool = False
    iqa_view: str = "auto"
    class_names: str = "auto"
    sigma: str | None = None
    distortion: tuple[str, ...] = ()
    noise_seed: int = 0
    noise_seeds: int = 1
    noise_at: str = "auto"
    engine: str = "auto"
    precision: str = "auto"
    device: str = "auto"
    batch_size: int | None = None
    workers: int = 0
    memory: str = "auto"
    decoder: str = DEFAULT_DECODER
    cache_dir: Path | None = None
    without: tuple[str, ...] = ()
    overwrite: bool = False
    rescore: bool = False
    rehash: bool = False
    max_failures: int | None = None
    executor: str = "local"
    processes: int = 0
    address: str | None = None
    shard: tuple[int, int] | None = None

    def __post_init__(self) -> None:
        for task in self.tasks:
            if task not in TASKS:
                raise UsageError(f"unknown task '{task}'", mend=f"choose of: {', '.join(TASKS)}")
        if self.engine != "auto" and self.engine not in ENGINES:
            raise UsageError(
                f"unknown engine '{self.engine}'", mend=f"choose of: auto, {', '.join(ENGINES)}"
            )
        if self.decoder not in DECODERS:
            raise UsageError(
                f"unknown decoder '{self.decoder}'", mend=f"choose of: {', '.join(DECODERS)}"
            )
        for saving in self.without:
            if saving not in SAVINGS:
                raise UsageError(
                    f"unknown saving '{saving}'",
                    where="--without",
                    mend=f"choose of: {', '.join(SAVINGS)}",
                )
        rounded = [saving for saving in self.without if saving in ROUNDED]
        if rounded and self.precision in SCREENING:
            raise UsageError(
                f"at {self.precision} numbers depend on {', '.join(rounded)}",
                where="--without",
                mend="leave it out, or measure in fp32, where these savings are exact",
            )
        refuse_unknown(self.device, self.precision)
        for option in ("batch_size", "limit", "every", "noise_seeds"):
            value = getattr(self, option)
            if value is not None and value < 1:
                raise UsageError(f"{value} is less than 1", where=f"--{option.replace('_', '-')}")
        for option in ("workers", "processes"):
            if getattr(self, option) < 0:
                raise UsageError(f"{getattr(self, option)} is less than 0", where=f"--{option}")
        if self.shard is not None and not 1 <= self.shard[0] <= self.shard[1]:
            raise UsageError(
                f"there is no share {self.shard[0]} of {self.shard[1]}",
                where="--shard",
                mend="I/N with I from 1 to N, e.g. 3/8",
            )

    @property
    def request(self) -> str:
        """Digest of the options that decide what a checkpoint file is taken for."""
        return digest_of([self.model, self.tokenizer], 12)

    def as_json(self) -> dict[str, Any]:
        """The options as JSON values, for `config.json`."""
        return json.loads(json.dumps(asdict(self), default=str))  # type: ignore[no-any-return]


def refuse_unknown(device: str, precision: str) -> None:
    """Raise UsageError where a device or a precision is no such thing; lists the choices."""
    if not re.fullmatch(r"auto|cpu|cuda(:\d+)?", device):
        raise UsageError(
            f"unknown device '{device}'",
            where="--device",
            mend="choose of: auto, cpu, cuda, cuda:N",
        )
    if precision not in PRECISIONS:
        raise UsageError(
            f"unknown precision '{precision}'",
            where="--precision",
            mend=f"choose of: {', '.join(PRECISIONS)}",
        )


@dataclass(frozen=True)
class Settled:
    """What `OUT/config.json` settles once, obeyed by every resume and every worker.

    `device` is the kind, `image_batch` is in pictures. `options` are those of the call that
    settled the folder and `trials` what it saw of each engine, for readers; nothing is decided
    from them. `without` are the savings that are not made. `primary` names each task's primary
    endpoint (`fastclip.evaluators.primary`); it stays what it was when the folder was settled.
    """

    engine: str
    precision: str
    threads: int
    image_batch: int
    options: Mapping[str, Any]
    fastclip_version: str
    device: str = "cpu"
    without: Sequence[str] = ()
    trials: Sequence[Mapping[str, Any]] = ()
    primary: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)


def read_settled(out: Path) -> Settled | None:
    """What the output folder settled earlier, or None for a new one."""
    path = out / "config.json"
    if not path.is_file():
        return None
    try:
        return Settled(**json.loads(path.read_bytes()))
    except (ValueError, TypeError) as error:
        raise RefusalError(
            f"config.json is not this version's ({error})",
            where=path,
            mend="sweep into a new -o folder, or delete this one",
        ) from error


def agree(config: SweepConfig) -> tuple[Settled | None, list[str]]:
    """What the folder settled earlier, or None where this sweep may choose.

    Returns:
        That, and warnings about options that have no effect.

    Raises:
        UsageError: the folder holds another precision, device or engine than asked for, and
            `rescore` is off.
    """
    earlier = read_settled(config.output_dir)
    if earlier is None or config.rescore:
        return None, []
    settled = {
        "engine": earlier.engine,
        "precision": earlier.precision,
        "device": earlier.device,
    }
    asked = {
        "engine": engine_name(config.engine, earlier.device),
        "precision": config.precision,
        "device": config.device.split(":")[0],
    }
    if any(value not in ("auto", settled[option]) for option, value in asked.items()):
        wanted = [value for value in asked.values() if value != "auto"]
        raise UsageError(
            f"this folder holds {earlier.engine} {earlier.precision} results; "
            f"asked for {' '.join(wanted)}",
            where=config.output_dir,
            mend="use another -o folder, or --rescore to measure everything again",
        )
    sizes = (
        ("--workers", config.workers or None, earlier.threads),
        ("--batch-size", config.batch_size, earlier.image_batch),
        ("--without", ",".join(config.without) or None, ",".join(earlier.without)),
    )
    return earlier, [
        f"{option} {value} has no effect: this folder settled on {settled_on or 'none'} (equal "
        "batches and threads keep results byte-equal)"
        for option, value, settled_on in sizes
        if value is not None and value != settled_on
    ]


def settle(config: SweepConfig, settled: Settled) -> Settled:
    """Write `OUT/config.json`, or take over what another process wrote in the meantime.

    Raises:
        UsageError: that is another precision or engine family; or with `rescore`, which measures
            what has no record, all records would stay and be said to be of other settings.
    """
    path = config.output_dir / "config.json"
    body = readable_json(asdict(settled))
    if config.rescore:
        _refuse_relabelling(config, settled)
        write_atomic(path, body)
    elif not create_exclusive(path, body):
        earlier, _ = agree(config)
        assert earlier is not None  # another process wrote it a moment ago
        return earlier
    return settled


def _refuse_relabelling(config: SweepConfig, settled: Settled) -> None:
    before = read_settled(config.output_dir)
    if before is None or config.overwrite:
        return
    if (before.engine, before.precision) != (settled.engine, settled.precision):
        return
    changed = [
        option
        for option, old, new in (
            ("--batch-size", before.image_batch, settled.image_batch),
            ("--workers", before.threads, settled.threads),
            ("--without", tuple(before.without), tuple(settled.without)),
        )
        if old != new
    ]
    if changed:
        raise UsageError(
            f"this folder has {before.engine} {before.precision} results already, measured with "
            f"another {' and '.join(changed)}",
            where=config.output_dir,
            mend="add --overwrite to measure everything again, or use another -o folder",
        )
