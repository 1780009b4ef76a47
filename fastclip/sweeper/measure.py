"""One checkpoint on its stage: swap, prove, encode, score."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from fastclip.engines.memory import release_freed_memory
from fastclip.engines.text_batches import encode_prompts, select_text_batches
from fastclip.errors import CheckpointError, EngineError
from fastclip.evaluators.base import Result
from fastclip.sweeper.load import Loaded, Ready
from fastclip.sweeper.stage import Stage, Unit
from fastclip.towers.recipes import pack

ROWS_PER_UPDATE = 4096


@dataclass
class Encoded:
    """What one unit asked for, on the host.

    `seconds` is its own encoding (shared views count whole); `pictures` how many were encoded for
    it that no unit before it had needed.
    """

    unit: Unit
    embeddings: dict[str, npt.NDArray[np.float32]]
    texts: npt.NDArray[np.float32] | None
    seconds: float
    pictures: int


@dataclass
class Measured:
    """One unit's result.

    `seconds` is its own encoding (shared views count whole) and scoring; `pictures` how many were
    encoded for it that no unit before it had needed.
    """

    unit: Unit
    result: Result
    seconds: float
    pictures: int


class CanaryError(CheckpointError):
    """After the swap the engine does not compute what open_clip computes."""

    def __init__(self, figures: dict[str, float], explanation: str, where: str) -> None:
        super().__init__(
            f"the canary failed after the weights were swapped: {explanation}",
            where=where,
            mend="the other checkpoints are not affected; try --engine torch for this one",
        )
        self.figures = figures


@contextmanager
def timed(seconds: dict[str, float], stage: str) -> Iterator[None]:
    """Add the block's wall time to `seconds[stage]`."""
    began = time.perf_counter()
    yield
    seconds[stage] = seconds.get(stage, 0.0) + time.perf_counter() - began


def prepare(stage: Stage, loaded: Loaded) -> None:
    """Do what of a swap need not wait for the engine, and let the tensors go.

    For the reader's thread, while the checkpoint before is encoded. What is wrong with this one
    is told when it is swapped in.
    """
    seconds = loaded.seconds
    try:
        with timed(seconds, "pack"):
            packed = pack(stage.engine.manifest(loaded.towers), loaded.tensors)
        scale = logit_scale(packed)
        with timed(seconds, "prepare"):
            weights = stage.engine.prepare(packed)
        del packed
        with timed(seconds, "reference"):
            module_tensors = pack(loaded.towers.module_manifest, loaded.tensors)
            reference = stage.canary.reference(module_tensors)
        del module_tensors
        loaded.ready = Ready(weights, scale, reference)
    except (CheckpointError, EngineError) as refusal:
        # Its frames hold all of the checkpoint's tensors.
        loaded.refusal = refusal.with_traceback(None)
    loaded.tensors = {}
    release_freed_memory()


def swap(stage: Stage, loaded: Loaded) -> float | None:
    """Put a checkpoint's weights into the engine; returns exp(logit scale).

    What is encoded then counts only once `prove` has said that they are the right ones.

    Raises:
        CheckpointError: weights hold NaN.
        EngineError: the engine does not take them.
    """
    if loaded.refusal is not None:
        raise loaded.refusal
    if loaded.ready is not None:
        with timed(loaded.seconds, "swap"):
            stage.engine.load(loaded.ready.weights)
        return loaded.ready.logit_scale
    with timed(loaded.seconds, "pack"):
        loaded.tensors = dict(stage.engine.upload(loaded.tensors))
        packed = pack(stage.engine.manifest(loaded.towers), loaded.tensors)
    with timed(loaded.seconds, "swap"):
        stage.engine.load(packed)
    return logit_scale(packed)


def prove(stage: Stage, loaded: Loaded) -> None:
    """Compare the engine, a checkpoint's weights in it, with open_clip's module.

    Waits for the canary where it is not there yet. Releases `loaded` when done: from then on only
    the engine holds the weights, and there is room for the next checkpoint's.

    Raises:
        CheckpointError: the canary failed.
        EngineError: open_clip cannot build the architecture here.
    """
    prepared = loaded.ready is not None
    with timed(loaded.seconds, "canary"):
        if loaded.ready is not None:
            report = stage.canary.compare(stage.engine, loaded.ready.reference)
        else:
            module_tensors = pack(loaded.towers.module_manifest, loaded.tensors)
            report = stage.canary.check(stage.engine, module_tensors)
            del module_tensors
    loaded.release()
    if not prepared:  # `prepare` did it in the reader's thread
        release_freed_memory()
    loaded.canary = dict(report.figures)
    if not report.passed:
        raise CanaryError(report.figures, report.explain(), str(loaded.checkpoint.path))


def logit_scale(packed: Mapping[str, Any]) -> float | None:
    """exp of a checkpoint's logit scale, infinite where it overflows; None where it has none."""
    stored = packed.get("logit_scale")
    if stored is None:
        return None
    with np.errstate(over="ignore"):
        return float(np.exp(float(stored.reshape(-1)[0])))


def encode(stage: Stage, units: Sequence[Unit], seconds: dict[str, float]) -> Iterator[Encoded]:
    """Encode what each of these units needs; what several need, once.

    Args:
        units: evaluators that come after another come after it here.
        seconds: per stage, added to.
    """
    texts, text_seconds = None, 0.0
    embeddings: dict[str, npt.NDArray[np.float32]] = {}
    cost: dict[str, float] = {}
    last_use = {key: unit for unit in units for key in unit.views.values()}
    for unit in units:
        if "prompts" in stage.without:
            texts, text_seconds = _encode_texts(stage, [unit], seconds)
        elif texts is None and unit.prompt_rows.size:
            texts, text_seconds = _encode_texts(stage, units, seconds)
        pictures = 0
        for key in unit.views.values():
            if key not in embeddings:
                pictures += stage.placed[key].view.pixels.shape[0]
                began = time.perf_counter()
                embeddings[key] = _encode_view(stage, key)
                cost[key] = time.perf_counter() - began
                seconds["encode_images"] = seconds.get("encode_images", 0.0) + cost[key]
        spent = sum(cost[key] for key in unit.views.values())
        if unit.prompt_rows.size:
            spent += text_seconds
        mine = {key: embeddings[key] for key in unit.views.values()}
        for key in mine:
            if last_use[key] is unit or "shared-views" in stage.without:
                embeddings.pop(key)
        yield Encoded(unit, mine, texts, spent, pictures)


def encode_proven(stage: Stage, units: Sequence[Unit], loaded: Loaded) -> Iterator[Encoded]:
    """`encode`, but nothing is given out before `prove`.

    Which is first, unless open_clip is still being imported: encoding need not wait for that.

    Raises:
        CheckpointError, EngineError: as `prove`.
    """
    encoding = encode(stage, units, loaded.seconds)
    held: list[Encoded] = []
    while not stage.can_prove and (encoded := next(encoding, None)) is not None:
        held.append(encoded)
    prove(stage, loaded)
    yield from held
    held.clear()
    yield from encoding


def score(
    stage: Stage,
    encoded: Encoded,
    logit_scale: float | None,
    earlier: dict[str, Result],
    seconds: dict[str, float],
) -> Measured:
    """Score one unit.

    Args:
        earlier: by protocol id, what finished units found that others come after; extended.
        seconds: per stage, added to.
    """
    began = time.perf_counter()
    unit = encoded.unit
    result = _score(stage, unit, encoded.embeddings, encoded.texts, logit_scale, earlier)
    scoring = time.perf_counter() - began
    seconds["score"] = seconds.get("score", 0.0) + scoring
    earlier[unit.protocol_id] = result
    return Measured(unit, result, scoring + encoded.seconds, encoded.pictures)


def prompt_rows(units: Sequence[Unit]) -> npt.NDArray[np.int64]:
    """Rows of the agenda's distinct prompts that any of these units wants, sorted."""
    return np.unique(np.concatenate([unit.prompt_rows for unit in units]))


def _encode_view(stage: Stage, key: str) -> npt.NDArray[np.float32]:
    placed = stage.placed[key]
    count, batch = placed.view.pixels.shape[0], stage.shapes.image_batch
    outputs = [
        stage.engine.encode_images(placed.handle, lo, min(lo + batch, count))
        for lo in range(0, count, batch)
    ]
    return stage.engine.fetch(*outputs)


def _encode_texts(
    stage: Stage, units: Sequence[Unit], seconds: dict[str, float]
) -> tuple[npt.NDArray[np.float32] | None, float]:
    wanted = prompt_rows(units)
    if not wanted.size:
        return None, 0.0
    began = time.perf_counter()
    batches = select_text_batches(stage.text_batches, wanted)
    texts = encode_prompts(stage.engine, batches, stage.n_prompts)
    spent = time.perf_counter() - began
    seconds["encode_texts"] = seconds.get("encode_texts", 0.0) + spent
    return texts, spent


def _score(
    stage: Stage,
    unit: Unit,
    embeddings: dict[str, npt.NDArray[np.float32]],
    texts: npt.NDArray[np.float32] | None,
    logit_scale: float | None,
    earlier: dict[str, Result],
) -> Result:
    evaluator = unit.evaluator
    evaluator.start(logit_scale)
    if texts is not None and unit.prompt_rows.size:
        evaluator.texts(texts[unit.prompt_rows])
    for name, key in unit.views.items():
        index = stage.placed[key].view.index
        for lo in range(0, len(index), ROWS_PER_UPDATE):
            hi = min(lo + ROWS_PER_UPDATE, len(index))
            evaluator.update(name, slice(lo, hi), embeddings[key][index[lo:hi]])
    before = evaluator.after()
    return evaluator.finish(None if before is None else earlier[_id_of(stage, before)])


def _id_of(stage: Stage, evaluator: object) -> str:
    return next(unit.protocol_id for unit in stage.units if unit.evaluator is evaluator)
