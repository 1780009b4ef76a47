"""Which engine a new output folder settles on."""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path

from fastclip.engines import CANDIDATES, ENGINES, engine_name
from fastclip.errors import RefusalError, UsageError
from fastclip.sweeper.config import Settled, SweepConfig, read_settled
from fastclip.sweeper.contest import Contest, Work
from fastclip.sweeper.trial import SECONDS, Attempt, Trial, shapes_of

Log = Callable[[str], None]


def choose(
    config: SweepConfig,
    works: Callable[[], Sequence[Work]],
    *,
    threads: int,
    version: str,
    cache_dir: Path,
    log: Log,
) -> Settled:
    """The engine, precision and batch sizes for a sweep into a new folder.

    One named engine at one precision is taken as it is. Among several, each is opened, probed
    and timed for two seconds on every architecture, once per machine; of those that passed
    everywhere the one that would be done first is taken, an earlier one of `CANDIDATES` where the
    difference is small. Where none is named on CUDA, fp16 comes first, and bf16 where fp16
    overflowed.

    Args:
        works: one for each architecture that can be measured; asked for only where engines are
            tried.
        cache_dir: where passed trials are kept.

    Raises:
        RefusalError: no engine passed its trials; says why for each.
    """
    device, names, precisions = _asked(config)
    if config.engine == "auto" and device == "cpu":
        # Nobody misses what is optional, unless there is nothing else.
        names = tuple(n for n in names if ENGINES.get(n).unavailable(device) is None) or names
    trials: list[Trial] = []
    if len(names) * len(precisions) == 1:
        name, precision = names[0], precisions[0]
    else:
        # A trial of one engine only asks whether it overflows.
        seconds = SECONDS if len(names) > 1 else 0.0
        attempts = [
            Attempt(name, precisions[0], device, threads, config.batch_size, seconds)
            for name in names
        ]
        contest = Contest(works(), attempts, precisions, cache_dir, log)
        best = contest.best()
        if best is None:
            raise refusal(contest.trials, device)
        trials = contest.trials
        name, precision = best.engine, best.precision
        log(f"engine {name} {precision}: done first with these checkpoints and pictures")
        if precision == "bf16" and config.precision == "auto":
            log("fp16 overflowed with every engine; bf16 moves SRCC by up to .015")
    return Settled(
        engine=name,
        precision=precision,
        threads=threads,
        image_batch=shapes_of(ENGINES.get(name), config.batch_size).image_batch,
        options=config.as_json(),
        fastclip_version=version,
        device=device.split(":")[0],
        trials=tuple(asdict(trial) for trial in trials),
    )


def refuse_absent(config: SweepConfig, settled: Settled | None) -> None:
    """Refuse at once what no work can mend: an engine or a device that is not here.

    Args:
        settled: what the output folder settled earlier.

    Raises:
        UsageError: the engine does not run on the device, or not at the precision.
        RefusalError: none of the engines in question can be used here; says why for each.
    """
    if settled is None:
        device, names, precisions = _asked(config)
    else:
        device, names = device_of(config, settled), (settled.engine,)
        precisions = (settled.precision,)
    absent = []
    for name in names:
        reason = ENGINES.get(name).unavailable(device)
        if reason is None:
            return  # one is enough; whether the others are here is asked when they are tried
        absent.append(Trial(name, precisions[0], reason))
    raise refusal(absent, device)


def device_of(config: SweepConfig, settled: Settled) -> str:
    """The device for this sweep: "cuda:1" may be another one than settled the folder."""
    return settled.device if config.device == "auto" else config.device


def runs_on(name: str, kind: str) -> bool:
    """Whether an engine is made for this kind of device."""
    return kind in ENGINES.get(name).devices


def unused_gpu(device: str) -> str:
    """A word of warning where a sweep goes to the CPU beside an NVIDIA driver; else ""."""
    if device != "cpu" or not Path("/proc/driver/nvidia/version").exists():
        return ""
    return " (this machine has an NVIDIA driver: see `fastclip ls engines` for why it is not used)"


def usable_device() -> str:
    """ "cuda" where torch finds a CUDA device, else "cpu"."""
    try:
        ctypes.CDLL("libcuda.so.1")
    except OSError:
        return "cpu"  # no driver, so torch, which takes seconds to import, would find nothing
    import torch

    return "cuda" if torch.cuda.is_available() else "cpu"


def likely(config: SweepConfig) -> tuple[str, str]:
    """Device and precision that a sweep would use, as far as can be told without trying."""
    settled = read_settled(config.output_dir)
    if settled is not None and not config.rescore:
        return settled.device, settled.precision
    device = _device(config)
    usual = "fp16" if device.startswith("cuda") else "fp32"
    return device, usual if config.precision == "auto" else config.precision


def _asked(config: SweepConfig) -> tuple[str, tuple[str, ...], tuple[str, ...]]:
    """The device, the engines that may be chosen, and the precisions in order of preference."""
    device = _device(config)
    names = _names(config, device)
    precisions = _precisions(config, names, device.split(":")[0])
    names = tuple(n for n in names if set(precisions) & set(ENGINES.get(n).precisions))
    return device, names, precisions


def _device(config: SweepConfig) -> str:
    if config.device != "auto":
        return config.device
    if config.engine == "auto":
        return usable_device()
    return ENGINES.get(config.engine).devices[0]


def _names(config: SweepConfig, device: str) -> tuple[str, ...]:
    kind = device.split(":")[0]
    if config.engine != "auto":
        name = engine_name(config.engine, device)
        if kind not in ENGINES.get(name).devices:
            raise UsageError(
                f"engine '{name}' does not run on '{device}'",
                where="--engine",
                mend=f"choose one of: {', '.join(n for n in ENGINES if runs_on(n, kind))}",
            )
        return (name,)
    return CANDIDATES[kind]


def _known_to(name: str) -> tuple[str, ...]:
    return ENGINES.get(name).precisions


def _precisions(config: SweepConfig, names: tuple[str, ...], kind: str) -> tuple[str, ...]:
    known = list(dict.fromkeys(p for name in names for p in ENGINES.get(name).precisions))
    if config.precision == "auto":
        return ("fp16", "bf16") if known[0] == "fp16" and "bf16" in known else (known[0],)
    if config.precision not in known:
        able = [n for n in ENGINES if runs_on(n, kind) and config.precision in _known_to(n)]
        raise UsageError(
            f"{', '.join(names)}: cannot compute in '{config.precision}'",
            where="--precision",
            mend=f"choose one of: auto, {', '.join(known)}; in '{config.precision}' on '{kind}': "
            + (", ".join(f"--engine {name}" for name in able) or "no engine"),
        )
    return (config.precision,)


def refusal(trials: Sequence[Trial], device: str) -> RefusalError:
    """What to raise where none of these engines can be used: says why for each."""
    tried: dict[tuple[str, str], list[str]] = {}
    for trial in trials:
        tried.setdefault((trial.engine, trial.refusal), []).append(trial.precision)
    reasons = "".join(f"\n  {e} {', '.join(p)}: {why}" for (e, why), p in tried.items())
    if len(trials) == 1:
        what = f"engine '{trials[0].engine}' cannot be used on '{device}': {trials[0].refusal}"
    else:
        what = f"no engine can be used on '{device}':{reasons}"
    return RefusalError(
        what,
        where="--engine",
        mend="mend that, or measure on the CPU (`--engine auto --device cpu`, another -o folder "
        "where this one holds results)",
    )
