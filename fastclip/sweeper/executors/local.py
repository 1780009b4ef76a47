"""This process alone, or several worker processes on this machine."""

from __future__ import annotations

from fastclip.errors import RefusalError
from fastclip.machine import usable_cores
from fastclip.sweeper.choose import device_of
from fastclip.sweeper.executors.base import Executor
from fastclip.sweeper.executors.driver import Driver, jobs_of
from fastclip.sweeper.executors.process_pool import ProcessPool, gpus, seats
from fastclip.sweeper.executors.worker import digest_of_settled
from fastclip.sweeper.source import Listed
from fastclip.sweeper.sweeper import Sweeper


class LocalExecutor(Executor):
    """This process with every core, or several with a GPU or a share of the cores each."""

    def threads(self) -> int:
        """The cores, shared."""
        return max(1, usable_cores() // max(1, self.config.processes))

    def run(self, sweeper: Sweeper) -> None:
        """Here, unless there are several processes, and work for them."""
        device = device_of(self.config, sweeper.books.settled)
        processes = self.config.processes or (gpus() if device == "cuda" else 1)
        if processes == 1:
            self._run_here(sweeper)
            return
        jobs = jobs_of(sweeper)
        if not jobs:
            return
        if device == "cpu" and processes > usable_cores():
            sweeper.progress.note(
                f"{processes} processes share {usable_cores()} cores: each reads its own "
                "checkpoints and needs memory, and none is faster"
            )
        settled = digest_of_settled(sweeper.books.settled)
        places = seats(min(processes, len(jobs)), device)
        with ProcessPool(self.config, settled, places) as pool:
            Driver(sweeper, jobs, pool).run()

    def _run_here(self, sweeper: Sweeper) -> None:
        for agenda, checkpoints in sweeper.remaining():
            try:
                stage = sweeper.stage(agenda)
            except RefusalError as error:
                sweeper.give_up(checkpoints, error)
                continue
            sweeper.measure(stage, Listed(checkpoints))
