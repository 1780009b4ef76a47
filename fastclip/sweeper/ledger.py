"""What is on record already, and putting more on record."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from fastclip import __version__
from fastclip.checkpoints.base import Checkpoint, Metadata
from fastclip.checkpoints.provenance import RunFiles, training_place
from fastclip.errors import CheckpointError, FastclipError
from fastclip.evaluators.base import Result
from fastclip.results import record as records
from fastclip.results import sightings
from fastclip.sweeper.agenda import Agenda, Unit
from fastclip.sweeper.config import Settled, SweepConfig
from fastclip.sweeper.load import Loaded
from fastclip.sweeper.measure import CanaryError, Measured


class Ledger:
    """An output folder's records, sightings and failures; with `overwrite`, as if it had none."""

    def __init__(self, config: SweepConfig) -> None:
        self.out = config.output_dir
        self._request = config.request
        self._samples_per_epoch = config.samples_per_epoch
        self._run_files = RunFiles()
        self._existing = set() if config.overwrite else records.existing_records(self.out)
        self._index = sightings.SightingIndex(self.out)

    def missing(self, agenda: Agenda, checkpoint_id: str) -> list[Unit]:
        """The agenda's units that have no record for this checkpoint."""
        return [
            unit
            for unit in agenda.units
            if (checkpoint_id, unit.evaluator.task, unit.protocol_id) not in self._existing
        ]

    def is_finished(self, agenda: Agenda, checkpoint: Checkpoint) -> bool:
        """Whether exactly this file was seen as this architecture and every record is there.

        If so, its name and its place in training are told anew: the run's own files may say more
        by now.
        """
        sighting = self._index.find(checkpoint, self._request)
        if (
            sighting is None
            or sighting.arch_digest != agenda.architecture.digest
            or self.missing(agenda, sighting.checkpoint_id)
        ):
            return False
        now = replace(
            sighting,
            name=checkpoint.name,
            run=checkpoint.run,
            path=str(checkpoint.path),
            **self._place(checkpoint, Metadata(**sighting.said), self._run_files),
        )
        if now != sighting:
            sightings.write_sighting(self.out, checkpoint, now)
        return True

    def check_same_content(self, checkpoint: Checkpoint, loaded: Loaded) -> None:
        """Raises CheckpointError where the stamp is an earlier one's and the weights are not."""
        sighting = self._index.find(checkpoint, self._request)
        if (
            sighting is not None
            and sighting.needed == loaded.needed
            and sighting.digest != loaded.digest
        ):
            raise CheckpointError(
                "the file has the stamp (size, time, checksums) of an earlier sweep but other "
                "weights",
                where=checkpoint.path,
                mend="if it was changed on purpose, touch it, then sweep again",
            )

    def earlier_results(
        self, agenda: Agenda, checkpoint_id: str, missing: Sequence[Unit]
    ) -> dict[str, Result]:
        """Results on record that missing units come after (clean decisions for a new sigma)."""
        wanted = {id(unit.evaluator.after()) for unit in missing}
        earlier = {}
        for unit in agenda.units:
            if id(unit.evaluator) in wanted and unit not in missing:
                task = unit.evaluator.task
                path = records.record_path(self.out, checkpoint_id, task, unit.protocol_id)
                earlier[unit.protocol_id] = records.read_result(path)
        return earlier

    def write(
        self,
        agenda: Agenda,
        loaded: Loaded,
        measured: Measured,
        settled: Settled,
        seconds: Mapping[str, float],
    ) -> None:
        """Put one unit's result on record: its items first, then the record that names them."""
        unit, dataset = measured.unit, measured.unit.evaluator.dataset
        task = unit.evaluator.task
        path = records.record_path(self.out, loaded.checkpoint_id, task, unit.protocol_id)
        items = path.with_suffix(".items.parquet")
        digest = records.write_items(items, measured.result)
        records.write_record(
            self.out,
            records.Record(
                checkpoint_id=loaded.checkpoint_id,
                arch=agenda.architecture.name,
                task=task,
                dataset=dataset.label,
                partial="" if dataset.complete else f"{dataset.found}/{dataset.expected}",
                protocol_id=unit.protocol_id,
                family=unit.family,
                protocol=unit.protocol,
                engine=settled.engine,
                precision=settled.precision,
                scores=measured.result.scores,
                items=items.name,
                items_digest=digest,
                timings={stage: round(value, 6) for stage, value in seconds.items()},
                seconds=round(measured.seconds, 6),
                fastclip_version=__version__,
            ),
        )
        self._existing.add((loaded.checkpoint_id, task, unit.protocol_id))

    def succeed(self, agenda: Agenda, loaded: Loaded) -> None:
        """Note what this checkpoint file turned out to be; forget an earlier failure."""
        checkpoint, architecture = loaded.checkpoint, agenda.architecture
        preprocessing = architecture.preprocessing
        said = loaded.metadata
        earlier = self._index.find(checkpoint, self._request)
        sighting = sightings.Sighting(
            name=checkpoint.name,
            run=checkpoint.run,
            path=str(checkpoint.path),
            weights=checkpoint.weights,
            stamp=checkpoint.stamp,
            request=self._request,
            checkpoint_id=loaded.checkpoint_id,
            digest=loaded.digest,
            needed=loaded.needed,
            arch=architecture.name,
            arch_digest=architecture.digest,
            arch_source=architecture.source,
            guessed=architecture.guessed,
            preprocessing={
                **vars(preprocessing.pixels),
                "mean": list(preprocessing.mean),
                "std": list(preprocessing.std),
            },
            said={"step": said.step, "epoch": said.epoch, "samples_seen": said.samples_seen},
            canary=loaded.canary or (earlier.canary if earlier else {}),
            **self._place(checkpoint, said, RunFiles()),  # training may have written since
        )
        sightings.write_sighting(self.out, checkpoint, sighting)
        sightings.clear_failure(self.out, checkpoint)

    def _place(self, checkpoint: Checkpoint, said: Metadata, files: RunFiles) -> dict[str, Any]:
        return training_place(checkpoint, said, self._samples_per_epoch, files)._asdict()

    def fail(self, checkpoint: Checkpoint, step: str, error: FastclipError) -> None:
        """Put a failure on record, with the canary's figures where it was the canary.

        What the file was under another stamp is forgotten: those weights are gone.
        """
        sightings.forget_other_content(self.out, checkpoint)
        figures: Mapping[str, float] = error.figures if isinstance(error, CanaryError) else {}
        failure = sightings.Failure(checkpoint.name, checkpoint.run, step, str(error), figures)
        sightings.write_failure(self.out, checkpoint, failure)
