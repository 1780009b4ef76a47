"""Running a fed pipeline batch by batch, from any thread."""

from __future__ import annotations

import threading
from typing import Any

import numpy as np

from fastclip.errors import RefusalError
from fastclip.stimuli.dali.pipelines import Plan, fed


class Runner:
    """A fed pipeline; built when first used, and anew after an error, which DALI leaves it dead by.

    Args:
        plan: what the pipeline does.
    """

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self._pipeline: Any = None
        self._turn = threading.Lock()

    def run(self, **feeds: Any) -> list[Any]:
        """One batch.

        Args:
            feeds: as `pipelines.fed` has them.

        Returns:
            uint8 `[h, w, 3]` each: numpy arrays, or torch tensors on the GPU, queued on the
            current stream.

        Raises:
            RuntimeError: DALI's own; it names no picture.
            RefusalError: the pipeline cannot be built here.
        """
        with self._turn:
            if self._pipeline is None:
                self._pipeline = self._built()
            try:
                for name, feed in feeds.items():
                    self._pipeline.feed_input(name, feed)
                return self._outputs()
            except RuntimeError:
                self._pipeline = None
                raise

    def _built(self) -> Any:
        try:
            return fed(self.plan)
        except (RuntimeError, ValueError) as error:
            raise RefusalError(
                f"DALI cannot build its pipeline: {reason(error)}", mend="use --decoder pillow"
            ) from error

    def _outputs(self) -> list[Any]:
        # Arrays and tensors share DALI's memory, and hold it as long as they live.
        if self.plan.gpu is None:
            (pictures,) = self._pipeline.run()
            return [np.asarray(picture) for picture in pictures]
        import torch
        from torch.utils.dlpack import from_dlpack

        (pictures,) = self._pipeline.run(torch.cuda.current_stream(self.plan.gpu))
        return [from_dlpack(picture) for picture in pictures]


def reason(error: Exception) -> str:
    """The line of DALI's message that says what happened."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    after = lines.index("encountered:") + 1 if "encountered:" in lines else 0
    return lines[after] if lines[after:] else str(error)
