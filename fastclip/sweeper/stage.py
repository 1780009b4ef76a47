"""Everything of one architecture that stays while checkpoints pass: the stage they appear on."""

from __future__ import annotations

import gc
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from fastclip.engines.base import Engine, Handle, Shapes
from fastclip.engines.memory import release_freed_memory
from fastclip.engines.text_batches import TextBatch, plan_text_batches
from fastclip.errors import EngineError
from fastclip.parity.canary import Canary
from fastclip.parity.probe import probe_once
from fastclip.stimuli.base import ImageQualityDataset, Int64Array, View
from fastclip.stimuli.repeated import repeat
from fastclip.stimuli.views import ViewStore
from fastclip.sweeper.agenda import Agenda, Unit
from fastclip.sweeper.profile import Profile
from fastclip.towers.base import Architecture, Towers
from fastclip.towers.cache import get_towers
from fastclip.towers.passes import DEFAULT_PASSES

__all__ = ["PlacedView", "Stage", "Unit"]


@dataclass(frozen=True)
class PlacedView:
    """A view where the engine reads it."""

    view: View
    handle: Handle


class Stage:
    """One architecture, ready to measure checkpoint after checkpoint.

    Building it exports (or finds) the graph, opens the engine, proves it with the probe, opens
    the views and places them: once, whatever the number of checkpoints.

    Args:
        without: names of `fastclip.savings.SAVINGS` that are not made.
        profile: is told how long what took.

    Raises:
        EngineError: the probe found that the engine does not compute what open_clip computes.
    """

    def __init__(
        self,
        agenda: Agenda,
        *,
        engine: Engine,
        shapes: Shapes,
        store: ViewStore,
        cache_dir: Path,
        without: Sequence[str],
        profile: Profile,
    ) -> None:
        self.agenda = agenda
        self.without = without
        self.engine = engine
        self.shapes = shapes
        with profile.phase("graph"):
            self.towers: Towers = get_towers(
                self.architecture,
                cache_dir=cache_dir,
                text=agenda.text,
                passes=passes_without(without),
            )
            # An export leaves half a gigabyte of cycles behind.
            gc.collect()
            release_freed_memory()
        with profile.phase("engine"):
            engine.open(self.towers, shapes)
        with profile.phase("probe"):
            self._prove(cache_dir)
        # open_clip takes longer to import than all else here; meanwhile views are opened, and the
        # first checkpoint is read and encoded.
        pool = ThreadPoolExecutor(1, thread_name_prefix="canary")
        self._canary = pool.submit(self._make_canary)
        pool.shutdown(wait=False)
        self.n_prompts = len(agenda.ids)
        self.text_batches: list[TextBatch] = plan_text_batches(
            agenda.ids,
            agenda.eot,
            dynamic=self.towers.dynamic_text and "prompts" not in without,
            context_length=self.towers.context_length,
            batch=shapes.text_batch,
        )
        with profile.phase("pictures"):
            self.placed = {key: self._place(store, key) for key in agenda.requests}

    def _prove(self, cache_dir: Path) -> None:
        report = probe_once(self.engine, self.towers, self.shapes, cache_dir)
        release_freed_memory()
        if not report.passed:
            raise EngineError(
                f"engine '{self.engine.name}' does not reproduce open_clip's module for "
                f"{self.architecture.name}: {report.explain()}",
                mend="use --engine torch, and please report this",
            )

    def _make_canary(self) -> Canary:
        engine, text = self.engine, self.agenda.text
        return Canary(self.towers, self.shapes, engine.precision, text=text, device=engine.device)

    @property
    def can_prove(self) -> bool:
        """Whether the canary is there, so that asking for it does not wait."""
        return self._canary.done()

    @property
    def canary(self) -> Canary:
        """Waits until it is there.

        Raises:
            EngineError: open_clip cannot build the architecture here.
        """
        return self._canary.result()

    def _place(self, store: ViewStore, key: str) -> PlacedView:
        view = store.open(self.agenda.requests[key])
        if "duplicates" in self.without:
            view = repeat(view, _references_of_pairs(self.agenda, key))
        return PlacedView(view, self.engine.place(view.pixels))

    @property
    def architecture(self) -> Architecture:
        """The agenda's."""
        return self.agenda.architecture

    @property
    def units(self) -> Sequence[Unit]:
        """The agenda's."""
        return self.agenda.units


def passes_without(without: Sequence[str]) -> tuple[str, ...]:
    """The graph passes but for the savings that are not made."""
    unmade = {saving.replace("-", "_") for saving in without}
    return tuple(name for name in DEFAULT_PASSES if name not in unmade)


def _references_of_pairs(agenda: Agenda, key: str) -> Int64Array:
    """Rows of a view's set: the reference of each pair, where it is a set of pairs."""
    for unit in agenda.units:
        dataset = unit.evaluator.dataset
        if key in unit.views.values() and isinstance(dataset, ImageQualityDataset):
            return dataset.reference
    return np.empty(0, np.int64)
