"""Launch calls timed by events: the times are true, nothing is waited for, captures stay whole."""

from __future__ import annotations

import time

import numpy as np
import pytest

from idlescope.trace.model import OperationKind
from idlescope.watching.ways import event_clock, events
from idlescope.watching.ways.events import PAIRS, EventsWay
from tests.make.fake_cuda import FakeCuda, FakeEvent, FakeStream

EXACT_NS = 100_000  # of a machine that others load, too: an anchor's uncertainty at most
MS = 1_000_000


@pytest.fixture
def cuda():
    return FakeCuda()


@pytest.fixture
def way(cuda):
    made = EventsWay(calls=cuda)
    with cuda.beside_captures():
        while (
            made._clock.keep() is None
        ):  # a loaded machine does not tie the clocks at once
            time.sleep(0.01)
    return made


def launch(way, cuda, number, busy_ns):
    way.begin(number, time.perf_counter_ns())
    truth = cuda.current.issue(busy_ns)
    way.end(number)
    return truth


def test_no_event_is_recorded_for_the_first_time_in_the_loop(cuda):
    # torch makes one of CUDA's then, which takes longer than to record it
    made = EventsWay(calls=cuda)
    in_pool = [event for pair in made._free for event in (pair.first, pair.last)]
    assert len(in_pool) == 2 * PAIRS
    assert all(event.happens_ns is not None for event in in_pool)


def test_times_are_those_of_the_device(way, cuda):
    truths = [launch(way, cuda, number, 2 * MS) for number in range(1, 6)]
    time.sleep(0.02)
    ended = way.ended()
    assert ended.launch.tolist() == [1, 2, 3, 4, 5]
    starts, ends = np.array(truths).T
    assert np.abs(ended.start - starts).max() < EXACT_NS
    assert np.abs(ended.end - ends).max() < EXACT_NS
    assert set(ended.kind) == {OperationKind.GRAPH}
    assert set(ended.stream) == {0}
    assert not way.ended().launch.size


def test_what_has_not_ended_is_told_later_and_holds_back_what_is_complete(way, cuda):
    launch(way, cuda, 1, MS)
    begun = time.perf_counter_ns()
    launch(way, cuda, 2, 60 * MS)
    time.sleep(0.01)
    ended = way.ended()
    assert ended.launch.tolist() == [1]
    assert ended.until_ns <= begun + MS
    time.sleep(0.07)
    later = way.ended()
    assert later.launch.tolist() == [2]
    assert later.until_ns > begun + 30 * MS


def test_a_call_that_has_not_returned_holds_it_back_too(way, cuda):
    start = time.perf_counter_ns()
    way.begin(1, start)
    time.sleep(0.03)
    assert way.ended().until_ns <= start
    way.end(1)


def test_streams_end_in_any_order(way, cuda):
    slow, fast = cuda.current, FakeStream(8)
    launch(way, cuda, 1, 80 * MS)
    cuda.current = fast
    launch(way, cuda, 2, MS)
    time.sleep(0.01)
    ended = way.ended()
    assert ended.launch.tolist() == [2]
    cuda.current = slow
    time.sleep(0.09)
    assert way.ended().launch.tolist() == [1]


def test_a_stream_that_is_captured_is_left_alone(way, cuda):
    recorded = cuda.recorded
    cuda.is_capturing = True
    way.begin(1, time.perf_counter_ns())
    way.end(1)
    assert cuda.recorded == recorded
    cuda.is_capturing = False

    way.begin(2, time.perf_counter_ns())
    cuda.is_capturing = True  # a capture begins within a launch call
    way.end(2)
    cuda.is_capturing = False
    assert not way.ended().launch.size
    assert len(way._free) == PAIRS


def test_more_in_flight_than_there_are_events_is_counted_not_waited_for(way, cuda):
    cuda.current.issue(150 * MS)
    for number in range(1, PAIRS + 11):
        way.begin(number, 0)
        way.end(number)
    assert way.lost == 10
    time.sleep(0.16)
    assert way.ended().launch.size == PAIRS
    assert len(way._free) == PAIRS


def test_memory_is_flat_however_many_calls_there_are(way, cuda):
    for number in range(1, 5_001):
        way.begin(number, 0)
        way.end(number)
        if not number % 100:
            way.ended()
    assert len(way._free) + len(way._pending) == PAIRS


def test_a_device_that_lets_every_event_wait_is_timed_with_a_later_anchor(
    monkeypatch, cuda
):
    monkeypatch.setattr(event_clock, "RENEW_NS", 0)
    cuda.own.busy_until = time.perf_counter_ns() + 10**12  # behind other work, for good
    way = EventsWay(calls=cuda)
    start, end = launch(way, cuda, 1, 5 * MS)
    time.sleep(0.01)
    for _ in range(event_clock.IN_VAIN_AT_FIRST - 1):  # the way has tried as well
        assert not way.ended().launch.size
    cuda.own.busy_until = time.perf_counter_ns() + 2 * MS  # behind a step of the engine
    ended = way.ended()
    assert ended.launch.tolist() == [1]
    # how long is exact, when is not
    assert ended.end[0] - ended.start[0] == pytest.approx(end - start, abs=EXACT_NS)


def test_an_event_that_is_noticed_late_is_no_anchor(monkeypatch, cuda):
    """The thread waited for a processor, or the interpreter's lock, before it asked."""
    clock = event_clock.EventClock(cuda)
    cuda.beside = True
    first = clock.keep()
    monkeypatch.setattr(event_clock, "RENEW_NS", 0)
    asked_at_once = FakeEvent.query

    def ask_late(event):
        time.sleep(0.004)
        return asked_at_once(event)

    monkeypatch.setattr(FakeEvent, "query", ask_late)
    assert clock.keep() is first


def test_an_anchor_is_renewed_while_milliseconds_in_32_bits_are_exact(monkeypatch, cuda):
    clock = event_clock.EventClock(cuda)
    cuda.beside = True
    first = clock.keep()
    assert clock.keep() is first
    monkeypatch.setattr(event_clock, "RENEW_NS", 0)
    renewed = clock.keep()
    assert renewed is not first
    assert renewed.event is not first.event
    event = cuda.event()
    event.happens_ns = renewed.host_ns + 1_000_000_123
    assert renewed.time_of(event) == pytest.approx(event.happens_ns, abs=EXACT_NS)


def test_nothing_starts_before_it_was_issued(way, cuda, monkeypatch):
    start = time.perf_counter_ns()
    way.begin(1, start)
    way.end(1)
    with cuda.beside_captures():
        anchor = way._clock.keep()
    early = anchor._replace(host_ns=anchor.host_ns - 50 * MS)
    monkeypatch.setattr(way._clock, "keep", lambda: early)
    ended = way.ended()
    assert ended.start[0] == start
    assert ended.end[0] >= ended.start[0]


def test_an_anchor_that_has_drifted_moves_what_it_dates_and_changes_no_length(way, cuda):
    true_ns = way._clock.anchor.host_ns
    for number in range(1, 4):
        launch(way, cuda, number, 2 * MS)
        time.sleep(0.004)
    way._clock.anchor = way._clock.anchor._replace(host_ns=true_ns - MS)
    way._clock._tried_ns = time.perf_counter_ns()  # it is not renewed now
    ended = way.ended()
    apart = np.diff(ended.start)
    assert ended.start.size == 3
    assert (np.abs(ended.end - ended.start - 2 * MS) < EXACT_NS).all()
    assert (apart > 3 * MS).all()  # one did not move more than another


def test_it_says_how_much_of_busy_was_still_being_issued(way, cuda):
    # a graph: its call returns while it runs
    for number in range(1, 4):
        launch(way, cuda, number, 20 * MS)
    time.sleep(0.07)
    way.ended()
    assert way.limits == events.LIMITS

    # prompts, kernel by kernel: the device waits for each, and events see neither
    way.begin(4, time.perf_counter_ns())
    for _ in range(10):
        cuda.current.issue(MS)
        time.sleep(0.02)
    way.end(4)
    time.sleep(0.02)
    ended = way.ended()
    share = (ended.end - ended.start)[0] / (60 * MS + (ended.end - ended.start)[0])
    said = way.limits[0].removeprefix(events.LIMITS[0])
    (said_pct,) = (int(word) for word in said.split() if word.isdecimal())
    assert said_pct == pytest.approx(100 * share, abs=3)
    assert way.limits[1:] == events.LIMITS[1:]


def test_after_close_nothing_is_held(way, cuda):
    launch(way, cuda, 1, MS)
    way.close()
    assert not way._free
    assert not way._pending
    assert way.device.name == "a fake"
    assert way.limits == events.LIMITS
