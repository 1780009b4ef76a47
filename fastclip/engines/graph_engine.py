"""What the engines share that run the exported graphs on a CPU, batches side by side."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from fastclip.engines.base import Engine, Outputs, Prepared, Shapes, pad_rows, refuse_misfits
from fastclip.engines.memory import release_freed_memory
from fastclip.engines.side_by_side import SideBySide
from fastclip.errors import EngineError

if TYPE_CHECKING:
    from fastclip.stimuli.base import Pixels
    from fastclip.towers.base import Manifest, TowerGraph, Towers

Session = Callable[[Mapping[str, npt.NDArray[Any]]], npt.NDArray[np.float32]]
"""One tower with one checkpoint's weights: inputs by name to raw embeddings `[B, D]`.

It is called from several threads at once, and gives Python's lock back while it computes. The
inputs have the shapes the engine was opened for, but for the text's length; what it returns is
nobody else's.
"""


@dataclass(frozen=True)
class Sessions:
    """One checkpoint's towers, ready to run: `{part: session}`."""

    by_part: Mapping[str, Session]


class GraphEngine(Engine):
    """A session of one thread for every tower and checkpoint, made ahead.

    The same weights and batch sizes give the same bytes on any number of cores.
    """

    prepares_ahead = True
    # A core's own cache holds the activations of few pictures: ViT-B-32 is 5 to 10 % faster at 8
    # than at 32, and a tiny tower no slower.
    default_shapes = Shapes(image_batch=8)

    _towers: Towers
    _shapes: Shapes
    _sessions: Sessions
    _cores: SideBySide | None = None

    @abstractmethod
    def _new_session(
        self, part: str, graph: TowerGraph, weights: Mapping[str, np.ndarray]
    ) -> Session:
        """The tower ("visual" or "text") with these weights, one array per graph initializer.

        Raises:
            EngineError: the library refuses the graph or the weights.
        """

    def open(self, towers: Towers, shapes: Shapes) -> None:
        self.close()
        self._towers = towers
        self._shapes = shapes
        self._cores = SideBySide(self.threads)

    def manifest(self, towers: Towers) -> Manifest:
        return towers.manifest

    def place(self, pixels: Pixels) -> Pixels:
        return pixels

    def prepare(self, packed: Mapping[str, Any]) -> Sessions:
        refuse_misfits(packed, self._towers.manifest)
        sessions = {}
        for part, graph in self._towers.graphs.items():
            weights = {name: packed[name] for name in graph.initializers}
            with self._blamed(part):
                sessions[part] = self._new_session(part, graph, weights)
            release_freed_memory()
        return Sessions(sessions)

    def load(self, packed: Prepared) -> None:
        # The last checkpoint's sessions go first: where nothing is prepared ahead there may be
        # no memory for two.
        self._sessions = Sessions({})
        self._sessions = packed if isinstance(packed, Sessions) else self.prepare(packed)

    def encode_images(self, handle: Pixels, lo: int, hi: int) -> Outputs:
        batch = self._rows_of(handle)
        (pixels,) = self._towers.visual.inputs
        return self._run("visual", {pixels: self._filled(handle[lo:hi], batch)}, hi - lo)

    def encode_texts(self, ids: npt.NDArray[np.int64], eot: npt.NDArray[np.int64]) -> Outputs:
        graph = self._towers.graphs["text"]
        batch = self._shapes.text_batch
        inputs = dict(
            zip(("ids", "eot"), (self._filled(ids, batch), self._filled(eot, batch)), strict=True)
        )
        return self._run("text", {name: inputs[name] for name in graph.inputs}, len(ids))

    def close(self) -> None:
        if self._cores is not None:
            self._cores.close()
            self._cores = None
        self._sessions = Sessions({})
        release_freed_memory()

    def _rows_of(self, handle: Pixels) -> int:
        """Pictures in a batch of this set: fewer where the set has fewer."""
        return min(self._shapes.image_batch, handle.shape[0])

    def _filled(self, array: npt.NDArray[Any], rows: int) -> npt.NDArray[Any]:
        """A batch as sessions want it."""
        return pad_rows(array, rows)

    def _run(self, part: str, inputs: dict[str, npt.NDArray[Any]], rows: int) -> Outputs:
        """A promise of the first `rows` embeddings."""
        session = self._sessions.by_part.get(part)
        if session is None or self._cores is None:
            raise EngineError(f"no weights are loaded for the {part} tower")

        def run() -> npt.NDArray[np.float32]:
            with self._blamed(part):
                return session(inputs)[:rows]

        promise: Future[npt.NDArray[np.float32]] = self._cores.submit(run)
        return promise

    @contextmanager
    def _blamed(self, part: str) -> Iterator[None]:
        """Turn whatever a library raises into an error of this checkpoint: others may be right."""
        try:
            yield
        except EngineError:
            raise
        except Exception as error:
            kind = type(error).__name__
            raise EngineError(
                f"{self.name} failed on the {part} tower: {kind}: {error}",
                mend="the other checkpoints are not affected; try --engine torch for this one",
            ) from error
