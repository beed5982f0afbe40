"""Who is in the next batch, with how many tokens, and who is preempted."""

from __future__ import annotations

import numpy as np
import pytest

from idlescope.engine.running_rows import Shape
from idlescope.engine.scheduler import Scheduler
from idlescope.errors import ConfigError
from tests.make.requests import requests, scheduler_with


def test_long_prompts_are_prefilled_in_chunks_beside_decodes():
    scheduler = scheduler_with(
        Shape(rows=3, tokens=10, length=40, blocks=50, block_size=4), 4, 17
    )
    first = scheduler.schedule(0)
    assert (first.rows.size, first.queries.tolist(), first.sampled.tolist()) == (
        2,
        [4, 6],
        [0],
    )
    scheduler.update(first, np.array([7], np.int32), 0)
    second = scheduler.schedule(1)
    assert (second.queries.tolist(), second.start.tolist(), second.sampled.tolist()) == (
        [1, 9],
        [4, 6],
        [0],
    )
    assert (second.tokens, second.context) == (10, 5 + 15)
    assert second.pairs == 5 + sum(range(7, 16))
    scheduler.update(second, np.array([8], np.int32), 0)
    third = scheduler.schedule(2)
    assert (third.queries.tolist(), third.sampled.tolist()) == ([1, 2], [0, 1])


def test_admission_waits_for_rows_and_for_blocks():
    scheduler = scheduler_with(
        Shape(rows=2, tokens=64, length=40, blocks=50, block_size=4), 8, 8, 8
    )
    assert scheduler.schedule(0).rows.size == 2
    assert len(scheduler.waiting) == 1
    scheduler = scheduler_with(
        Shape(rows=3, tokens=64, length=40, blocks=5, block_size=4), 8, 8, 8
    )
    assert (
        scheduler.schedule(0).rows.size == 2
    )  # the third would leave no block to grow into
    assert scheduler.allocator.free == 1


def test_the_request_admitted_last_is_preempted_and_comes_back_first():
    scheduler = scheduler_with(
        Shape(rows=2, tokens=64, length=16, blocks=6, block_size=4), 7, 7
    )
    for step in range(3):
        batch = scheduler.schedule(step)
        scheduler.update(batch, np.arange(batch.sampled.size, dtype=np.int32), 0)
    batch = scheduler.schedule(3)
    while batch.rows.size == 2:
        scheduler.update(batch, np.zeros(2, np.int32), 0)
        batch = scheduler.schedule(batch.step + 1)
    assert [r.id for r in scheduler.waiting] == [1]
    assert scheduler.waiting[0].preemptions == 1
    assert len(scheduler.waiting[0].output) == 6


def test_requests_that_can_never_run_are_refused():
    scheduler = Scheduler(Shape(rows=1, tokens=8, length=40, blocks=4, block_size=4))
    with pytest.raises(
        ConfigError, match="needs 5 KV blocks for 18 tokens and there are only 4"
    ):
        scheduler.check(requests(10)[0])
    with pytest.raises(ConfigError, match="less than the batch size"):
        Scheduler(Shape(rows=9, tokens=8, length=40, blocks=4, block_size=4))
    with pytest.raises(ConfigError, match="empty prompt"):
        requests(0)
    with pytest.raises(ConfigError, match="asks for 0 tokens"):
        requests(1, tokens=0)
