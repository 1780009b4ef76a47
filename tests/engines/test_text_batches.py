"""Length buckets: every prompt once, and the same embedding as with the full context."""

from __future__ import annotations

import numpy as np
import pytest
from cpu_engines import ON_CPU
from tiny_towers import tiny_towers

from fastclip.engines import ENGINES
from fastclip.engines.base import Shapes
from fastclip.engines.text_batches import (
    TextBatch,
    encode_prompts,
    plan_text_batches,
    select_text_batches,
)
from fastclip.parity.probe import random_state
from fastclip.towers.recipes import pack

CONTEXT = 20


def prompts(n: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Token ids as a tokenizer makes them, a tenth of them twice."""
    generator = np.random.default_rng(seed)
    ids = generator.integers(1, 80, (n, CONTEXT))
    eot = generator.integers(1, CONTEXT, n)
    ids[np.arange(CONTEXT) > eot[:, None]] = 0
    ids[np.arange(n), eot] = 89
    twice = n // 10
    ids[:twice], eot[:twice] = ids[twice : 2 * twice], eot[twice : 2 * twice]
    return ids, eot


def plan(ids: np.ndarray, eot: np.ndarray, dynamic: bool = True) -> list[TextBatch]:
    return plan_text_batches(ids, eot, dynamic=dynamic, context_length=CONTEXT, batch=4)


def contents(batches: list[TextBatch]) -> list[bytes]:
    return [batch.ids.tobytes() for batch in batches]


@pytest.mark.parametrize("dynamic", [True, False])
def test_every_prompt_is_answered_once_by_itself(dynamic: bool) -> None:
    ids, eot = prompts(50)
    batches = plan(ids, eot, dynamic)
    answered = np.concatenate([batch.rows for batch in batches])
    np.testing.assert_array_equal(np.sort(answered), np.arange(50))
    for batch in batches:
        length = batch.ids.shape[1]
        assert 1 <= len(batch.ids) <= 4
        np.testing.assert_array_equal(batch.ids[batch.source], ids[batch.rows, :length])
        np.testing.assert_array_equal(batch.eot[batch.source], eot[batch.rows])
    assert sum(len(batch.ids) for batch in batches) == len(np.unique(ids, axis=0)) <= 45


def test_buckets_are_the_shortest_that_hold_the_prompt() -> None:
    ids, eot = prompts(50)
    for batch in plan(ids, eot):
        shortest = [next(n for n in (8, 12, 16, 20) if n > end) for end in batch.eot]
        assert set(shortest) == {batch.ids.shape[1]}


def test_a_tower_that_reads_everything_gets_the_full_context() -> None:
    ids, eot = prompts(10)
    assert {batch.ids.shape[1] for batch in plan(ids, eot, dynamic=False)} == {CONTEXT}


def test_the_partition_does_not_depend_on_the_order() -> None:
    ids, eot = prompts(50)
    order = np.random.default_rng(1).permutation(50)
    assert contents(plan(ids[order], eot[order])) == contents(plan(ids, eot))


def test_no_prompts_make_no_batches() -> None:
    ids, eot = prompts(0)
    assert plan(ids, eot) == []


@pytest.mark.parametrize("name", ON_CPU)
def test_embeddings_are_those_of_the_full_context(name: str) -> None:
    towers = tiny_towers("vit")
    ids, eot = prompts(30)
    with ENGINES.get(name)(threads=1) as engine:
        engine.open(towers, Shapes(4, 4))
        engine.load(pack(engine.manifest(towers), random_state(towers, 1)))
        batches = plan(ids, eot)
        found = encode_prompts(engine, batches, 30)
        whole = encode_prompts(engine, plan(ids, eot, dynamic=False), 30)
        wanted = np.array([3, 17])
        some = encode_prompts(engine, select_text_batches(batches, wanted), 30)
    assert found.shape == (30, towers.embed_dim)
    np.testing.assert_allclose(found, whole, rtol=0, atol=2e-5 * np.abs(whole).max())
    # To the bit, whichever prompts are still wanted; what nobody encoded is NaN.
    np.testing.assert_array_equal(some[wanted], found[wanted])
    assert np.isnan(some).any()
