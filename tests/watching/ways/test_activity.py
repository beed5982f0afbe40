"""Records of CUPTI: read in bulk, tied to the host's clock, given to the launch calls that issued them."""

from __future__ import annotations

import gc
import time

import numpy as np
import pytest

pytest.importorskip("torch")

import idlescope
from idlescope.analysis import launches
from idlescope.hardware.latencies import UNPROFILED_GRAPH_LAUNCH_NS
from idlescope.trace.model import OperationKind
from idlescope.trace.open import open_trace
from idlescope.watching.watch import Watch
from idlescope.watching.ways import (
    activity,
    choice,
    cupti,
    events,
    profiler_turns,
    record_clock,
)
from idlescope.watching.ways.activity import EVERY_CALL, LIMITS, ActivityWay
from idlescope.watching.ways.choice import way_called
from idlescope.watching.ways.cupti import Cupti, CuptiError
from idlescope.watching.ways.cupti_records import CONCURRENT_KERNEL, GRAPH_TRACE, MEMCPY
from idlescope.watching.ways.events import EventsWay
from idlescope.watching.ways.record_clock import RecordClock
from tests.make.fake_cuda import FakeCuda

GRAPH_LAUNCH, KERNEL_LAUNCH, COPY_CALL = 311, 211, 41
US, MS = 1_000, 1_000_000
EXACT_NS = 100_000
# Names stay where CUPTI has them.
GEMM, ALL_REDUCE = b"_Z4gemmPfS_", b"ncclDevKernel_AllReduce_Sum_bf16_RING_LL"


def both_clocks(stub):
    """Return the same moment on the records' clock and the host's, however loaded the machine is."""
    while True:
        before = time.perf_counter_ns()
        record_ns = stub.stub_now()
        after = time.perf_counter_ns()
        if after - before < EXACT_NS // 4:
            return record_ns, (before + after) // 2


class Device:
    """Issues work as an engine would, which the stub records; times are on the records' clock."""

    def __init__(self, stub, way, index=0):
        self.stub, self.way, self.index = stub, way, index
        self.correlation = 0

    def launch(self, number, *operations):
        """Issue operations within a launch call: a kind, and how long it lasts."""
        self.way.begin(number, time.perf_counter_ns())
        truths = [self.issue(kind, length) for kind, length in operations]
        self.way.end(number)
        return truths

    def issue(self, kind, length):
        self.correlation += 1
        begun = self.stub.stub_now()
        time.sleep(0.0003)
        call = {"graph": GRAPH_LAUNCH, "copy": COPY_CALL}.get(kind, KERNEL_LAUNCH)
        start, host_start = both_clocks(self.stub)
        end = start + length
        self.stub.stub_call(call, self.correlation, begun, start)
        place = (self.index, 3, self.correlation, start, end)
        if kind == "graph":
            self.stub.stub_graph(*place)
        elif kind == "copy":
            self.stub.stub_copy(MEMCPY, *place)
        else:
            self.stub.stub_kernel(kind, *place)
        return host_start, length


@pytest.fixture
def way(stub):
    made = ActivityWay(cupti=Cupti(stub), events=EventsWay(calls=FakeCuda()))
    yield made
    made.close()


@pytest.fixture
def device(stub, way):
    return Device(stub, way)


def test_every_operation_has_its_kind_its_name_its_time_and_its_launch_call(way, device):
    truths = device.launch(1, ("copy", 4 * US), ("graph", 50 * US))
    truths += device.launch(2, (GEMM, 9 * US), (ALL_REDUCE, 7 * US))
    ended = way.ended()
    order = np.argsort(ended.start)
    assert ended.launch[order].tolist() == [1, 1, 2, 2]
    kernel = OperationKind.KERNEL
    kinds = [OperationKind.MEMCPY, OperationKind.GRAPH, kernel, kernel]
    assert ended.kind[order].tolist() == kinds
    names = [way.names[code] for code in ended.name[order]]
    assert names == ["copy", "graph", "gemm(float*, float*)", ALL_REDUCE.decode()]
    assert ended.communication[order].tolist() == [False, False, False, True]
    for row, (start, length) in zip(order, truths, strict=True):
        assert ended.start[row] == pytest.approx(start, abs=EXACT_NS)
        assert ended.end[row] - ended.start[row] == pytest.approx(length, abs=100)


def test_records_of_any_length_are_walked(stub, way, device):
    """A kernel's record had 160 bytes in CUDA 11.1, 208 in 12.3, 216 in 13.0."""
    stub.stub_size(CONCURRENT_KERNEL, 208)
    stub.stub_size(GRAPH_TRACE, 48)
    device.launch(1, *[(GEMM, US), ("graph", US), ("copy", US)] * 40)
    assert np.bincount(way.ended().kind).tolist() == [40, 40, 0, 40]


def test_thousands_of_records_over_many_buffers(way, device, stub):
    count = 3_000
    way.begin(1, time.perf_counter_ns())
    base = stub.stub_now()
    for number in range(1, count + 1):
        stub.stub_call(KERNEL_LAUNCH, number, base + number, base + number)
        stub.stub_kernel(GEMM, 0, 3, number, base + number * US, base + number * US + 500)
    way.end(1)
    time.sleep(0.005)
    ended = way.ended()
    assert ended.launch.tolist() == [1] * count
    # two clocks, of which the rates differ a little
    assert int((ended.end - ended.start).sum()) == pytest.approx(count * 500, rel=1e-3)
    made = len(way._cupti.buffers._made)
    assert made >= count * (216 + 40) // cupti.BUFFER_BYTES
    # they are used again
    for number in range(1, 500):
        stub.stub_kernel(GEMM, 0, 3, number, base, base + 1)
    way.ended()
    assert len(way._cupti.buffers._made) == made
    assert way._cupti.buffers.out == 0


def test_another_devices_work_is_not_ours(stub, way):
    other = Device(stub, way, index=1)
    other.launch(1, (GEMM, US))
    assert not way.ended().launch.size


def test_an_operation_outside_of_launch_calls_is_told_without_one(way, device):
    device.launch(1, (GEMM, US))
    time.sleep(0.001)
    device.issue("copy", US)
    time.sleep(0.001)
    device.launch(2, (GEMM, US))
    ended = way.ended()
    assert ended.launch[np.argsort(ended.start)].tolist() == [1, 0, 2]


def test_each_operation_has_the_times_of_the_call_that_issued_it(stub, way, device):
    device.launch(1, (GEMM, US))
    device.issue("copy", US)
    moment = stub.stub_now()
    # the runtime's call and the driver's within it have one id
    stub.stub_call(KERNEL_LAUNCH, 90, moment - 50 * US, moment - 40 * US)
    stub.stub_call(KERNEL_LAUNCH, 90, moment - 90 * US, moment - 30 * US)
    stub.stub_kernel(GEMM, 0, 3, 90, moment, moment + US)
    ended = way.ended()
    order = np.argsort(ended.start)
    call_start, call_end = ended.call_start[order], ended.call_end[order]
    assert (call_end - call_start)[2] == pytest.approx(60 * US, abs=100)
    assert (ended.start[order] - call_start)[2] == pytest.approx(90 * US, abs=100)
    assert np.all(call_start < call_end)
    assert np.all(ended.start[order] - call_end < 1 * MS)


def test_it_says_how_long_cupti_makes_the_launch_of_a_graph(stub, way, device):
    # 0.50 ms on an H200 (SGLang 8B), where a watch by events saw 0.05
    assert way.limits == (*LIMITS, EVERY_CALL)
    for number in range(1, 4):
        device.launch(number, ("graph", 50 * US))
    took_ms = 1e-6 * np.median(np.subtract(*way.ended().call_times()[::-1]))
    (said,) = set(way.limits) - {*LIMITS, EVERY_CALL}
    assert f"launching a CUDA graph takes {took_ms:.2f} ms" in said


def test_a_recording_has_all_calls_and_nothing_is_unattributed(stub, way, device, tmp_path):
    watch = Watch(way=way, folder=tmp_path)
    for _ in range(6):
        with watch.step(tokens=4, requests=4):
            with idlescope.range("prepare"):
                device.issue("copy", 20 * US)  # outside of launch calls
            with watch.launching("forward"):
                device.issue("graph", 2 * MS)
            with watch.waiting("tokens"):
                time.sleep(0.004)
    time.sleep(0.03)
    state = watch.state().devices[0]
    assert state.idle_ns["unattributed"] == 0
    assert state.host_ns["prepare"] > 0
    trace = open_trace(watch.record())
    watch.close()
    assert len(trace.operations) == 12
    assert np.all(launches.link(trace, trace.operations) >= 0)
    result = idlescope.analyze(trace).results[0]
    assert result.gaps.totals()["unattributed"] == 0
    assert (result.coverage.launches, result.coverage.launches_lost) == (12, 0)


def test_it_says_which_idle_time_is_its_own(stub, way, tmp_path):
    watch = Watch(way=way, folder=tmp_path)
    launch_ns = 400 * US  # of which 20 us would be spent without CUPTI, too
    for number in range(1, 12):
        with watch.step(tokens=4, requests=4):
            with watch.launching("forward"):
                time.sleep(launch_ns / 1e9)
                end = stub.stub_now()
                stub.stub_call(GRAPH_LAUNCH, number, end - launch_ns, end)
                stub.stub_graph(0, 3, number, end, end + 4 * MS)
            with watch.waiting("tokens"):
                while stub.stub_now() < end + 4 * MS:
                    time.sleep(0.0001)
    time.sleep(0.03)
    state = watch.state().devices[0]
    own_ns = 10 * (launch_ns - UNPROFILED_GRAPH_LAUNCH_NS)  # the first gap is before all
    assert state.own_idle_ns == pytest.approx(own_ns, rel=0.01)
    assert sum(state.idle_ns.values()) > state.own_idle_ns
    # What recordings say of it: tests/analysis/test_observer.py. On a machine with much to do this
    # loop's sleeps last so long that its steps cannot be replayed.
    watch.close()


def test_an_operation_that_comes_before_its_call_waits_for_it_once(stub, way):
    way.begin(1, time.perf_counter_ns())
    moment = stub.stub_now()
    stub.stub_kernel(GEMM, 0, 3, 8, moment, moment + US)
    assert not way.ended().launch.size
    stub.stub_call(KERNEL_LAUNCH, 8, moment, moment)
    way.end(1)
    assert way.ended().launch.tolist() == [1]
    stub.stub_kernel(GEMM, 0, 3, 9, moment, moment + US)
    way.ended()
    assert way.ended().launch.tolist() == [0]  # its call was never recorded


def test_correlation_ids_begin_anew(stub, way):
    for number, correlation in enumerate((2**32 - 2, 2**32 - 1, 1, 2), 1):
        way.begin(number, time.perf_counter_ns())
        moment = stub.stub_now()
        stub.stub_call(KERNEL_LAUNCH, correlation, moment, moment)
        stub.stub_kernel(GEMM, 0, 3, correlation, moment, moment + 1)
        way.end(number)
        time.sleep(0.001)
    assert way.ended().launch.tolist() == [1, 2, 3, 4]


def test_without_records_of_calls_the_order_tells(stub):
    stub.stub_without_calls()
    way = ActivityWay(cupti=Cupti(stub), events=EventsWay(calls=FakeCuda()))
    device = Device(stub, way)
    device.launch(1, (GEMM, US), ("graph", US))
    device.launch(2, (GEMM, US))
    ended = way.ended()
    assert ended.launch[np.argsort(ended.start)].tolist() == [1, 1, 2]
    way.close()


def test_what_is_complete_is_known_only_up_to_the_newest_call_while_work_is_in_flight(
    stub, way, device
):
    device.launch(1, (GEMM, US))
    before = time.perf_counter_ns()
    assert before - 40 * MS < way.ended().until_ns <= before + 10 * MS
    stub.stub_hold(1)  # the newest buffer has a record without an end
    held_since = time.perf_counter_ns()
    device.launch(2, (GEMM, US))
    time.sleep(0.03)
    assert way.ended().until_ns <= held_since
    stub.stub_hold(0)
    ended = way.ended()
    assert ended.launch.tolist() == [2]
    assert ended.until_ns > held_since


def test_the_clock_of_records_may_be_set_and_may_count_in_another_unit(stub, way, device):
    stub.stub_clock(-3_600_000_000_000, 1.0)  # an hour back
    device.launch(1, (GEMM, 3 * MS))
    time.sleep(0.02)
    way.ended()
    stub.stub_clock(0, 2.4)  # ticks of a processor's counter
    way.give_way()
    way.come_back()
    for _ in range(2):
        way.ended()
        time.sleep(0.05)
    truths = device.launch(4, (GEMM, 24_000_000))  # ticks: 10 ms
    time.sleep(0.02)
    ended = way.ended()
    (start, _), number = truths[0], int(ended.launch[-1])
    assert number == 4
    assert ended.start[-1] == pytest.approx(start, abs=1 * MS)
    assert ended.end[-1] - ended.start[-1] == pytest.approx(10 * MS, rel=0.05)


def test_torch_profiler_has_cupti_while_it_records(stub, way, device):
    import torch

    device.launch(1, (GEMM, US))
    assert way.ended().launch.tolist() == [1]

    class OnADevice(torch.autograd.profiler.profile):
        use_device = "cuda"

    profiler = OnADevice(use_kineto=True, use_device=None)
    profiler.use_device = "cuda"
    with profiler:
        assert not stub.stub_enabled(CONCURRENT_KERNEL)
        way.begin(2, time.perf_counter_ns())  # timed by events meanwhile
        way.end(2)
        time.sleep(0.005)
        assert way.ended().launch.tolist() == [2]
        profiler.use_device = None  # there is no device to synchronise at its end
        profiler_turns._ended(type("", (), {"use_device": "cuda"})())
    assert stub.stub_enabled(CONCURRENT_KERNEL)
    device.launch(3, (GEMM, US))
    assert way.ended().launch.tolist() == [3]


def test_a_profiler_of_the_host_alone_leaves_it_be(stub, way):
    import torch

    with torch.autograd.profiler.profile(use_kineto=True, use_device=None):
        assert stub.stub_enabled(CONCURRENT_KERNEL)


def test_a_tool_that_has_cupti_already_is_named(stub):
    stub.stub_take(1)
    with pytest.raises(CuptiError, match="MULTIPLE_SUBSCRIBERS"):
        ActivityWay(cupti=Cupti(stub), events=EventsWay(calls=FakeCuda()))


def test_a_tool_that_does_not_give_cupti_back_leaves_events(stub, way, caplog):
    way.give_way()
    stub.stub_take(1)
    way.come_back()
    assert "timing by events from here on" in caplog.text
    way.begin(1, time.perf_counter_ns())
    way.end(1)
    time.sleep(0.002)
    assert way.ended().launch.tolist() == [1]


def test_a_tool_that_takes_cupti_without_a_word_is_noticed(stub, way, monkeypatch, caplog):
    monkeypatch.setattr(activity, "SILENT_NS", 1_000)
    for number in range(1, activity.SILENT_LAUNCHES + 2):
        way.begin(number, time.perf_counter_ns())
        way.end(number)
    way.ended()
    assert "no records of CUPTI come any more" in caplog.text
    way.begin(900, time.perf_counter_ns())
    way.end(900)
    time.sleep(0.002)
    assert way.ended().launch.tolist() == [900]


def issue_timeless(stub, count, start=0, end=0):
    for number in range(count):
        stub.stub_call(KERNEL_LAUNCH, 10_000 + number, stub.stub_now(), stub.stub_now())
        stub.stub_kernel(GEMM, 0, 3, 10_000 + number, start, end)


@pytest.mark.parametrize(("start", "end"), [(0, 0), (10**9, 10**8)])
def test_records_without_times_are_told_and_leave_events(
    stub, way, device, caplog, start, end
):
    device.launch(1, (GEMM, US))
    issue_timeless(stub, activity.MANY_TIMELESS + 50, start, end)
    assert way.ended().launch.tolist() == [1]
    assert activity.TIMELESS.format(activity.MANY_TIMELESS + 50) in way.limits
    assert "records of CUPTI have no times any more" in caplog.text
    device.launch(2, (GEMM, US))  # CUPTI is off: nothing is recorded
    time.sleep(0.002)
    assert way.ended().launch.tolist() == [2]
    assert way not in profiler_turns._YIELDING  # nor does it come back after a profiler


def test_a_few_records_without_times_are_only_told(stub, way, device, caplog):
    device.launch(1, (GEMM, US))
    issue_timeless(stub, 3)
    assert way.ended().launch.tolist() == [1]
    assert activity.TIMELESS.format(3) in way.limits
    assert "have no times" not in caplog.text


@pytest.mark.parametrize("offset", [10**12, -(10**12)])
def test_records_on_another_clock_are_not_counted(stub, way, device, offset):
    moment = stub.stub_now() + offset
    stub.stub_call(KERNEL_LAUNCH, 77, moment, moment)
    stub.stub_kernel(GEMM, 0, 3, 77, moment, moment + 1)
    device.launch(1, (GEMM, US))
    assert way.ended().launch.tolist() == [1]


def test_records_on_another_clock_alone_leave_events(
    stub, way, device, monkeypatch, caplog
):
    monkeypatch.setattr(activity, "SILENT_NS", 1_000)
    moment = stub.stub_now() + 10**12
    for number in range(1, activity.SILENT_LAUNCHES + 2):
        way.begin(number, time.perf_counter_ns())
        stub.stub_kernel(GEMM, 0, 3, number, moment, moment + 1)
        way.end(number)
    assert not way.ended().launch.size
    assert "no records of CUPTI come any more" in caplog.text


def test_what_was_recorded_before_a_profiler_set_the_clock_keeps_its_time(
    stub, way, device
):
    truths = device.launch(1, (GEMM, 9 * US))
    way.give_way()
    stub.stub_clock(0, 2.4)  # torch.profiler has CUPTI count a processor's ticks
    way.come_back()
    time.sleep(0.11)
    truths += device.launch(2, (GEMM, 24_000))
    ended = way.ended()
    assert ended.launch.tolist() == [1, 2]
    for row, (start, _) in enumerate(truths):
        assert ended.start[row] == pytest.approx(start, abs=1 * MS)


def test_only_calls_that_launch_are_recorded(stub, way):
    way.begin(1, time.perf_counter_ns())
    moment = stub.stub_now()
    for call in range(1, 500):
        stub.stub_call(call, call, moment, moment)
    way.end(1)
    completed = way._cupti.buffers.completed
    way._cupti.flush()
    _, calls = way._parsed(completed.popleft())
    assert calls.correlation.tolist() == [COPY_CALL, KERNEL_LAUNCH, GRAPH_LAUNCH]


def test_where_no_call_is_recorded_after_all_the_order_tells(stub, way, monkeypatch):
    monkeypatch.setattr(activity, "CALLS_MISSED", 3)
    cupti.Cupti(stub)._try("cuptiActivityDisable", 5)
    device = Device(stub, way)
    for number in (1, 2, 3):
        device.launch(number, (GEMM, US), (GEMM, US))
        way.ended()
    device.launch(4, (GEMM, US))
    assert way.ended().launch[-1:].tolist() == [4]


@pytest.fixture
def early(stub, monkeypatch):
    """CUPTI as an engine's hooks turn it on: the process has no context of CUDA yet."""
    monkeypatch.setattr(activity, "EARLY", early := cupti.EarlyCupti())
    monkeypatch.setattr(choice, "EARLY", early)
    stub.stub_no_context(1)
    early.start(stub)
    stub.stub_no_context(0)
    moment = stub.stub_now()
    stub.stub_copy(MEMCPY, 0, 3, 7, moment, moment + US)  # loading the model
    return early


def test_before_there_is_a_context_only_calls_that_launch_cost_anything(stub, early):
    way = ActivityWay(events=EventsWay(calls=FakeCuda()))
    device = Device(stub, way)
    truths = device.launch(1, ("graph", 50 * US), (GEMM, US))
    ended = way.ended()
    assert ended.launch.tolist() == [1, 1]  # without what came before the watch
    assert np.all(ended.call_start > 0)
    assert ended.start.min() == pytest.approx(truths[0][0], abs=EXACT_NS)
    assert not stub.stub_costs_every_call()
    assert EVERY_CALL not in way.limits
    way.close()
    stub.stub_call(KERNEL_LAUNCH, 9, 1, 2)
    assert not way._cupti.buffers.completed


def test_where_chosen_calls_do_not_come_every_call_is_recorded(stub, early, monkeypatch):
    monkeypatch.setattr(activity, "ENOUGH_CAME", 300)
    way = ActivityWay(events=EventsWay(calls=FakeCuda()))
    device = Device(stub, way)
    stub.stub_loses_chosen()
    for number in range(1, 8):
        device.launch(number, (GEMM, US))
        way.ended()
    assert stub.stub_costs_every_call()
    device.launch(8, (GEMM, US))
    ended = way.ended()
    assert ended.launch[-1] == 8
    assert ended.call_start[-1] > 0
    way.close()


def test_after_a_profiler_every_call_is_recorded(stub, early):
    """There is a context by then."""
    way = ActivityWay(events=EventsWay(calls=FakeCuda()))
    way.give_way()
    assert not stub.stub_enabled(CONCURRENT_KERNEL)
    way.come_back()
    Device(stub, way).launch(1, (GEMM, US))
    assert way.ended().launch.tolist() == [1]
    way.close()


def test_what_was_turned_on_early_in_vain_is_turned_off(stub, early, graphs, monkeypatch):
    monkeypatch.setattr(events, "EventsWay", lambda device: EventsWay(calls=FakeCuda()))
    graph = Graph()
    assert way_called("activity").name == "events"
    assert not stub.stub_enabled(CONCURRENT_KERNEL)
    assert early.take() is None
    del graph


class HostClock:
    """The host's clock as `record_clock` reads it, moved by hand: a busy machine cannot move it."""

    def __init__(self):
        self.ns = 1_000_000 * MS

    def perf_counter_ns(self):
        return self.ns

    time_ns = perf_counter_ns


@pytest.fixture
def host_clock(monkeypatch):
    moved_by_hand = HostClock()
    monkeypatch.setattr(record_clock, "time", moved_by_hand)
    return moved_by_hand


def test_ties_that_lie_close_say_nothing_of_the_rate(host_clock):
    """Reading the clock takes a moment: two readings 1 ms apart would be per mille wrong."""
    late_ns = iter([0, 0, 0, 50 * US, 50 * US, 50 * US])
    clock = RecordClock(lambda: host_clock.ns + next(late_ns))
    host_clock.ns += MS
    clock.tie()
    in_ten_seconds = host_clock.ns + 10_000 * MS
    host = clock.host(np.array([in_ten_seconds]))
    assert host[0] == in_ten_seconds


def test_a_reading_of_both_clocks_that_took_long_is_no_tie(host_clock):
    """The thread waited for the interpreter's lock in between: which moment it was nobody knows."""
    lengths_ns = iter([0, 0, 0, 4 * MS, 5 * MS, 6 * MS])

    def now():
        moment = host_clock.ns
        host_clock.ns += next(lengths_ns)
        return moment

    clock = RecordClock(now)
    host_clock.ns += 150 * MS
    clock.tie()
    assert next(lengths_ns, None) is None
    assert clock.host(np.array([host_clock.ns]))[0] == host_clock.ns


def test_more_records_than_there_is_room_for_are_counted_and_told(stub):
    reader = Cupti(stub)
    reader.buffers = cupti.Buffers(size=4096, most=2)
    way = ActivityWay(cupti=reader, events=EventsWay(calls=FakeCuda()))
    assert not any("had no room" in limit for limit in way.limits)
    for number in range(100):
        stub.stub_kernel(GEMM, 0, 3, number, 1, 2)
    assert stub.stub_dropped() > 0
    assert f"{reader.buffers.refused:,} times CUPTI had no room" in way.limits[-1]
    way.close()


class Graph:
    """A CUDA graph, as torch keeps one."""

    def capture_begin(self):
        """Capture nothing."""


class EnginesGraph(Graph):
    """A graph of an engine's own type."""


@pytest.fixture
def graphs(monkeypatch):
    import torch

    monkeypatch.setattr(torch.cuda, "CUDAGraph", Graph)


@pytest.mark.parametrize("kind", [Graph, EnginesGraph])
def test_it_does_not_begin_where_there_are_graphs_but_times_by_events(
    stub, graphs, kind, monkeypatch, caplog
):
    """CUPTI crashes what replays a graph that was made before it was turned on."""
    monkeypatch.setattr(activity, "Cupti", lambda: Cupti(stub))
    monkeypatch.setattr(activity, "EventsWay", lambda device: EventsWay(calls=FakeCuda()))
    monkeypatch.setattr(events, "EventsWay", lambda device: EventsWay(calls=FakeCuda()))
    graph = kind()
    instead = way_called("activity")
    assert instead.name == "events"
    assert instead.limits[0].startswith(
        "no records of CUPTI, so timing by events: there are"
    )
    assert len(caplog.messages) == 1
    assert "begin the watch before the first capture" in caplog.text
    assert not any(stub.stub_enabled(kind) for kind in cupti.KINDS)
    del graph
    way = way_called("activity")
    assert way.name == "activity"
    way.close()


def test_it_does_not_begin_where_graphs_may_be_frozen(stub, graphs):
    graph = Graph()
    gc.freeze()
    try:
        with pytest.raises(CuptiError, match="before the first capture"):
            ActivityWay(cupti=Cupti(stub), events=EventsWay(calls=FakeCuda()))
    finally:
        gc.unfreeze()
    del graph


def test_what_python_itself_has_frozen_is_no_graph(stub, graphs, monkeypatch):
    """Python 3.12 begins with 375 objects that are frozen."""
    monkeypatch.setattr(gc, "get_freeze_count", lambda: 375)
    way = ActivityWay(cupti=Cupti(stub), events=EventsWay(calls=FakeCuda()))
    assert way.name == "activity"
    way.close()


def test_it_does_not_come_back_where_graphs_were_made_meanwhile(graphs, stub, way, caplog):
    way.give_way()
    way.come_back()
    assert stub.stub_enabled(CONCURRENT_KERNEL)
    Graph().capture_begin()  # while it records: it comes back
    way.give_way()
    way.come_back()
    assert stub.stub_enabled(CONCURRENT_KERNEL)
    way.give_way()
    Graph().capture_begin()
    way.come_back()
    assert not stub.stub_enabled(CONCURRENT_KERNEL)
    assert "timing by events from here on: there are CUDA graphs already" in caplog.text


def test_after_close_cupti_records_nothing(stub, way):
    way.close()
    assert not any(stub.stub_enabled(kind) for kind in cupti.KINDS)
    way.close()
