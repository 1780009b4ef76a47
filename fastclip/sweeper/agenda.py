"""What there is to measure of one architecture, and what its records are called.

Made from files and options alone, so that what is on record already is known before an engine is
opened, a graph exported or a picture decoded.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from typing import Any

import numpy as np
import numpy.typing as npt

from fastclip.errors import RefusalError
from fastclip.evaluators import TASKS
from fastclip.evaluators.base import Evaluator, ViewRequest
from fastclip.evaluators.options import TaskOptions
from fastclip.results import identity
from fastclip.stimuli.views import ViewStore
from fastclip.sweeper.plan import Log, Plan
from fastclip.towers.base import Architecture
from fastclip.towers.tokenizers import token_ids

NO_IDS = np.empty((0, 0), dtype=np.int64)


@dataclass(frozen=True)
class Unit:
    """One evaluator with what its record is called and where its inputs are.

    `views` maps the evaluator's name for a view to the view's key; `prompt_rows` `[P]` maps its
    prompts to rows of the agenda's distinct prompts.
    """

    evaluator: Evaluator
    protocol: Mapping[str, Any]
    protocol_id: str
    family: str
    views: Mapping[str, str]
    prompt_rows: npt.NDArray[np.int64]


@dataclass(frozen=True)
class Agenda:
    """The units of one architecture.

    Attributes:
        units: evaluators that come after another come after it here.
        requests: `{view key: request}` of every view that a unit wants.
        ids: token ids int64 `[P, L]` of the distinct prompts; `[0, 0]` without prompts.
        eot: their end-of-text positions int64 `[P]`.
        text: some unit needs the text tower.
    """

    architecture: Architecture
    units: tuple[Unit, ...]
    requests: Mapping[str, ViewRequest]
    ids: npt.NDArray[np.int64]
    eot: npt.NDArray[np.int64]
    text: bool


def make_agenda(
    architecture: Architecture,
    plan: Plan,
    options: TaskOptions,
    *,
    engine_family: str,
    precision: str,
    store: ViewStore,
    log: Log,
) -> Agenda:
    """The plan's evaluators for this architecture, their views named and prompts tokenised.

    Opens no view; reads picture files only where they changed since they were last hashed.

    Raises:
        RefusalError: only tasks with prompts were asked for and there is no tokenizer.
        DataError: a picture file cannot be read.
    """
    evaluators = build_evaluators(architecture, plan, options, log)
    prompts = sorted({prompt for e in evaluators for prompt in e.prompts()})
    row_of = {prompt: row for row, prompt in enumerate(prompts)}
    ids, eot = NO_IDS, NO_IDS.reshape(-1)
    if prompts:
        ids, eot = token_ids(architecture, prompts, store.cache_dir)
    requests: dict[str, ViewRequest] = {}
    units = []
    for evaluator in evaluators:
        views = {name: store.key(request) for name, request in evaluator.views().items()}
        requests |= {views[name]: request for name, request in evaluator.views().items()}
        own = evaluator.prompts()
        rows = np.array([row_of[prompt] for prompt in own], dtype=np.int64)
        protocol = identity.protocol_of(
            evaluator,
            architecture,
            pictures=store.pictures_digest(evaluator.dataset.pictures),
            tokens=blake2b(ids[rows].tobytes(), digest_size=16).hexdigest() if own else "",
            engine=engine_family,
            precision=precision,
            pixel_definition=store.pixel_definition,
        )
        name, family = identity.protocol_id(protocol), identity.protocol_family(protocol)
        units.append(Unit(evaluator, protocol, name, family, views, rows))
    text = any("text" in evaluator.needs for evaluator in evaluators)
    return Agenda(architecture, tuple(units), requests, ids, eot, text)


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
