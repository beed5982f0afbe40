"""The loop on a modelled GPU: both modes say the same, and nothing leaks.

Whatever arrives, and however few blocks there are.
"""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from idlescope.analysis.analyze import analyze
from idlescope.capture.step_clock import StepClock
from idlescope.engine.devices.modelled import ModelledDevice
from idlescope.engine.devices.modelled_memory import Memory, mix
from idlescope.engine.loop import Engine
from idlescope.engine.requests import Finish, Request
from idlescope.engine.running_rows import Shape
from idlescope.errors import EngineError
from idlescope.hardware.gpus import gpu
from idlescope.models.presets import model
from idlescope.trace.metadata import Metadata
from idlescope.trace.names.own_engine import DEPTHS
from tests.make.deep import of

SEED = 7
VOCAB = model("tiny").vocab


class Watched(StepClock):
    """A step clock that checks after every phase that steps in flight write only owned blocks."""

    engine: Engine

    def phase(self, phase, step, start, end):
        super().phase(phase, step, start, end)
        allocator, size = (
            self.engine.scheduler.allocator,
            self.engine.scheduler.shape.block_size,
        )
        for flying in self.engine.in_flight:
            slot = flying.ticket.slot
            assert allocator.owned(np.unique(slot.tokens[: slot.header[1], 3] // size))
        r = self.engine.scheduler.rows
        assert (r.computed <= r.length).all()
        assert (r.known <= r.length).all()


def oracle(request: Request) -> list[int]:
    """The tokens of a request on its own, in plain Python integers: what the device must say."""
    start = int(np.random.default_rng(SEED).integers(0, 2**63))

    def one(value: int) -> int:
        return int(mix(np.array([value % 2**64], np.uint64))[0])

    state = one(start + request.id)
    for token in request.prompt.tolist():
        state = (state * Memory.A + token + 1) % 2**64
    output = []
    while True:
        output.append(one(state) % VOCAB)
        if len(output) == request.max_tokens or output[-1] in request.stop_ids:
            return output
        state = (state * Memory.A + output[-1] + 1) % 2**64


def engine_for(
    depth, shape, requests, host_ns=200_000, device_ns=1_000_000
) -> tuple[Engine, Watched]:
    device = ModelledDevice(gpu("h200"), model("tiny"), SEED, host_ns, device_ns)
    recorder = Watched(device.clock.now)
    recorder.engine = engine = Engine(device, device.open(shape, depth), requests, recorder)
    return engine, recorder


@st.composite
def workloads(draw):
    block_size = draw(st.sampled_from([1, 3, 4, 16]))
    rows = draw(st.integers(1, 5))
    stops = tuple(draw(st.lists(st.integers(0, VOCAB - 1), max_size=40)))
    requests = []
    for i in range(draw(st.integers(1, 9))):
        prompt = draw(st.lists(st.integers(0, VOCAB - 1), min_size=1, max_size=30))
        arrival = draw(st.sampled_from([0, 0, 0, 900_000, 5_000_000, 40_000_000]))
        requests.append((i, prompt, draw(st.integers(1, 30)), stops, arrival))
    longest = max(len(prompt) + tokens for _, prompt, tokens, _, _ in requests)
    least = -(-longest // block_size)
    shape = Shape(
        rows,
        rows + draw(st.integers(0, 40)),
        longest,
        least + draw(st.integers(0, 30)),
        block_size,
    )
    return shape, requests


def build(requests):
    return [
        Request(i, np.array(p, np.int32), n, stops, arrival)
        for i, p, n, stops, arrival in requests
    ]


@given(workloads(), st.sampled_from([0, 200_000, 3_000_000]))
@settings(max_examples=of(15, deep=50))
def test_both_modes_emit_the_oracles_tokens_and_free_every_block(workload, host_ns):
    shape, plain = workload
    for depth in DEPTHS.values():
        requests = build(plain)
        engine, recorder = engine_for(depth, shape, requests, host_ns)
        engine.run()
        for request in requests:
            assert request.output == oracle(request)
            expected = (
                Finish.STOP if request.output[-1] in request.stop_ids else Finish.LENGTH
            )
            assert request.finish == expected
        assert engine.scheduler.allocator.free == shape.blocks
        assert engine.tokens == sum(len(r.output) for r in requests)
        for device in analyze(recorder.trace("d", Metadata())).results:
            assert sum(device.gaps.totals().values()) == device.occupancy.idle_ns
            assert sum(device.host_ns.values()) == device.gaps.totals()["host"]


def test_blocks_that_run_out_preempt_and_the_tokens_stay_the_same():
    shape = Shape(rows=4, tokens=16, length=40, blocks=12, block_size=4)
    for depth in DEPTHS.values():
        requests = [Request(i, np.arange(8, dtype=np.int32) + i, 30) for i in range(4)]
        engine, _ = engine_for(depth, shape, requests)
        engine.run()
        assert sum(r.preemptions for r in requests) > 0
        assert [r.output for r in requests] == [oracle(r) for r in requests]


@pytest.mark.parametrize("depth", DEPTHS.values())
def test_preemption_leaves_the_time_of_the_first_token_as_it_was(depth):
    shape = Shape(rows=4, tokens=16, length=40, blocks=12, block_size=4)
    requests = [Request(i, np.arange(8, dtype=np.int32) + i, 30) for i in range(4)]
    engine, _ = engine_for(depth, shape, requests)
    first, last = {}, {}

    def emit(emitted):
        for request in emitted.requests.tolist():
            last[request] = engine.clock.now()
            first.setdefault(request, last[request])

    engine.emit = emit
    engine.run()
    assert sum(r.preemptions for r in requests) > 0
    assert [(r.first_token_ns, r.finished_ns) for r in requests] == [
        (first[i], last[i]) for i in range(4)
    ]


@pytest.mark.parametrize("depth", DEPTHS.values())
def test_no_step_runs_past_a_certain_token_limit(depth):
    shape = Shape(rows=3, tokens=24, length=28, blocks=40, block_size=4)
    requests = [Request(i, np.ones(8, np.int32), 20) for i in range(3)]
    engine, _ = engine_for(depth, shape, requests)
    engine.run()
    assert engine.steps == 20


def test_asynchronous_stop_costs_one_stale_row_whose_token_is_dropped():
    first = oracle(Request(0, np.ones(4, np.int32), 5))
    shape = Shape(rows=1, tokens=8, length=24, blocks=6, block_size=4)
    steps = {}
    for mode, depth in DEPTHS.items():
        request = Request(0, np.ones(4, np.int32), 20, (first[2],))
        engine, _ = engine_for(depth, shape, [request])
        engine.run()
        steps[mode] = engine.steps
        assert request.output == oracle(request) == first[:3]
    assert steps["async"] == steps["sync"] + 1


@pytest.mark.parametrize("depth", DEPTHS.values())
def test_cancelling_in_flight_keeps_the_others_right_and_frees_everything(depth):
    shape = Shape(rows=3, tokens=24, length=40, blocks=30, block_size=4)
    requests = [Request(i, np.ones(8, np.int32) + i, 30) for i in range(5)]
    engine, _ = engine_for(depth, shape, requests)

    def on_step(running: Engine) -> None:
        if running.steps == 9:
            for victim in (1, 4):  # one in flight, one still queued
                running.scheduler.cancel(requests[victim], running.clock.now())

    engine.run(on_step)
    assert [r.finish for r in requests] == [Finish.LENGTH, Finish.CANCELLED] + [
        Finish.LENGTH
    ] * 2 + [Finish.CANCELLED]
    for i in (0, 2, 3):
        assert requests[i].output == oracle(requests[i])
    assert (
        requests[1].output
        == oracle(Request(1, requests[1].prompt, 30))[: len(requests[1].output)]
    )
    assert engine.scheduler.allocator.free == shape.blocks


@pytest.mark.parametrize("depth", DEPTHS.values())
def test_a_failure_in_flight_names_the_step_and_leaks_no_block(depth):
    shape = Shape(rows=3, tokens=24, length=40, blocks=30, block_size=4)
    requests = [Request(i, np.ones(8, np.int32), 30) for i in range(3)]

    def fail(emitted):
        if emitted.step == 6:
            raise RuntimeError("the detokeniser broke")

    engine, _ = engine_for(depth, shape, requests)
    engine.emit = fail
    with pytest.raises(
        EngineError,
        match=r"step 6 failed: RuntimeError: the detokeniser broke \(.*test_loop\.py:\d+\)",
    ):
        engine.run()
    assert engine.scheduler.allocator.free == shape.blocks
    assert not engine.in_flight


class TestBrokenOnPurpose:
    """Each thing that asynchrony must get right, broken: tokens or invariants must show it."""

    shape = Shape(rows=3, tokens=24, length=60, blocks=60, block_size=4)

    def outputs(self, break_it) -> tuple[list[list[int]], list[list[int]]]:
        requests = [Request(i, np.arange(8, dtype=np.int32) + 3 * i, 40) for i in range(3)]
        engine, _ = engine_for(2, self.shape, requests)
        break_it(engine)
        engine.run()
        return [r.output for r in requests], [oracle(r) for r in requests]

    def test_unbroken_it_is_right(self):
        got, expected = self.outputs(lambda engine: None)
        assert got == expected

    def test_one_buffer_instead_of_two(self):
        def share(engine):
            engine._slots[1] = engine._slots[0]

        got, expected = self.outputs(share)
        assert got != expected

    def test_carry_over_off_by_one(self):
        def shift(engine):
            for slot in engine._slots:
                fill = slot.fill

                def wrong(batch, rows, slot=slot, fill=fill):
                    fill(batch, rows)
                    carry = slot.tokens[: batch.tokens, 2]
                    carry[carry >= 0] = (carry[carry >= 0] + 1) % 3

                slot.fill = wrong

        got, expected = self.outputs(shift)
        assert got != expected

    def test_blocks_freed_while_a_step_in_flight_writes_them(self):
        stop = oracle(Request(0, np.arange(8, dtype=np.int32), 4))[3]
        requests = [
            Request(i, np.arange(8, dtype=np.int32) + 3 * i, 40, (stop,)) for i in range(3)
        ]
        engine, _ = engine_for(2, self.shape, requests)
        scheduler = engine.scheduler

        def release(row):
            request, blocks = scheduler.rows.leave(row)
            scheduler.allocator.give_back(blocks)
            return request

        scheduler._release = release
        with pytest.raises(EngineError, match="AssertionError"):
            engine.run()
