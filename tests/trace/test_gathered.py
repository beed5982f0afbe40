"""What a reader gathers becomes a Trace, without the records whose times cannot be true."""

from __future__ import annotations

from pathlib import Path

import pytest

from idlescope.trace.event_rows import EventRows, Span, integer, within_int64
from idlescope.trace.gathered import Gathered, Gpu
from idlescope.trace.model import OperationKind, RangeKind
from idlescope.trace.sqlite.numbers import NULL

BASE = 10**15


def trace_of(*spans):
    gathered = Gathered()
    rows = EventRows(gathered)
    for start, end in spans:
        rows.operation(Span("k", start, end), OperationKind.KERNEL, ("7", 0), "s")
    rows.finish("event")
    return gathered.trace("toy", Path("t"))


SOUND = [(BASE + 100 * n, BASE + 100 * n + 50) for n in range(9)]


@pytest.mark.parametrize(
    ("span", "reason"),
    [
        ((NULL, BASE), "are no numbers"),
        ((BASE, NULL), "are no numbers"),
        ((BASE, 2**62), "are no numbers"),
        ((BASE, BASE - 1), "end before they start"),
        ((BASE, BASE + 4 * 3_600_000_000_000), "last absurdly long"),
        ((0, 10), "a time of zero"),
        ((3 * BASE * 10, 3 * BASE * 10 + 5), "far from all others"),
        ((-(2**63), 2**63 - 1), "are no numbers"),
    ],
)
def test_a_time_that_cannot_be_true_costs_one_record_and_is_told(span, reason):
    trace = trace_of(*SOUND, span)
    assert len(trace.operations) == len(SOUND)
    assert trace.meta.lost == {"operations": 1}
    (warning,) = trace.meta.warnings
    assert reason in warning
    assert "device event 10" in warning


def test_small_times_with_a_zero_among_them_are_true():
    assert len(trace_of((0, 10), (20, 30)).operations) == 2


def test_nothing_gathered_is_an_empty_trace():
    trace = trace_of()
    assert len(trace.operations) == 0
    assert trace.meta.events == 0


def test_devices_and_threads_of_one_process_share_its_code():
    gathered = Gathered()
    gathered.gpus["7", 1] = Gpu("H200", "GPU-1")
    rows = EventRows(gathered, frames=False)
    rows.operation(Span("k", 1, 2), OperationKind.KERNEL, ("7", 1), "s", 5, 6)
    rows.call(Span("c", 0, 1), ("7", "main"), 5)
    rows.call(Span("c", 0, 1), ("8", "main"))
    rows.range(Span("f", 0, 1), ("7", "main"), RangeKind.FRAME)
    rows.range(Span("r", 0, 1), ("7", "main"), RangeKind.ANNOTATION, 2**40)
    rows.finish("event")
    gathered.notes.append("a note")
    trace = gathered.trace("toy", Path("t"), session_start_ns=9)
    (device,) = trace.devices
    assert (device.name, device.identity, device.process_name, device.index) == (
        "H200",
        "GPU-1",
        "7",
        1,
    )
    assert [thread.process == device.process for thread in trace.threads] == [True, False]
    assert [trace.names[name] for name in trace.ranges.name] == ["r"]  # frames are left out
    assert trace.ranges.step.tolist() == [-1]  # no number of a step
    assert trace.meta.warnings == ("a note",)
    assert trace.meta.session_start_ns == 9


def test_progress_is_told():
    told = []
    rows = EventRows(Gathered(told.append))
    rows.call(Span("c", 0, 1), ("7", "main"))
    rows.finish("event")
    assert told[-1] == 1


@pytest.mark.parametrize(
    ("value", "number"),
    [
        (5, 5),
        ("5", 5),
        ("x", 0),
        (None, 0),
        ([], 0),
        (2**70, 0),
        (float("inf"), 0),
        (1.9, 1),
        (True, 1),
    ],
)
def test_arguments_become_integers(value, number):
    assert integer(value) == number


def test_integers_are_brought_within_a_column():
    assert [within_int64(value) for value in (2**70, -(2**70), 7)] == [
        2**63 - 1,
        -(2**63),
        7,
    ]
