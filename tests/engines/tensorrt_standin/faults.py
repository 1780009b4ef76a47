"""What the stand-in can be told to do wrong, and what it has been asked to do."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, fields
from typing import Any


def never(refit: int) -> bool:
    """For faults that depend on how many refits came before."""
    return False


@dataclass
class Faults:
    """Ways in which TensorRT is known to have failed; all of them concern the picture tower.

    Weights are named by how their names end. Predicates get the number of the refit: 1 for the
    picture tower's first after `reset`.

    Attributes:
        gpu: the GPU of this machine; a plan built on another one is not deserialised.
        version: of TensorRT; a plan of another version is not deserialised.
        drops: built as zero and not exposed through the refit API (kREFIT, "a GEMM bias can be
            dropped and treated as zero").
        ignores: exposed, accepted, and treated as zero all the same.
        merges: two weights of one shape share memory, so that both are whatever came last.
        merges_equal: weights that are equal when the engine is built share memory.
        keeps: not updated by refits for which `keeps_at` holds.
        nan: the tower returns NaN after these refits.
        refuses: these refits change half of the weights and return False.
        builds_nothing: `build_serialized_network` logs an error and returns None.
        answers: `{"Class.method": what it returns}`, without doing anything.
    """

    gpu: str = "stand-in GPU"
    version: str = "11.4.0.106"
    drops: str | None = None
    ignores: str | None = None
    merges: tuple[str, str] | None = None
    merges_equal: bool = False
    keeps: str | None = None
    keeps_at: Callable[[int], bool] = never
    nan: Callable[[int], bool] = never
    refuses: Callable[[int], bool] = never
    builds_nothing: bool = False
    answers: dict[str, Any] = field(default_factory=dict)


@dataclass
class Seen:
    """What was asked of the stand-in since `reset`.

    Attributes:
        builds: for every engine built, the names of its builder and network flags and the
            compute types of its weights.
        deserialised, refused_plans: plans that were loaded, or not.
        refits: of the picture tower.
        locations: where refitted weights lay ("DEVICE", "HOST").
        timed: builds that found themselves in the timing cache.
    """

    builds: list[frozenset[str]] = field(default_factory=list)
    deserialised: int = 0
    refused_plans: int = 0
    refits: int = 0
    locations: set[str] = field(default_factory=set)
    timed: int = 0


FAULTS = Faults()
SEEN = Seen()


def reset() -> None:
    """No faults, nothing seen."""
    for instance in (FAULTS, SEEN):
        fresh = type(instance)()
        for each in fields(instance):
            setattr(instance, each.name, getattr(fresh, each.name))


def set_faults(**faults: Any) -> None:
    """What is wrong from now on; see `Faults`."""
    for name, value in faults.items():
        assert hasattr(FAULTS, name), name
        setattr(FAULTS, name, value)
