"""The virtual clock, on which waiting costs nothing."""

from __future__ import annotations

from idlescope.engine.clock import PREPARE, SCHEDULE, UPDATE, VirtualClock, fixed_costs


def test_a_fixed_cost_is_spent_to_the_nanosecond():
    clock = VirtualClock(fixed_costs(8_800_000))
    start = clock.now()
    for phase in (SCHEDULE, PREPARE, UPDATE):
        clock.end_phase(phase, clock.now(), rows=32)
    assert clock.now() - start == 8_800_000


def test_waiting_jumps_and_pausing_stands_still():
    clock = VirtualClock()
    clock.wait_until(10**12)
    with clock.paused():
        frozen = clock.now()
        assert frozen >= 10**12
        assert clock.now() == frozen
    assert clock.now() >= frozen
    clock.wait_until(0)
    assert clock.now() >= frozen


def test_the_hosts_own_time_counts_unless_all_its_costs_are_fixed():
    assert VirtualClock().real
    assert not VirtualClock(fixed_costs(1_000_000)).real
