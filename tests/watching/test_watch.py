"""A watch takes down what a loop does, and never harms it."""

from __future__ import annotations

import gc
import logging
import threading
import time
import tracemalloc
from itertools import count

import numpy as np
import pytest

import idlescope
from idlescope.analysis.steps.step_kind import StepKind
from idlescope.capture import ranges
from idlescope.errors import ConfigError
from idlescope.watching import runtime
from idlescope.watching.rows import (
    CALL_FIELDS,
    MOST_NAMES,
    MOST_OPEN,
    MOST_VALUES,
    NO_DEMAND,
    OTHER,
    PHASE_FIELDS,
    RESERVED_NAMES,
)
from tests.make.interrupted import interrupted
from tests.make.settled_once import settled_once
from tests.make.unruly_loops import unruly_steps
from tests.make.watched_loops import MS, PretendedDevice, drive


def test_a_synchronous_loop_is_watched_to_the_nanosecond():
    device = PretendedDevice()
    watch = idlescope.watch(way=device)
    drive(watch, device, 30)
    state = watch.state().devices[0]
    busy = sum(row[-1] - row[-2] for row in device.operations)
    assert state.busy_ns == busy
    assert state.watched_ns == state.busy_ns + sum(state.idle_ns.values())
    assert sum(state.host_ns.values()) == state.idle_ns["host"]
    assert state.host_ns["prepare"] >= 29 * MS
    assert (state.launched_told, state.launched_early) == (29, 0)
    assert state.steps == {"not told": 30}
    assert (state.tokens, state.requests_running) == (120, 4)


def test_steps_of_an_asynchronous_loop_are_launched_early():
    device = PretendedDevice(length_ns=6 * MS)
    watch = idlescope.watch(way=device)
    drive(watch, device, 30, depth=2)
    state = watch.state().devices[0]
    before = zip(device.operations, device.calls[1:], strict=False)
    assert state.launched_early == sum(call[0] < row[-1] for row, call in before)
    assert state.launched_told == 29


def test_without_device_times_idle_cannot_be_told():
    watch = idlescope.watch(way="host")
    with watch.step(tokens=7, kind=StepKind.DECODE):
        pass
    state = watch.state().devices[0]
    assert (state.watched_ns, state.busy_ns, state.idle_ns) == (None, None, None)
    assert state.steps == {"decode": 1}
    assert any("cannot be told" in note for note in state.notes)


def test_a_wrapped_function_is_a_step_and_launches_but_where_it_waits():
    device = PretendedDevice(length_ns=MS)
    watch = idlescope.watch(way=device)

    @watch.wrap
    def step(number: int) -> int:
        with watch.waiting("tokens"):
            pass
        return number + 1

    assert [step(number) for number in range(3)] == [1, 2, 3]
    device.wait(len(device.operations))
    assert len(device.operations) == 6  # before and after each wait
    assert watch.state().devices[0].steps == {"not told": 3}


def test_a_wrapped_function_that_says_its_launches_has_no_others():
    device = PretendedDevice(length_ns=MS)
    watch = idlescope.watch(way=device)

    @watch.wrap
    def step() -> None:
        with watch.launching("forward"):
            pass

    for _ in range(4):
        step()
    assert len(device.operations) == 5  # one more in the first, which had not been seen yet


def test_a_launch_call_or_a_wait_within_another_is_part_of_it():
    device = PretendedDevice(length_ns=MS)
    watch = idlescope.watch(way=device)
    with watch.step():
        with watch.launching("forward"):
            with watch.launching("replay"), watch.launching("forward"):
                pass
            inner_end = device.now()
        with watch.waiting("tokens"):
            with watch.waiting("event"):
                pass
            device.wait(1)
    ((_, launch_end),) = device.calls
    assert launch_end > inner_end
    _, wait = np.reshape(watch.rows.calls, (-1, len(CALL_FIELDS)))
    assert wait[CALL_FIELDS.index("end")] >= device.operations[0][-1]


def test_phases_that_end_in_another_order_keep_their_times():
    def streamed(name):
        with idlescope.range(name):
            yield

    watch = idlescope.watch(way="host")
    with watch.step():
        first, second = streamed("first"), streamed("second")
        for phase in (first, second, first, second):
            next(phase, None)
    names, _, starts, ends = np.reshape(watch.rows.phases, (-1, len(PHASE_FIELDS))).T
    assert names.tolist() == [watch.rows.names[name] for name in ("first", "second")]
    assert starts[0] < starts[1] < ends[0] < ends[1]
    assert not watch.rows.open_phases


def test_a_phase_that_is_forgotten_ends_no_other_and_fills_no_memory():
    watch = idlescope.watch(way="host")
    for _ in range(10 * MOST_OPEN):
        with watch.step():
            watch.begin_phase("forgotten")
            with watch.no_demand():
                watch.begin_phase("forgotten, too")
    assert NO_DEMAND not in watch.rows.open_phases[::2]
    assert len(watch.rows.open_phases) < 2 * MOST_OPEN


def test_that_no_request_runs_any_more_is_told():
    watch = idlescope.watch(way="host")
    for requests in (4, 0):
        with watch.step(requests=requests):
            pass
        state = watch.state().devices[0]
        assert state.requests_running == requests


def test_an_error_of_the_loop_passes_and_its_step_ends():
    watch = idlescope.watch(way="host")
    with pytest.raises(ZeroDivisionError), watch.step():
        1 / 0  # noqa: B018
    assert watch.state().devices[0].steps == {"not told": 1}
    assert not watch.off


def test_begin_step_ends_the_step_that_is_open():
    watch = idlescope.watch(way="host")
    for _ in range(3):
        watch.begin_step(tokens=1)
    watch.end_step()
    watch.end_step()
    assert watch.state().devices[0].steps == {"not told": 3}


class Failing(PretendedDevice):
    """Fails where it is told to."""

    def __init__(self, where: str):
        super().__init__()
        self.where = where

    def __getattribute__(self, name):
        if name == object.__getattribute__(self, "__dict__").get("where"):
            raise RuntimeError(f"{name} fails")
        return super().__getattribute__(name)


@pytest.mark.parametrize("where", ["begin", "end", "ended", "close"])
def test_whatever_fails_turns_the_watch_off_with_one_line_and_the_loop_goes_on(
    where, caplog
):
    watch = idlescope.watch(way=Failing(where))
    served = 0
    with caplog.at_level(logging.WARNING, "idlescope"):
        for _ in range(5):
            with watch.step(), idlescope.range("prepare"), watch.launching("forward"):
                served += 1
        watch.settle()
        watch.close()
        watch.close()
    assert served == 5
    lines = [record.message for record in caplog.records]
    assert len(lines) == (0 if where == "close" else 1)
    assert all("turned itself off" in line and f"{where} fails" in line for line in lines)
    assert not ranges.LISTENERS


def test_rows_that_nobody_takes_are_bounded_and_counted():
    watch = idlescope.watch(way="host")
    watch._runtime.close()  # nobody takes them
    values = watch.rows.phases
    values.extend([0] * (MOST_VALUES + 4))
    for _ in range(65):
        with watch.step():
            pass
    assert len(watch.rows.phases) <= MOST_VALUES
    assert watch.state().devices[0].steps_lost > 0
    assert any("dropped" in note for note in watch.state().devices[0].notes)


def test_names_without_end_become_one():
    watch = idlescope.watch(way="host")
    with watch.step():
        for number in range(2 * MOST_NAMES):
            with idlescope.range(f"request {number}"):
                pass
    assert len(watch.rows.names) == MOST_NAMES
    assert watch.rows.names["one more"] == OTHER


def test_memory_is_flat():
    watch = idlescope.watch(way="host", steps=64)

    def some() -> int:
        for _ in range(300):
            with (
                watch.step(tokens=1),
                idlescope.range("prepare"),
                watch.launching("forward"),
            ):
                pass
        watch.settle()
        gc.collect()
        return tracemalloc.get_traced_memory()[0]

    tracemalloc.start()
    try:
        some()
        first = some()
        last = [some() for _ in range(4)][-1]
    finally:
        tracemalloc.stop()
    assert last - first < 100_000


def test_two_loops_in_two_threads_have_a_watch_each():
    watches = []

    def serve(index: int) -> None:
        device = PretendedDevice(length_ns=MS, index=index)
        watch = idlescope.watch(way=device)
        watches.append(watch)
        drive(watch, device, 5 + index, host_ns=MS // 10)

    threads = [threading.Thread(target=serve, args=(index,)) for index in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    states = sorted((w.state().devices[0] for w in watches), key=lambda s: s.device)
    assert [sum(state.steps.values()) for state in states] == [5, 6]
    assert [state.busy_ns for state in states] == [5 * MS, 6 * MS]
    assert len(runtime._running) == 1
    assert len(watches[0]._runtime.source()[1]) == 2


def test_two_loops_of_one_thread_have_the_phases_of_their_steps():
    watches = [idlescope.watch(way="host") for _ in range(2)]
    for _ in range(3):
        for number, watch in enumerate(watches):
            with watch.step(), idlescope.range(f"phase {number}"):
                pass
    for number, watch in enumerate(watches):
        assert list(watch.rows.names)[len(RESERVED_NAMES) :] == [f"phase {number}"]
        assert len(watch.rows.phases) == 3 * len(PHASE_FIELDS)
    watches[1].close()
    with watches[0].step(), idlescope.range("phase 0"):
        pass
    assert len(watches[0].rows.phases) == 4 * len(PHASE_FIELDS)


def test_what_interrupts_settling_may_ask_the_watch():
    """The handler of a signal, say: the thread that it runs in settles already."""
    device = PretendedDevice(length_ns=MS)
    watch = idlescope.watch(way=device)
    drive(watch, device, 3)
    asked = []
    with interrupted(("watching/account.py",), lambda: asked.append(watch.state())):
        watch.settle()
    assert len(asked) > 10
    assert not watch.off
    assert watch._account.totals == settled_once(watch).totals


def test_a_watch_whose_settling_is_broken_off_is_off(caplog):
    """Half of it is counted: it could not be right any more."""

    def interrupt():
        raise KeyboardInterrupt

    device = PretendedDevice(length_ns=MS)
    watch = idlescope.watch(way=device)
    drive(watch, device, 3)
    with (
        pytest.raises(KeyboardInterrupt),
        interrupted(("watching/account.py",), interrupt),
    ):
        watch.settle()
    assert "KeyboardInterrupt" in watch.off


def test_a_watch_that_is_closed_in_the_midst_of_a_hook_lets_the_loop_go_on(caplog):
    for moment in range(0, 150, 10):
        watch = idlescope.watch(way=PretendedDevice(length_ns=10_000))
        moments = count()

        def close(watch=watch, at_moment=moment, moments=moments):
            if next(moments) == at_moment:
                watch.close()

        with interrupted(("loop_watch.py", "ranges.py", "spans.py", "rows.py"), close):
            unruly_steps(watch, 2)
        assert watch.off == "closed"
    assert not caplog.messages
    assert not runtime._running


def test_a_collection_in_the_loop_is_garbage_collection():
    device = PretendedDevice(length_ns=MS)
    watch = idlescope.watch(way=device)
    for _ in range(2):
        with watch.step():
            gc.collect()
            with watch.launching():
                pass
    device.wait(2)
    assert "garbage collection" in watch.state().devices[0].host_ns


def test_a_collection_that_goes_on_is_settled_when_it_has_ended():
    """Another thread may settle in the midst of it."""
    device = PretendedDevice()
    watch = idlescope.watch(way=device)
    drive(watch, device, 3)
    gc.disable()
    try:
        watch._on_collection("start", {})
        time.sleep(0.005)
        watch.settle()
        time.sleep(0.005)
        watch._on_collection("stop", {})
    finally:
        gc.enable()
    watch.settle()
    assert watch.state().devices[0].host_ns["garbage collection"] >= 10 * MS


def test_no_demand_is_no_fault_of_the_host():
    device = PretendedDevice(length_ns=MS)
    watch = idlescope.watch(way=device)
    drive(watch, device, 2)
    with watch.no_demand():
        time.sleep(0.05)
        open_state = watch.state().devices[0]
    drive(watch, device, 1)
    closed_state = watch.state().devices[0]
    assert open_state.idle_ns["no demand"] > 40 * MS
    assert closed_state.idle_ns["no demand"] < 200 * MS
    assert closed_state.idle_ns["no demand"] >= 50 * MS


def test_a_wall_clock_that_is_set_back_moves_all_seconds_alike(monkeypatch):
    device = PretendedDevice(length_ns=MS)
    watch = idlescope.watch(way=device)
    drive(watch, device, 20)
    before = watch.state().devices[0]
    real = time.time_ns
    monkeypatch.setattr(time, "time_ns", lambda: real() - 3_600_000_000_000)
    drive(watch, device, 20)
    after = watch.state().devices[0]
    seconds = [second.unix_s for second in after.seconds]
    assert seconds == sorted(seconds)
    assert after.seconds[0].unix_s == before.seconds[0].unix_s - 3_600
    assert not watch.off


@pytest.mark.parametrize(
    "wrong",
    [{"way": "cupti"}, {"steps": 0}, {"port": 70_000}, {"record_when": "idle is high"}],
)
def test_what_makes_no_sense_is_refused(wrong):
    with pytest.raises(ConfigError):
        idlescope.watch(**wrong)
    assert not runtime._running


def test_the_watch_tells_what_it_costs():
    watch = idlescope.watch(way="host")
    for _ in range(500):
        with watch.step(), idlescope.range("prepare"):
            pass
    assert 0 < watch.state().devices[0].overhead_ns < 10**9
