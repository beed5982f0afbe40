"""How a batch is packed into the buffers that a device copies."""

from __future__ import annotations

from idlescope.engine.running_rows import Shape
from idlescope.engine.slots import Slot, SlotLayout
from tests.make.requests import scheduler_with


def test_a_batch_is_packed_with_carry_over_and_cache_places():
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


def test_only_what_a_step_uses_is_copied():
    shape = Shape(rows=2, tokens=8, length=16, blocks=8, block_size=4)
    slot = Slot(shape)
    assert slot.used_words(8) == slot.buffer.size == SlotLayout.of(shape).words
    assert slot.used_words(2) == slot.buffer.size - 6 * 4
    slot.tokens[7, 3] = 5
    assert slot.buffer[-1] == 5
