"""The driver's queue: locality, depth, and what becomes of the lost."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from fastclip.checkpoints.base import Checkpoint
from fastclip.sweeper.executors.base import Job
from fastclip.sweeper.executors.queue import DEPTH, LOSSES, JobQueue


def jobs(**counts: int) -> list[Job]:
    """So many jobs of each architecture."""
    made: list[Job] = []
    for name, count in counts.items():
        architecture: Any = SimpleNamespace(digest=name, name=name)
        for _ in range(count):
            path = Path(f"{name}-{len(made)}.pt")
            made.append(Job(len(made), architecture, Checkpoint(path, "run", "torch", "1")))
    return made


def drain(queue: JobQueue, worker: str) -> list[Job]:
    """All that a worker is handed now."""
    found = []
    while (job := queue.next_for(worker)) is not None:
        found.append(job)
    return found


def test_a_worker_has_one_to_measure_one_to_read_and_one_that_waits() -> None:
    queue = JobQueue(jobs(a=20), 2)
    assert [job.number for job in drain(queue, "w1")] == [0, 1, 2]
    assert [job.number for job in drain(queue, "w2")] == [3, 4, 5]
    assert len(drain(queue, "w1")) == 0
    queue.finish("w1", 0)
    assert [job.number for job in drain(queue, "w1")] == [6]


def test_the_last_are_shared_out_one_by_one() -> None:
    queue = JobQueue(jobs(a=4), 4)
    assert [len(drain(queue, f"w{n}")) for n in range(4)] == [1, 1, 1, 1]


def test_a_worker_keeps_its_architecture_and_new_ones_go_where_work_is() -> None:
    queue = JobQueue(jobs(a=12, b=6, c=6), 3)
    first = {worker: drain(queue, worker)[0].architecture.name for worker in ("w1", "w2", "w3")}
    assert sorted(first.values()) == ["a", "b", "c"]
    switches, on = 0, dict(first)
    held = {worker: list(queue._held[worker].values()) for worker in first}
    while not queue.empty:
        for worker in first:
            if held[worker]:
                queue.finish(worker, held[worker].pop(0).number)
            for job in drain(queue, worker):
                held[worker].append(job)
                switches += job.architecture.name != on[worker]
                on[worker] = job.architecture.name
    assert switches <= 2


def test_every_job_is_handed_out_once() -> None:
    queue = JobQueue(jobs(a=7, b=5), 2)
    seen = []
    while not queue.empty:
        for worker in ("w1", "w2"):
            for job in drain(queue, worker):
                seen.append(job.number)
                queue.finish(worker, job.number)
    assert sorted(seen) == list(range(12))


def test_what_a_dead_worker_had_goes_first_and_alone() -> None:
    queue = JobQueue(jobs(a=20), 2)
    lost = [job.number for job in drain(queue, "w1")]
    drain(queue, "w2")
    assert queue.bury("w1") == []
    for number in lost:
        again = drain(queue, "w1")
        assert [(job.number, job.deaths) for job in again] == [(number, 1)]
        queue.finish("w1", number)
    assert len(drain(queue, "w1")) == DEPTH


def test_a_suspect_waits_for_a_worker_with_nothing_else() -> None:
    queue = JobQueue(jobs(a=20), 2)
    drain(queue, "w1")
    busy = drain(queue, "w2")
    queue.bury("w1")
    queue.finish("w2", busy[0].number)
    assert drain(queue, "w2") == []
    for job in busy[1:]:
        queue.finish("w2", job.number)
    assert [job.deaths for job in drain(queue, "w2")] == [1]


def test_a_checkpoint_that_was_with_two_that_died_is_given_up() -> None:
    queue = JobQueue(jobs(a=1), 1)
    drain(queue, "w1")
    assert queue.bury("w1") == []
    drain(queue, "w1")
    assert [job.number for job in queue.bury("w1")] == [0]
    assert queue.empty


def test_what_a_lost_worker_had_goes_first_and_is_no_suspect() -> None:
    queue = JobQueue(jobs(a=20), 2)
    lost = [job.number for job in drain(queue, "w1")]
    assert queue.lose("w1") == []
    assert [(job.number, job.deaths) for job in drain(queue, "w2")] == [(n, 0) for n in lost]


def test_a_checkpoint_with_which_many_workers_were_lost_is_given_up() -> None:
    queue = JobQueue(jobs(a=1), 1)
    for _ in range(LOSSES - 1):
        drain(queue, "w1")
        assert queue.lose("w1") == []
    drain(queue, "w1")
    assert [job.number for job in queue.lose("w1")] == [0]
    assert queue.empty


def test_a_suspect_that_is_lost_stays_one() -> None:
    queue = JobQueue(jobs(a=1), 1)
    drain(queue, "w1")
    queue.bury("w1")
    drain(queue, "w1")
    queue.lose("w1")
    assert [(job.deaths, job.losses) for job in drain(queue, "w1")] == [(1, 1)]


def test_an_answer_of_another_life_is_no_answer() -> None:
    queue = JobQueue(jobs(a=2), 1)
    (job,) = drain(queue, "w1")[:1]
    queue.bury("w1")
    assert queue.finish("w1", job.number) is None
    assert not queue.empty


@pytest.mark.parametrize("workers", [1, 3, 8])
def test_an_empty_queue_is_empty(workers: int) -> None:
    queue = JobQueue([], workers)
    assert queue.empty
    assert queue.next_for("w1") is None
