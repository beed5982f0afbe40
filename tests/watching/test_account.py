"""The account is exact: however time is cut into stretches, it says what the analysis of all says."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from idlescope.analysis.grouping import Groups
from idlescope.analysis.idle import causes, host_time
from idlescope.analysis.idle.occupancy import occupancy
from idlescope.analysis.intervals import Intervals
from idlescope.analysis.steps.step_kind import StepKind
from idlescope.hardware.latencies import (
    CUPTI_COPY_NS,
    CUPTI_KERNEL_NS,
    UNPROFILED_GRAPH_LAUNCH_NS,
)
from idlescope.trace.model import Device, OperationKind
from idlescope.watching.account import Account, OpenRows, _by_phase
from idlescope.watching.rows import (
    CALL_FIELDS,
    NO_DEMAND,
    PHASE_FIELDS,
    RESERVED_NAMES,
    STEP_FIELDS,
    Taken,
    row_table,
)
from idlescope.watching.stretch import OPERATION_FIELDS, Stretch
from idlescope.watching.ways.base import Ended

NAMES = (*RESERVED_NAMES, "launch.forward", "event.synchronize", "prepare", "update")
LAUNCH, WAIT, PREPARE, UPDATE = range(len(RESERVED_NAMES), len(NAMES))
DEVICE = Device(0, 0, "a device")
NOTHING_OPEN = OpenRows([], None, -1)
US = 1_000
PHASES = (Phase.explicit, Phase.reuse, Phase.generate)  # shrinking takes minutes


@st.composite
def loops(draw):
    """Draw the steps of a loop: what the host does, and when its work ran on one of two streams."""
    time = 1_000_000
    free = [time, time]
    steps, calls, phases, operations = [], [], [], []
    for number in range(draw(st.integers(1, 12))):
        start = time
        for name in (PREPARE, UPDATE):
            length = draw(st.integers(0, 300)) * US
            phases.append((name, -1, time, time + length))
            time += length + draw(st.integers(0, 20)) * US
            if name == UPDATE:
                break
            for _ in range(draw(st.integers(0, 3))):
                launch = len(calls) + 1
                returned = time + draw(st.integers(1, 50)) * US
                calls.append((LAUNCH, number, time, returned, launch))
                stream = draw(st.integers(0, 1))
                begun = max(free[stream], time + draw(st.integers(1, 200)) * US)
                free[stream] = begun + draw(st.integers(1, 400)) * US
                operations.append((launch, stream, begun, free[stream], number))
                time = returned
            if draw(st.booleans()):
                ended = max(time, *free)
                calls.append((WAIT, number, time, ended, 0))
                time = ended
        steps.append((number, 0, start, time, 1, 1))
        if draw(st.integers(0, 5)) == 0:
            pause = draw(st.integers(1, 500)) * US
            phases.append((NO_DEMAND, -1, time, time + pause))
            time += pause
    cuts = draw(st.lists(st.integers(1_000_000, max(time, *free)), max_size=6))
    return steps, calls, phases, operations, sorted(cuts), max(time, *free) + 1


def settled(loop) -> Account:
    """Let an account take in a loop as it comes, cut at the loop's cuts."""
    steps, calls, phases, operations, cuts, end = loop
    account = Account(DEVICE)
    before = 0
    for now in (*cuts, end):
        pending = [c[2] for c, o in _pairs(calls, operations) if c[2] <= now < o[3]]
        begun = [row for row in phases if row[2] < now < row[3]]
        waits = [c for c in calls if not c[4] and c[2] < now < c[3]]
        account.settle(
            _ended([o for o in operations if before < o[3] <= now], min([now, *pending])),
            Taken(
                row_table(_flat(s for s in steps if before < s[3] <= now), STEP_FIELDS),
                row_table(_flat(c for c in calls if before < c[3] <= now), CALL_FIELDS),
                row_table(_flat(p for p in phases if before < p[3] <= now), PHASE_FIELDS),
            ),
            OpenRows(
                [value for row in begun for value in (row[0], row[2])],
                (waits[0][0], waits[0][2]) if waits else None,
                -1,
            ),
            NAMES,
        )
        before = now
    return account


def _pairs(calls, operations):
    by_launch = {call[4]: call for call in calls if call[4]}
    return [(by_launch[operation[0]], operation) for operation in operations]


def _flat(rows):
    return [value for row in rows for value in row]


def _ended(operations, until):
    columns = np.array(operations, np.int64).reshape(-1, 5).T
    count = columns.shape[1]
    return Ended(
        launch=columns[0],
        stream=columns[1],
        kind=np.full(count, OperationKind.GRAPH),
        name=np.full(count, -1),
        start=columns[2],
        end=columns[3],
        communication=columns[1] == 1,
        until_ns=until,
    )


def whole(loop) -> Stretch:
    """Return all of a loop as one stretch."""
    _, calls, phases, operations, _, end = loop
    rows = [
        (o[0], o[1], OperationKind.GRAPH, -1, o[2], o[3], o[1] == 1, 0, 0, o[4])
        for o in operations
    ]
    return Stretch(
        low=min(o[2] for o in operations),
        high=end,
        names=NAMES,
        device=DEVICE,
        operations=row_table(_flat(rows), OPERATION_FIELDS),
        calls=row_table(_flat(calls), CALL_FIELDS),
        phases=row_table(_flat(phases), PHASE_FIELDS),
        empty_steps=Intervals(np.empty(0, np.int64), np.empty(0, np.int64)),
    )


@settings(max_examples=40, deadline=None, phases=PHASES)
@given(loops())
def test_cut_anywhere_it_says_what_the_analysis_of_the_whole_says(loop):
    totals = settled(loop).totals
    if not loop[3]:
        assert totals.watched_ns == 0
        return
    stretch = whole(loop)
    view = stretch.view()
    truth = occupancy(view.operations, (stretch.low, stretch.high))
    gaps = causes.attribute(view, truth.gaps)
    said = dict(totals.idle_ns)
    said["host"] += said.pop("no demand")
    assert totals.busy_ns == truth.active_ns
    assert said == gaps.totals()
    assert totals.watched_ns == stretch.high - stretch.low
    assert totals.communication_ns == stretch.communication()
    assert sum(totals.host_ns.values()) == totals.idle_ns["host"]


@settings(max_examples=25, deadline=None, phases=PHASES)
@given(loops())
def test_host_time_by_phase_is_that_of_the_analysis(loop):
    if not loop[3] or any(phase[0] == NO_DEMAND for phase in loop[2]):
        return
    account = settled(loop)
    stretch = whole(loop)
    view = stretch.view()
    idle = occupancy(view.operations, (stretch.low, stretch.high)).gaps
    gaps = causes.attribute(view, idle)
    one_group = Groups(np.zeros(len(gaps), np.int64), 1)
    truth = _by_phase(host_time.divide_by(view, gaps, one_group))
    for phase in ("prepare", "update", "waiting"):
        assert account.totals.host_ns.get(phase, 0) == truth.get(phase, 0)


@settings(max_examples=25, deadline=None, phases=PHASES)
@given(loops())
def test_the_idle_time_of_steps_adds_up_to_what_their_operations_ended(loop):
    totals = settled(loop).totals
    assert totals.step_time.count == len(loop[0])
    if not loop[3]:
        return
    stretch = whole(loop)
    view = stretch.view()
    idle = occupancy(view.operations, (stretch.low, stretch.high)).gaps
    gaps = causes.attribute(view, idle)
    ended_by_step = view.operations.step[gaps.operation] >= 0
    assert totals.idle_per_step.sum_ns == int(gaps.length[ended_by_step].sum())


def test_a_step_of_nobody_and_time_without_requests_are_no_demand():
    account = Account(DEVICE)
    empty = StepKind.EMPTY.code
    account.settle(
        _ended([(1, 0, 100, 200, 0), (2, 0, 600, 700, 2)], 1_000),
        Taken(
            row_table(
                (0, 2, 50, 210, 1, 1, 1, empty, 300, 400, 0, 0, 2, 2, 500, 650, 1, 1),
                STEP_FIELDS,
            ),
            row_table((LAUNCH, 0, 60, 70, 1, LAUNCH, 2, 590, 595, 2), CALL_FIELDS),
            row_table((NO_DEMAND, -1, 420, 500), PHASE_FIELDS),
        ),
        OpenRows([NO_DEMAND, 800], None, -1),
        NAMES,
    )
    totals = account.totals
    assert totals.busy_ns == 200
    assert totals.idle_ns["no demand"] == 100 + 80 + 200
    assert totals.idle_ns["host"] == 590 - 200 - 180 + 100
    assert totals.steps["empty"] == 1
    assert totals.tokens == 2


def test_steps_launched_before_their_predecessor_ended_are_counted():
    account = Account(DEVICE)
    operations = [(1, 0, 100, 200, 0), (2, 0, 200, 300, 1), (3, 0, 400, 500, 2)]
    calls = (LAUNCH, 0, 90, 95, 1, LAUNCH, 1, 150, 160, 2, LAUNCH, 2, 350, 360, 3)
    steps = (0, 0, 80, 96, 1, 1, 1, 0, 140, 165, 1, 1, 2, 0, 340, 370, 1, 1)
    account.settle(
        _ended(operations, 600),
        Taken(
            row_table(steps, STEP_FIELDS),
            row_table(calls, CALL_FIELDS),
            row_table((), PHASE_FIELDS),
        ),
        NOTHING_OPEN,
        NAMES,
    )
    assert (account.totals.launched_told, account.totals.launched_early) == (2, 1)
    assert account.totals.launch_latency_ns == 400 - 350
    assert account.totals.launches == 1


def test_steps_are_counted_in_their_order_whichever_ends_first():
    """One without work on the device is over before the one ahead of it is."""
    account = Account(DEVICE)
    nothing = Taken(
        row_table((), STEP_FIELDS), row_table((), CALL_FIELDS), row_table((), PHASE_FIELDS)
    )
    steps = (0, 0, 80, 96, 1, 1, 1, 0, 240, 270, 1, 1, 2, 0, 400, 450, 1, 1)
    calls = (LAUNCH, 0, 90, 95, 1, LAUNCH, 1, 250, 255, 2)
    first = nothing._replace(
        steps=row_table(steps, STEP_FIELDS), calls=row_table(calls, CALL_FIELDS)
    )
    ended = _ended([(1, 0, 100, 200, 0), (2, 0, 300, 600, 1)], 500)
    account.settle(ended, first, NOTHING_OPEN, NAMES)
    assert account.totals.step_time.count == 1
    account.settle(_ended([], 1_000), nothing, NOTHING_OPEN, NAMES)
    assert account.totals.step_time.count == 3
    assert (account.totals.launched_told, account.totals.launched_early) == (1, 0)


def test_a_long_gap_is_remembered_with_its_cause_and_phase():
    account = Account(DEVICE)
    second = 1_000_000_000
    account.settle(
        _ended([(1, 0, 100, 200, 0), (2, 0, second, second + 50, 1)], second + 100),
        Taken(
            row_table((0, 0, 50, 210, 1, 1, 1, 0, 300, second + 20, 1, 1), STEP_FIELDS),
            row_table(
                (LAUNCH, 0, 60, 70, 1, LAUNCH, 1, second - 10, second - 5, 2), CALL_FIELDS
            ),
            row_table((PREPARE, -1, 300, second - 20), PHASE_FIELDS),
        ),
        NOTHING_OPEN,
        NAMES,
    )
    (gap,) = account.history.long_gaps(unix_offset_ns=7)
    assert (gap.unix_ns, gap.length_ns) == (207, second - 200)
    assert (gap.step, gap.cause, gap.phase) == (1, "host", "prepare")


def test_a_gap_that_lasts_over_several_stretches_is_one_and_for_want_of_requests():
    account = Account(DEVICE)
    second = 1_000_000_000
    nothing = Taken(
        row_table((), STEP_FIELDS), row_table((), CALL_FIELDS), row_table((), PHASE_FIELDS)
    )
    first = nothing._replace(
        steps=row_table((0, 0, 50, 210, 1, 1), STEP_FIELDS),
        calls=row_table((LAUNCH, 0, 60, 70, 1), CALL_FIELDS),
    )
    last = nothing._replace(
        steps=row_table((1, 0, 3 * second - 50, 3 * second, 1, 1), STEP_FIELDS),
        calls=row_table((LAUNCH, 1, 3 * second - 40, 3 * second - 30, 2), CALL_FIELDS),
        phases=row_table((NO_DEMAND, -1, 300, 3 * second - 60), PHASE_FIELDS),
    )
    waiting = OpenRows([NO_DEMAND, 300], None, 0)
    account.settle(_ended([(1, 0, 100, 200, 0)], second), first, waiting, NAMES)
    account.settle(_ended([], 2 * second), nothing, waiting, NAMES)
    ended = _ended([(2, 0, 3 * second, 3 * second + 10, 1)], 3 * second + 20)
    account.settle(ended, last, NOTHING_OPEN, NAMES)
    (gap,) = account.history.long_gaps(unix_offset_ns=0)
    assert (gap.unix_ns, gap.length_ns, gap.step) == (200, 3 * second - 200, 1)
    assert gap.cause == "no demand"
    assert account.totals.idle_ns["no demand"] == 3 * second - 60 - 300
    assert account.totals.idle_per_step.sum_ns == 3 * second - 200


def with_own_calls(account, cuts=()):
    """Settle two steps of CUPTI's: an input copy outside of launch calls, then a graph."""
    rows = [  # launch, stream, start, end, step, call
        (0, 0, 1_150, 1_160, 0, (1_100, 1_110)),
        (1, 0, 1_300, 1_900, 0, (1_240, 1_260)),
        (0, 0, 2_150, 2_160, 1, (2_100, 2_110)),
        (2, 0, 2_300, 2_900, 1, (2_240, 2_260)),
    ]
    steps = (0, 0, 1_000, 1_950, 1, 1, 1, 0, 2_000, 2_950, 1, 1)
    calls = (LAUNCH, 0, 1_200, 1_270, 1, WAIT, 0, 1_280, 1_900, 0)
    calls += (LAUNCH, 1, 2_200, 2_270, 2, WAIT, 1, 2_280, 2_900, 0)
    phases = (PREPARE, -1, 1_010, 1_200, PREPARE, -1, 2_010, 2_200)
    before = 0
    for until in (*cuts, 3_000):
        seen = [row for row in rows if before < row[3] <= until]
        ended = _ended([row[:5] for row in seen], until)
        call_start, call_end = np.array([row[5] for row in seen], np.int64).reshape(-1, 2).T
        tables = ((steps, STEP_FIELDS), (calls, CALL_FIELDS), (phases, PHASE_FIELDS))
        taken = Taken(*(_between(*table, before, until) for table in tables))
        begun = [row for row in (0, 1) if 1_000 * (row + 1) <= until]
        step_start = 1_000 * (begun[-1] + 1) if begun else 0
        in_phase = [
            value
            for start in (1_010, 2_010)
            if start < until < start + 190
            for value in (PREPARE, start)
        ]
        still_open = OpenRows(in_phase, None, begun[-1] if begun else -1, step_start)
        account.settle(
            ended._replace(call_start=call_start, call_end=call_end),
            taken,
            still_open,
            NAMES,
        )
        before = until
    return account


def _between(values, fields, low, high):
    rows = row_table(values, fields)
    chosen = (rows["end"] > low) & (rows["end"] <= high)
    return {name: column[chosen] for name, column in rows.items()}


@pytest.mark.parametrize("cuts", [(), (1_950,), (1_170, 1_990), (2_000, 2_170)])
def test_an_operation_outside_of_launch_calls_has_the_call_that_issued_it(cuts):
    totals = with_own_calls(Account(DEVICE), cuts).totals
    assert totals.idle_ns["unattributed"] == 0
    # from the call that issued what ends a gap; the first operation of all ends none
    assert totals.idle_ns["launch"] == (2_150 - 2_100) + 2 * (2_300 - 2_240)
    host = (1_240 - 1_160) + (2_100 - 1_900) + (2_240 - 2_160) + (3_000 - 2_900)
    assert totals.idle_ns["host"] == host
    assert totals.host_ns["prepare"] == (1_200 - 1_160) + (2_100 - 2_010) + (2_200 - 2_160)
    # what the host does in a launch call before it issues anything
    assert totals.host_ns["forward"] == 2 * 40
    assert totals.busy_ns == 2 * 610
    assert totals.watched_ns == 3_000 - 1_150


@pytest.mark.parametrize("cuts", [(), (900,), (1_500,), (2_250, 2_400)])
def test_what_launching_a_graph_took_longer_is_idle_of_the_watchs_own(cuts):
    account = Account(DEVICE)
    usual_us = UNPROFILED_GRAPH_LAUNCH_NS // US
    rows = [  # start, end, and the call that issued it, us
        (1_000, 2_000, 500, 990),
        (2_400, 3_000, 2_100, 2_500),  # begins before the call is over
        (3_100, 3_200, 2_600, 2_900),  # hidden behind the one before
    ]
    before = 0
    for until in (*cuts, 4_000):
        seen = [
            (number, row) for number, row in enumerate(rows, 1) if before < row[1] <= until
        ]
        # complete up to the oldest call of which something has not ended
        pending = [row[2] for row in rows if row[2] <= until < row[1]]
        ended = _ended(
            [(n, 0, US * row[0], US * row[1], n) for n, row in seen],
            US * min([until, *pending]),
        )
        ended = ended._replace(kind=np.full(len(seen), OperationKind.GRAPH))
        call_start, call_end = (
            US * np.array([row[2:] for _, row in seen], np.int64).reshape(-1, 2).T
        )
        calls = [(LAUNCH, n, US * row[2], US * row[3], n) for n, row in enumerate(rows, 1)]
        taken = [
            value for call in calls if before < call[3] // US <= until for value in call
        ]
        account.settle(
            ended._replace(call_start=call_start, call_end=call_end),
            Taken(
                row_table((), STEP_FIELDS),
                row_table(taken, CALL_FIELDS),
                row_table((), PHASE_FIELDS),
            ),
            NOTHING_OPEN,
            NAMES,
        )
        before = until
    assert account.totals.own_idle_ns == (2_400 - 2_100 - usual_us) * US


@pytest.mark.parametrize(
    ("kind", "added_ns"),
    [
        (OperationKind.KERNEL, CUPTI_KERNEL_NS),
        (OperationKind.MEMCPY, CUPTI_COPY_NS),
        (OperationKind.MEMSET, CUPTI_COPY_NS),
    ],
)
def test_of_what_is_launched_besides_graphs_a_little_is_idle_of_the_watchs_own(
    kind, added_ns
):
    account = Account(DEVICE)
    rows = [(1, 0, 1_000 * US, 2_000 * US, 0), (2, 0, 2_400 * US, 2_500 * US, 1)]
    calls = np.array([(900, 990), (2_100, 2_300)], np.int64).T * US
    account.settle(
        _ended(rows, 2_500 * US)._replace(
            kind=np.full(2, kind), call_start=calls[0], call_end=calls[1]
        ),
        Taken(
            row_table((), STEP_FIELDS),
            row_table(
                (LAUNCH, 0, *calls[:, 0], 1, LAUNCH, 1, *calls[:, 1], 2), CALL_FIELDS
            ),
            row_table((), PHASE_FIELDS),
        ),
        NOTHING_OPEN,
        NAMES,
    )
    assert account.totals.own_idle_ns == added_ns


@pytest.mark.parametrize("cuts", [(), (2_170,)])
def test_its_step_is_the_one_that_had_begun(cuts):
    totals = with_own_calls(Account(DEVICE), cuts).totals
    assert totals.idle_per_step.sum_ns == (1_300 - 1_160) + (2_150 - 1_900) + 140
    assert (totals.launched_told, totals.launched_early) == (1, 0)


def test_what_is_launched_for_the_next_batch_does_not_make_it_early():
    """SGLang makes the next batch before the step of it begins: a kernel that runs beside it."""
    account = Account(DEVICE)
    rows = [(1, 0, 100, 200, 0), (0, 0, 260, 330, 0), (2, 0, 330, 400, 1)]
    calls = (LAUNCH, 0, 90, 95, 1, WAIT, 0, 96, 200, 0, LAUNCH, 1, 290, 300, 2)
    steps = (0, 0, 80, 205, 1, 1, 1, 0, 280, 400, 1, 1)
    account.settle(
        _ended(rows, 600)._replace(
            call_start=np.array([91, 250, 292]), call_end=np.array([92, 255, 294])
        ),
        Taken(
            row_table(steps, STEP_FIELDS),
            row_table(calls, CALL_FIELDS),
            row_table((), PHASE_FIELDS),
        ),
        NOTHING_OPEN,
        NAMES,
    )
    assert (account.totals.launched_told, account.totals.launched_early) == (1, 0)
    assert account.totals.busy_ns == 100 + 140


def test_a_loop_that_does_not_say_what_it_launches_is_told_by_all_of_it():
    account = Account(DEVICE)
    rows = [(0, 0, 100, 200, 0), (0, 0, 200, 300, 0)]
    steps = (0, 0, 80, 100, 1, 1, 1, 0, 140, 165, 1, 1)
    account.settle(
        _ended(rows, 600)._replace(
            call_start=np.array([91, 150]), call_end=np.array([92, 155])
        ),
        Taken(
            row_table(steps, STEP_FIELDS),
            row_table((), CALL_FIELDS),
            row_table((), PHASE_FIELDS),
        ),
        NOTHING_OPEN,
        NAMES,
    )
    assert (account.totals.launched_told, account.totals.launched_early) == (1, 1)


def test_what_a_device_does_before_the_first_step_is_not_the_loops():
    """By activity all is seen: weights that are filled, a model that is tried, graphs that are made."""
    account = Account(DEVICE)
    nothing = Taken(
        row_table((), STEP_FIELDS), row_table((), CALL_FIELDS), row_table((), PHASE_FIELDS)
    )
    loading = _ended([(0, 0, 100, 200, 0), (0, 0, 5_000, 5_100, 0)], 9_000)
    loading = loading._replace(
        call_start=np.array([90, 4_990]), call_end=np.array([95, 4_995])
    )
    assert not account.settle(loading, nothing, NOTHING_OPEN, NAMES)["start"].size
    first = nothing._replace(
        steps=row_table((0, 0, 10_000, 10_300, 1, 1), STEP_FIELDS),
        calls=row_table((LAUNCH, 0, 10_050, 10_060, 1), CALL_FIELDS),
    )
    account.settle(_ended([(1, 0, 10_100, 10_200, 0)], 10_300), first, NOTHING_OPEN, NAMES)
    assert account.totals.busy_ns == 100
    assert account.totals.watched_ns == 10_300 - 10_100


@pytest.mark.parametrize("rows", [0, 1])
def test_without_a_device_steps_are_counted_and_nothing_is_idle(rows):
    account = Account(None)
    steps = (0, 0, 10, 20, 3, 1)[: 6 * rows]
    taken = Taken(
        row_table(steps, STEP_FIELDS),
        row_table((), CALL_FIELDS),
        row_table((), PHASE_FIELDS),
    )
    account.settle(Ended.nothing(100), taken, NOTHING_OPEN, NAMES)
    assert account.totals.watched_ns == 0
    assert account.totals.tokens == 3 * rows
