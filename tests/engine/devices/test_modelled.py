"""The modelled GPU's virtual streams and host."""

from __future__ import annotations

from idlescope.engine.devices import modelled
from idlescope.engine.devices.modelled import ModelledDevice
from idlescope.engine.running_rows import Shape
from idlescope.hardware.gpus import gpu
from idlescope.hardware.latencies import HOST_PROFILES, THIS_HOST
from idlescope.models.presets import model
from tests.make.requests import scheduler_with


def test_streams_keep_order_and_dependencies():
    device = ModelledDevice(gpu("h200"), model("tiny"), 0, 1_000_000, 2_000_000)
    shape = Shape(rows=2, tokens=8, length=16, blocks=8, block_size=4)
    scheduler, slots = scheduler_with(shape, 3, 5), device.open(shape, 2)
    tickets = []
    for step in range(2):
        batch = scheduler.schedule(step)
        slots[step].fill(batch, scheduler.rows)
        tickets.append(device.submit(slots[step], batch))
    (h2d, compute, d2h), (later_h2d, later, _) = (t.operations for t in tickets)
    host = HOST_PROFILES[THIS_HOST]
    assert h2d.start >= h2d.call_end + host.copy_in_start_ns
    assert compute.start >= h2d.end + modelled.EVENT_WAIT_NS
    assert d2h.start >= compute.end + modelled.EVENT_WAIT_NS
    assert later_h2d.start < compute.end  # the copy overlaps the compute before it
    assert later.start == compute.end + modelled.SUCCESSION_NS
    tickets[0].wait()
    assert device.clock.now() == d2h.end + host.wake_ns
    assert device.busy_ns() == 4_000_000
