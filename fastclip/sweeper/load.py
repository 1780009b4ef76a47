"""Reading a checkpoint's needed tensors, and making them ready for the engine."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Self

from fastclip.checkpoints import open_checkpoint, stamp
from fastclip.checkpoints.base import Checkpoint, Metadata
from fastclip.checkpoints.memory import Memory
from fastclip.engines.base import Prepared
from fastclip.errors import CheckpointError, FastclipError
from fastclip.files import digest_of
from fastclip.parity.canary import Reference
from fastclip.results.identity import checkpoint_id
from fastclip.towers.base import Towers
from fastclip.towers.manifest import adapt


@dataclass
class Ready:
    """A checkpoint as the engine takes it.

    Attributes:
        weights: what `Engine.prepare` returned.
        logit_scale: exp of the checkpoint's; None where it has none.
        reference: what the canary compares the engine with.
    """

    weights: Prepared
    logit_scale: float | None
    reference: Reference


@dataclass
class Loaded:
    """A checkpoint's needed tensors in memory, in the checkpoint's own naming.

    Attributes:
        towers: the architecture's towers with manifests in this checkpoint's naming.
        tensors: `{name: array or torch tensor}`, until `release`.
        nbytes: of the tensors as they were read.
        digest: of the needed tensors, taken while they were read; `needed` digests their names.
        metadata: what the file itself says of its place in training.
        ready: the weights as the engine takes them, where they were prepared ahead.
        refusal: why that failed; raised when the checkpoint is swapped in.
        seconds: per stage, so far "read" and, of one that was read ahead, "wait".
        canary: figures of the check after the swap.
        on_release: called when the tensors are let go.
    """

    checkpoint: Checkpoint
    towers: Towers
    tensors: dict[str, Any]
    nbytes: int
    digest: str
    checkpoint_id: str
    needed: str
    metadata: Metadata
    ready: Ready | None = None
    refusal: FastclipError | None = None
    seconds: dict[str, float] = field(default_factory=dict)
    canary: dict[str, float] = field(default_factory=dict)
    on_release: Callable[[], None] | None = None

    def release(self) -> None:
        """Let the tensors go: from here on others may be read into their memory.

        For the thread that asks the engine, once the engine has copied or packed what it needs
        and has been asked for an embedding. Again does nothing.
        """
        self.tensors, self.ready = {}, None
        if self.on_release is not None:
            on_release, self.on_release = self.on_release, None
            on_release()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.release()


def load(
    checkpoint: Checkpoint, towers: Towers, memory: Memory | None = None, *, trust_pickle: bool
) -> Loaded:
    """Read what the towers need of a checkpoint and nothing else.

    Args:
        memory: where to (`CheckpointFile.read`).

    Raises:
        CheckpointError: unreadable, cut short, another architecture, or changed while it was
            read (its stamp afterwards is not the one it was found with).
    """
    began = time.perf_counter()
    with open_checkpoint(checkpoint, trust_pickle) as file:
        adapted = adapt(towers, file.tensors, file.layout)
        names = sorted({*adapted.manifest.needed, *adapted.module_manifest.needed})
        tensors = file.read(names, memory)
        digest = file.digest(names)
        metadata = file.metadata
    if stamp(checkpoint) != checkpoint.stamp:
        raise CheckpointError(
            "the file changed while it was read",
            where=checkpoint.path,
            mend="wait until the training run has finished writing it, then sweep again",
        )
    return Loaded(
        checkpoint,
        adapted,
        tensors,
        sum(tensor.nbytes for tensor in tensors.values()),
        digest,
        checkpoint_id(digest, towers.architecture),
        digest_of(names, 16),
        metadata,
        seconds={"read": time.perf_counter() - began},
    )
