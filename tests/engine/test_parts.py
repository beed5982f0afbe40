"""The parts of the engine on their own: blocks, scheduling, slots, the modelled GPU's times."""

from __future__ import annotations

import numpy as np
import pytest

from idlescope.analysis.roofline import achieved_pct
from idlescope.engine.clock import PREPARE, SCHEDULE, UPDATE, VirtualClock
from idlescope.engine.devices import modelled, step_time
from idlescope.engine.devices.modelled import ModelledDevice
from idlescope.engine.devices.step_time import StepWork, step_ns
from idlescope.engine.kv_cache import BlockAllocator
from idlescope.engine.requests import Request
from idlescope.engine.running_rows import Shape
from idlescope.engine.scheduler import Scheduler
from idlescope.engine.slots import Slot, SlotLayout
from idlescope.errors import ConfigError
from idlescope.hardware.gpus import GPUS, gpu, ideal_ns
from idlescope.models.presets import MODELS, model
from idlescope.trace.model import Operations


def requests(*lengths, tokens=8, **options):
    return [
        Request(i, np.arange(n, dtype=np.int32) % 50, tokens, **options)
        for i, n in enumerate(lengths)
    ]


def scheduler_with(shape, *lengths, **options):
    scheduler = Scheduler(shape)
    for request in requests(*lengths, **options):
        scheduler.add(request)
    return scheduler


class TestBlockAllocator:
    def test_blocks_come_and_go_once(self):
        allocator = BlockAllocator(4)
        ids = allocator.take(3)
        assert sorted(ids.tolist()) == [0, 1, 2]
        assert (allocator.free, allocator.owned(ids)) == (1, True)
        allocator.give_back(ids[:1])
        with pytest.raises(ValueError, match="freed twice"):
            allocator.give_back(ids[:1])
        with pytest.raises(ValueError, match="freed twice"):
            allocator.give_back(np.array([ids[1], ids[1]]))
        with pytest.raises(ValueError, match="3 KV blocks wanted, 2 free"):
            allocator.take(3)


class TestScheduler:
    def test_long_prompts_are_prefilled_in_chunks_beside_decodes(self):
        scheduler = scheduler_with(
            Shape(rows=3, tokens=10, length=40, blocks=50, block_size=4), 4, 17
        )
        first = scheduler.schedule(0)
        assert (first.rows.size, first.queries.tolist(), first.sampled.tolist()) == (2, [4, 6], [0])
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

    def test_admission_waits_for_rows_and_for_blocks(self):
        scheduler = scheduler_with(
            Shape(rows=2, tokens=64, length=40, blocks=50, block_size=4), 8, 8, 8
        )
        assert scheduler.schedule(0).rows.size == 2
        assert len(scheduler.waiting) == 1
        scheduler = scheduler_with(
            Shape(rows=3, tokens=64, length=40, blocks=5, block_size=4), 8, 8, 8
        )
        assert scheduler.schedule(0).rows.size == 2  # the third would leave no block to grow into
        assert scheduler.allocator.free == 1

    def test_the_request_admitted_last_is_preempted_and_comes_back_first(self):
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

    def test_requests_that_can_never_run_are_refused(self):
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


class TestSlot:
    def test_a_batch_is_packed_with_carry_over_and_cache_places(self):
        shape = Shape(rows=2, tokens=8, length=16, blocks=8, block_size=4)
        scheduler, slots = scheduler_with(shape, 3, 5), [Slot(shape), Slot(shape)]
        first = scheduler.schedule(0)
        slots[0].fill(first, scheduler.rows)
        assert slots[0].header.tolist() == [2, 8, 2, 0]
        assert slots[0].tokens[:8, 0].tolist() == [0, 1, 2, 0, 1, 2, 3, 4]
        assert slots[0].tokens[:8, 1].tolist() == [0, 1, 2, 0, 1, 2, 3, 4]
        assert slots[0].tokens[:8, 2].tolist() == [-1] * 8
        assert slots[0].query_end[:2].tolist() == [3, 8]
        assert slots[0].sample_at[:2].tolist() == [2, 7]
        second = scheduler.schedule(
            1
        )  # before the first is retrieved: its tokens are carried over on the device
        slots[1].fill(second, scheduler.rows)
        assert slots[1].tokens[:2].tolist()[0][:3] == [0, 3, 0]
        assert slots[1].tokens[:2].tolist()[1][:3] == [0, 5, 1]
        assert slots[1].context[:2].tolist() == [4, 6]
        places = slots[1].tokens[:2, 3]
        table = slots[1].table
        assert places.tolist() == [table[0, 0] * 4 + 3, table[1, 1] * 4 + 1]

    def test_only_what_a_step_uses_is_copied(self):
        shape = Shape(rows=2, tokens=8, length=16, blocks=8, block_size=4)
        slot = Slot(shape)
        assert slot.used_words(8) == slot.buffer.size == SlotLayout.of(shape).words
        assert slot.used_words(2) == slot.buffer.size - 6 * 4
        slot.tokens[7, 3] = 5
        assert slot.buffer[-1] == 5


class TestModelledTimes:
    # reports/h200/steps.json: graphs in a row
    @pytest.mark.parametrize(
        ("key", "rows", "context", "measured_ms"),
        [
            ("8b", 32, 512, 5.20), ("8b", 32, 2048, 6.69), ("8b", 32, 4352, 8.88), ("8b", 32, 8192, 12.52),
            ("8b", 1, 356, 4.60), ("8b", 128, 356, 7.05), ("3b", 8, 356, 2.52), ("1b", 128, 356, 1.67),
            ("qwen3-0.6b", 1, 356, 1.07), ("qwen3-0.6b", 8, 2048, 1.58),
        ],
    )  # fmt: skip
    def test_decode_steps_measured_on_an_h200_come_out_within_five_per_cent(
        self, key, rows, context, measured_ms
    ):
        work = StepWork(tokens=rows, sampled=rows, context=rows * context, pairs=rows * context)
        assert step_ns(model(key), gpu("h200"), work) / 1e6 == pytest.approx(measured_ms, rel=0.05)

    @pytest.mark.parametrize("key", MODELS)
    @pytest.mark.parametrize("which", GPUS)
    def test_no_step_beats_the_roofline_and_more_work_takes_longer(self, key, which):
        m, g = model(key), gpu(which)
        last = 0
        for tokens, context in ((1, 100), (32, 32_000), (512, 400_000), (8192, 500_000)):
            work = StepWork(tokens, tokens, context, max(context, tokens * 100))
            ns = step_ns(m, g, work)
            best = ideal_ns(
                np.array([m.step_bytes(context)]),
                np.array([m.step_flops(tokens, tokens, work.pairs)]),
                g,
            )
            assert ns > best[0]
            assert ns > last
            last = ns

    def test_parameters_are_those_of_the_published_models(self):
        billions = {key: m.params / 1e9 for key, m in MODELS.items()}
        published = {
            "1b": 1.24,
            "3b": 3.21,
            "8b": 8.03,
            "70b": 70.6,
            "qwen3-0.6b": 0.60,
            "qwen3-8b": 8.19,
        }
        for key, expected in published.items():
            assert billions[key] == pytest.approx(expected, rel=0.01)
        assert model("8b").kv_bytes_per_token == 131_072
        assert model("8b").step_params * 2 == pytest.approx(15.0e9, rel=0.01)

    def test_roofline_share_is_ideal_time_over_the_window(self):
        peak = gpu("h200")
        work = Operations.of(
            start=[0, 10], end=[10, 20], kind=[3, 1], device=[0, 0], stream=[0, 1], name=[0, 0], correlation=[1, 2],
            step=[0, 0], bytes=[int(peak.bytes_per_s / 1e3), 64], flops=[1.0, 0.0],
        )  # fmt: skip
        assert achieved_pct(work, 4_000_000, peak) == pytest.approx(25.0)
        assert achieved_pct(work.take(slice(1, 2)), 100, peak) is None

    def test_streams_keep_order_and_dependencies(self):
        device = ModelledDevice(gpu("h200"), model("tiny"), 0, 1_000_000, 2_000_000)
        shape = Shape(rows=2, tokens=8, length=16, blocks=8, block_size=4)
        scheduler, slots = scheduler_with(shape, 3, 5), device.open(shape, 2)
        tickets = []
        for step in range(2):
            batch = scheduler.schedule(step)
            slots[step].fill(batch, scheduler.rows)
            tickets.append(device.submit(slots[step], batch))
        (h2d, compute, d2h), (later_h2d, later, _) = (t.operations for t in tickets)
        assert h2d.start >= h2d.call_end + modelled.ARRIVAL_NS
        assert compute.start >= h2d.end + modelled.EVENT_WAIT_NS
        assert d2h.start >= compute.end + modelled.EVENT_WAIT_NS
        assert later_h2d.start < compute.end  # the copy overlaps the compute before it
        assert later.start == compute.end + modelled.SUCCESSION_NS
        tickets[0].wait()
        assert device.clock.now() == d2h.end + modelled.WAKE_NS
        assert device.busy_ns() == 4_000_000

    def test_unknown_names_list_the_known_ones(self):
        with pytest.raises(ConfigError, match="no GPU is known as 'h900': choose one of h200"):
            gpu("h900")
        with pytest.raises(ConfigError, match="no model is known as 'gpt': choose one of tiny"):
            model("gpt")

    def test_steps_without_attention_are_cached(self):
        step_time._without_attention_ns.cache_clear()
        for context in (100, 200, 300):
            step_ns(model("1b"), gpu("a100"), StepWork(8, 8, context, context))
        assert step_time._without_attention_ns.cache_info().misses == 1


class TestVirtualClock:
    def test_a_fixed_cost_is_spent_to_the_nanosecond(self):
        clock = VirtualClock(host_ns=8_810_001, api_ns=10_001)
        start = clock.now()
        for phase in (SCHEDULE, PREPARE, UPDATE):
            clock.end_phase(phase, clock.now())
        assert clock.now() - start == 8_800_000

    def test_waiting_jumps_and_pausing_stands_still(self):
        clock = VirtualClock()
        clock.wait_until(10**12)
        with clock.paused():
            frozen = clock.now()
            assert frozen >= 10**12
            assert clock.now() == frozen
        assert clock.now() >= frozen
        clock.wait_until(0)
        assert clock.now() >= frozen
