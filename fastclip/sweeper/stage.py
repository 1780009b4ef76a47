"""Everything of one architecture that stays while checkpoints pass: the stage they appear on."""

from __future__ import annotations

import gc
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from fastclip.engines.base import Engine, Handle, Shapes
from fastclip.engines.memory import release_freed_memory
from fastclip.engines.text_batches import TextBatch, plan_text_batches
from fastclip.errors import EngineError, RefusalError
from fastclip.evaluators import TASKS
from fastclip.evaluators.base import Evaluator, ViewRequest
from fastclip.evaluators.options import TaskOptions
from fastclip.parity.canary import Canary
from fastclip.parity.probe import probe_once
from fastclip.results import identity
from fastclip.stimuli.base import View
from fastclip.stimuli.views import ViewStore
from fastclip.sweeper.plan import Log, Plan
from fastclip.towers.base import Architecture, Towers
from fastclip.towers.cache import get_towers
from fastclip.towers.tokenizers import token_ids

NO_IDS = np.empty((0, 0), dtype=np.int64)


@dataclass(frozen=True)
class PlacedView:
    """A view where the engine reads it."""

    view: View
    handle: Handle


@dataclass(frozen=True)
class Unit:
    """One evaluator with what its record is called and where its inputs are.

    `views` maps the evaluator's name for a view to the view's key; `prompt_rows` `[P]` maps its
    prompts to rows of the stage's distinct prompts.
    """

    evaluator: Evaluator
    protocol: Mapping[str, Any]
    protocol_id: str
    family: str
    views: Mapping[str, str]
    prompt_rows: npt.NDArray[np.int64]


class Stage:
    """One architecture, ready to measure checkpoint after checkpoint.

    Building it exports (or finds) the graph, opens the engine, proves it with the probe, opens
    the views and tokenises the prompts: once, whatever the number of checkpoints.

    Raises:
        EngineError: the probe found that the engine does not compute what open_clip computes.
        RefusalError: only tasks with prompts were asked for and there is no tokenizer.
    """

    def __init__(
        self,
        architecture: Architecture,
        plan: Plan,
        options: TaskOptions,
        *,
        engine: Engine,
        shapes: Shapes,
        store: ViewStore,
        cache_dir: Path,
        log: Log,
    ) -> None:
        self.architecture = architecture
        self.engine = engine
        self.shapes = shapes
        evaluators = build_evaluators(architecture, plan, options, log)
        with_text = any("text" in evaluator.needs for evaluator in evaluators)
        self.towers: Towers = get_towers(architecture, cache_dir=cache_dir, text=with_text)
        # An export leaves half a gigabyte of cycles behind.
        gc.collect()
        release_freed_memory()
        engine.open(self.towers, shapes)
        report = probe_once(engine, self.towers, shapes, cache_dir)
        release_freed_memory()
        if not report.passed:
            raise EngineError(
                f"engine '{engine.name}' does not reproduce open_clip's module for "
                f"{architecture.name}: {report.explain()}",
                mend="use --engine torch, and please report this",
            )
        self.canary = Canary(
            self.towers, shapes, engine.precision, text=with_text, device=engine.device
        )
        self.placed: dict[str, PlacedView] = {}
        prompts = sorted({prompt for e in evaluators for prompt in e.prompts()})
        self.n_prompts = len(prompts)
        self._row_of = {prompt: row for row, prompt in enumerate(prompts)}
        self._ids, eot = token_ids(architecture, prompts) if prompts else (NO_IDS, NO_IDS)
        self.text_batches: list[TextBatch] = plan_text_batches(
            self._ids,
            eot,
            dynamic=self.towers.dynamic_text,
            context_length=self.towers.context_length,
            batch=shapes.text_batch,
        )
        self.units = [self._unit(evaluator, store) for evaluator in evaluators]

    def _unit(self, evaluator: Evaluator, store: ViewStore) -> Unit:
        views = {}
        for name, request in evaluator.views().items():
            view = store.open(request)
            if view.key not in self.placed:
                self.placed[view.key] = PlacedView(view, self.engine.place(view.pixels))
            views[name] = view.key
        prompts = evaluator.prompts()
        rows = np.array([self._row_of[prompt] for prompt in prompts], dtype=np.int64)
        tokens = blake2b(self._ids[rows].tobytes(), digest_size=16).hexdigest() if prompts else ""
        protocol = identity.protocol_of(
            evaluator,
            self.architecture,
            pictures=store.pictures_digest(evaluator.dataset.pictures),
            tokens=tokens,
            engine=self.engine.family,
            precision=self.engine.precision,
            pixel_definition=store.pixel_definition,
        )
        return Unit(
            evaluator,
            protocol,
            identity.protocol_id(protocol),
            identity.protocol_family(protocol),
            views,
            rows,
        )


def build_evaluators(
    architecture: Architecture, plan: Plan, options: TaskOptions, log: Log
) -> list[Evaluator]:
    """The plan's evaluators for this architecture's input size.

    Without a tokenizer, tasks with prompts are left out with a word; image quality still runs.
    """
    pixels = architecture.preprocessing.pixels
    evaluators = [
        evaluator
        for task in plan.tasks
        for evaluator in TASKS.get(task)(plan.datasets, pixels, options)
    ]
    if architecture.tokenizer is not None:
        return evaluators
    usable = [evaluator for evaluator in evaluators if "text" not in evaluator.needs]
    left_out = sorted({e.task for e in evaluators} - {e.task for e in usable})
    mend = "name a folder with the tokenizer's files with --tokenizer PATH"
    if not usable:
        raise RefusalError(
            f"{architecture.name} has no tokenizer on this machine, so {', '.join(left_out)} "
            "cannot run",
            where=architecture.name,
            mend=mend,
        )
    if left_out:
        log(f"{architecture.name}: no tokenizer, {', '.join(left_out)} left out; {mend}")
    return usable


def requests_of(evaluators: Sequence[Evaluator]) -> list[ViewRequest]:
    """Every view the evaluators want, each once."""
    requests: list[ViewRequest] = []
    for evaluator in evaluators:
        for request in evaluator.views().values():
            if request not in requests:
                requests.append(request)
    return requests
