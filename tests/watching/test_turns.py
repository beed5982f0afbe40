"""Settling stands back for the loop: it goes on while that waits, and tells what it took of its time."""

from __future__ import annotations

import threading
import time

import pytest

import idlescope
from idlescope.watching import loop_watch, turns
from idlescope.watching.turns import Turns, pause, taken
from tests.make.watched_loops import MS, PretendedDevice, drive

LONG_NS = 10**12


class Loop:
    """A loop that works, or waits for its device since a time."""

    thread = 0

    def __init__(self):
        self.wait_start = 0
        self.last_wait_ns = LONG_NS
        self.called_when_waiting = 0

    def call_when_waiting(self, then):
        self._then = then
        self.called_when_waiting += then is not None

    def waits_once_asked(self):
        while not self.called_when_waiting:
            time.sleep(0.005)
        then = self._then
        self.asked_for_ns = self.wait_start = time.perf_counter_ns()
        then.set()


@pytest.fixture
def loop():
    return Loop()


def busy(seconds):
    end = time.thread_time() + seconds
    while time.thread_time() < end:
        pass


def test_it_goes_on_when_the_loop_waits(loop, monkeypatch):
    monkeypatch.setattr(turns, "PATIENCE_S", 60)
    threading.Thread(target=loop.waits_once_asked).start()
    Turns(loop).pause()
    assert time.perf_counter_ns() >= loop.asked_for_ns


def test_while_the_loop_waits_nothing_is_waited_for(loop):
    loop.wait_start = time.perf_counter_ns()
    Turns(loop).pause()
    assert not loop.called_when_waiting


def test_a_wait_that_is_nearly_over_is_left_to_the_loop(loop):
    loop.wait_start, loop.last_wait_ns = time.perf_counter_ns() - 80 * MS, 100 * MS
    Turns(loop).pause()
    assert loop.called_when_waiting


def test_a_loop_that_never_waits_is_waited_for_once(loop):
    settling = Turns(loop)
    for _ in range(50):
        settling.pause()
    assert loop.called_when_waiting == 1


def test_what_is_done_while_the_loop_works_is_in_its_way(loop):
    settling = Turns(loop)
    busy(0.01)
    settling.count()
    assert settling.in_the_way_ns == pytest.approx(10 * MS, rel=0.2)


def test_what_is_done_while_it_waits_is_not(loop):
    settling = Turns(loop)
    loop.wait_start = time.perf_counter_ns()
    busy(0.01)
    settling.count()
    assert settling.in_the_way_ns == 0


def test_a_wait_that_had_to_last_for_the_lock_is_in_its_way_from_where_it_would_have_ended(
    loop,
):
    settling = Turns(loop)
    loop.wait_start, loop.last_wait_ns = time.perf_counter_ns(), 2 * MS
    busy(0.01)
    settling.count()
    assert settling.in_the_way_ns >= 7 * MS


def test_a_loop_that_settles_itself_has_nobody_to_stand_back_for(loop):
    loop.thread = threading.get_ident()
    with taken(loop):
        pause()
    assert not loop.called_when_waiting


def test_outside_of_settling_a_pause_is_none():
    start = time.monotonic()
    pause()
    assert time.monotonic() - start < 1


def test_another_thread_settles_a_loop_while_that_waits():
    device = PretendedDevice(length_ns=5 * MS)
    watch = idlescope.watch(way=device)
    settled = []

    def settle():
        for _ in range(3):
            watch.settle()
            settled.append(sum(watch.seen().state.steps.values()))

    drive(watch, device, 2)
    thread = threading.Thread(target=settle)
    thread.start()
    drive(watch, device, 30)
    thread.join()
    assert not watch.off
    assert settled == sorted(settled)
    state = watch.state().devices[0]
    assert state.steps == {"not told": 32}
    assert state.overhead_ns > 0
    assert state.settling_ns > 0


def test_a_loop_that_never_waits_and_issues_much_is_settled_in_time(monkeypatch):
    monkeypatch.setattr(loop_watch, "MANY_CALLS", 100)
    watch = idlescope.watch(way="host")
    end = time.monotonic() + 30
    while watch.seen().state.step_ns == 0 and time.monotonic() < end:
        with watch.step(), watch.launching("forward"):
            pass
    assert watch.seen().state.steps
