"""Reading a checkpoint's needed tensors."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Self

from fastclip.checkpoints import open_checkpoint, stamp
from fastclip.checkpoints.base import Checkpoint, Metadata
from fastclip.checkpoints.memory import Memory
from fastclip.errors import CheckpointError
from fastclip.files import digest_of
from fastclip.results.identity import checkpoint_id
from fastclip.towers.base import Towers
from fastclip.towers.manifest import adapt


@dataclass
class Loaded:
    """A checkpoint's needed tensors in memory, in the checkpoint's own naming.

    Attributes:
        towers: the architecture's towers with manifests in this checkpoint's naming.
        tensors: `{name: array or torch tensor}`, until `release`.
        digest: of the needed tensors, taken while they were read; `needed` digests their names.
        metadata: what the file itself says of its place in training.
        seconds: per stage, so far "read" and, of one that was read ahead, "wait".
        canary: figures of the check after the swap.
        on_release: called when the tensors are let go.
    """

    checkpoint: Checkpoint
    towers: Towers
    tensors: dict[str, Any]
    digest: str
    checkpoint_id: str
    needed: str
    metadata: Metadata
    seconds: dict[str, float] = field(default_factory=dict)
    canary: dict[str, float] = field(default_factory=dict)
    on_release: Callable[[], None] | None = None

    def release(self) -> None:
        """Let the tensors go: from here on others may be read into their memory.

        For the thread that asks the engine, once the engine has copied or packed what it needs
        and has been asked for an embedding. Again does nothing.
        """
        self.tensors = {}
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
        digest,
        checkpoint_id(digest, towers.architecture),
        digest_of(names, 16),
        metadata,
        {"read": time.perf_counter() - began},
    )
