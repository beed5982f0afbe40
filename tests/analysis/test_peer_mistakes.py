"""Where other tools err, idlescope has the truth: one test a mistake, the other tool's rule written out beside it.

The rules are those of HolisticTraceAnalysis (PyPI traceinsight 0.6.1), TraceLens, nsys-ai 0.3.0,
nsys's own recipes and the table of torch.profiler. None of them is imported: what is shown is the
idea, not the program.
"""

from __future__ import annotations

import math
import shutil
import sqlite3
from itertools import pairwise

import pytest

import idlescope
from tests import peer_mistakes
from tests.make import kineto_files
from tests.peer_mistakes import BASE, CASES, Op


def figures(path):
    (device,) = idlescope.analyze(idlescope.open(path)).to_json()["devices"]
    return device


def gaps(spans):
    """Return the gaps between spans in order of start, negative where two overlap: what several rules begin with."""
    spans = sorted(spans)
    return [b[0] - a[1] for a, b in pairwise(spans)]


def idle_pct(operations):
    low, end, idle = min(o.start for o in operations), 0, 0
    for o in sorted(operations):
        idle += max(0, o.start - (end or low))
        end = max(end, o.end)
    return 100 * idle / (end - low)


@pytest.mark.parametrize("make", CASES)
def test_the_truth_to_the_nanosecond(tmp_path, make):
    case = make()
    got = figures(case.write(tmp_path))
    assert (got["idle_ns"], got["window_ns"], got["operations"]) == (
        case.idle_ns,
        case.window_ns,
        len(case.operations),
    )


def whole_us(o: Op) -> Op:
    """traceinsight: the start rounds up and the end down, each to a whole microsecond."""
    return Op(math.ceil((BASE + o.start) / 1000), math.floor((BASE + o.end) / 1000))


def test_rounding_to_microseconds_makes_gaps_of_61_ns_into_a_microsecond(tmp_path):
    case = peer_mistakes.short_gaps()
    theirs = idle_pct([whole_us(o) for o in case.operations])
    assert theirs > 4
    assert figures(case.write(tmp_path))["idle_pct"] == pytest.approx(0.2484, abs=1e-4)


def test_rounding_to_microseconds_makes_short_kernels_negative(tmp_path):
    case = peer_mistakes.short_kernels()
    theirs = sum(o.end - o.start for o in map(whole_us, case.operations))
    assert theirs <= 0
    got = figures(case.write(tmp_path))
    assert got["active_ns"] == 500 * 700
    assert got["idle_pct"] == pytest.approx(29.96, abs=0.01)


def test_a_graph_launch_launches_all_of_its_kernels(tmp_path):
    case = peer_mistakes.graph_launches()
    theirs = {
        o.correlation: i for i, o in enumerate(case.operations)
    }  # traceinsight: a call's partner is one kernel
    assert len(theirs) == 5
    got = figures(case.write(tmp_path))
    late = 1_800_000 - peer_mistakes.LEAD
    assert got["cause_ns"] == {"host": 4 * late, "launch": 4 * peer_mistakes.LEAD, "queued": 5 * 399 * 417,
                               "unattributed": 0}  # fmt: skip


def test_a_gap_is_the_hosts_only_until_the_launch(tmp_path):
    case = peer_mistakes.graph_launches()
    pairs = pairwise(case.operations)
    # traceinsight: all of a gap is "host wait" where the launch began after the gap did
    theirs = sum(b.start - a.end for a, b in pairs if case.launches[b.correlation] > a.end)
    cause = figures(case.write(tmp_path))["cause_ns"]
    assert cause["host"] == theirs - 4 * peer_mistakes.LEAD
    assert sum(cause.values()) == case.idle_ns


def test_a_stream_that_waits_is_not_an_idle_device(tmp_path):
    case = peer_mistakes.overlapping_streams()
    streams = {o.stream for o in case.operations}
    # traceinsight, nsys-ai: every stream's gaps count in full, whatever runs on the others
    theirs = sum(
        sum(gaps((o.start, o.end) for o in case.operations if o.stream == s))
        for s in streams
    )
    assert theirs > 13 * case.idle_ns
    assert figures(case.write(tmp_path))["idle_ns"] == case.idle_ns == 49 * 20_000


@pytest.mark.parametrize(
    "make", [peer_mistakes.overlapping_streams, peer_mistakes.copy_beside_compute]
)
def test_device_time_summed_over_streams_exceeds_the_window(tmp_path, make):
    case = make()
    theirs = case.window_ns - sum(
        o.end - o.start for o in case.operations
    )  # torch.profiler's table, as it is read
    assert theirs < 0
    assert figures(case.write(tmp_path))["idle_ns"] == case.idle_ns > 0


def test_a_kernel_without_a_launch_still_ran(tmp_path):
    case = peer_mistakes.unlinked()
    theirs = idle_pct(
        [o for o in case.operations if o.correlation in case.launches]
    )  # TraceLens
    assert theirs > 50
    got = figures(case.write(tmp_path))
    assert got["idle_pct"] == pytest.approx(case.idle_pct, abs=1e-3)
    assert (
        got["cause_ns"]["unattributed"] == 100 * 1_000
    )  # it says that it does not know why, not that nothing ran


def test_bubbles_below_a_millisecond_count(tmp_path):
    case = peer_mistakes.decode_bubbles()
    theirs = [
        g for g in gaps((o.start, o.end) for o in case.operations) if g >= 1_000_000
    ]  # nsys-ai
    assert theirs == []
    got = figures(case.write(tmp_path))
    assert (got["gaps"], got["idle_ns"]) == (29, 29 * 900_000)
    assert got["idle_pct"] > 30


def test_no_threshold_hides_a_decode_bubble(tmp_path):
    spans = [
        span
        for step in range(20)
        for span in peer_mistakes.row(10, 1_000_000, 0, step * 410_000_000)
    ]
    ops, launches = peer_mistakes.launched(spans)
    case = peer_mistakes.Case("bubbles of 400 ms", ops, 19 * 400_000_000, launches)
    theirs = [
        g for g in gaps((o.start, o.end) for o in ops) if g > 500_000_000
    ]  # nsys: gpu_gaps
    assert theirs == []
    got = figures(case.write(tmp_path))
    assert (got["idle_ns"], got["cause_ns"]["host"]) == (
        case.idle_ns,
        19 * (400_000_000 - peer_mistakes.LEAD),
    )


def test_copies_are_activity_and_compute_idle_stands_beside_it(tmp_path):
    case = peer_mistakes.copy_first()
    kernels = [o for o in case.operations if o.kind == "kernel"]
    theirs = idle_pct(
        kernels
    )  # nsys-ai: kernels only, so that the window begins with the first of them
    assert theirs < 9
    got = figures(case.write(tmp_path))
    assert got["idle_pct"] == pytest.approx(case.idle_pct, abs=1e-3)
    assert (
        got["window_ns"] - got["compute_ns"]
        == case.idle_ns + 300_000
        == got["idle_ns"] + got["copy_only_ns"]
    )


def test_a_graph_record_is_work(tmp_path):
    case = peer_mistakes.graph_records()
    theirs = idle_pct(
        [o for o in case.operations if o.kind == "kernel"]
    )  # nsys: gpu_time_util; nsys-ai
    assert theirs > 99
    got = figures(case.write(tmp_path))
    assert got["idle_pct"] == pytest.approx(case.idle_pct, abs=1e-3)
    assert got["compute_ns"] == case.window_ns - case.idle_ns


def test_the_users_file_stays_as_it_was(tmp_path):
    path = peer_mistakes.graph_records().write(tmp_path)
    before = path.read_bytes()
    copy = shutil.copy(path, tmp_path / "theirs.sqlite")
    with sqlite3.connect(copy) as theirs:  # nsys-ai: an index, for speed
        theirs.execute(
            "CREATE INDEX correlation ON CUPTI_ACTIVITY_KIND_RUNTIME (correlationId)"
        )
    theirs.close()
    assert copy.read_bytes() != before
    path.chmod(0o444)
    figures(path)
    assert path.read_bytes() == before
    assert sorted(p.name for p in tmp_path.iterdir()) == ["case.sqlite", "theirs.sqlite"]


ODD = {
    "no args": {"ph": "X", "cat": "cpu_op", "name": "a", "pid": 50, "tid": 100, "ts": 1.5, "dur": 1.0},
    "names for numbers": {"ph": "X", "cat": "Trace", "name": "PyTorch Profiler (0)", "pid": "Spans", "tid": "Profiler",
                          "ts": 0.5, "dur": 9.0, "args": {"Op count": 0}},
    "a counter": {"ph": "C", "name": "memory", "pid": 50, "ts": 2.0, "args": {"Total": "many"}},
    "a mark of no thread": {"ph": "i", "s": "g", "name": "Record Window End", "pid": "", "tid": "", "ts": 3.0},
}  # fmt: skip


@pytest.mark.parametrize("odd", ODD.values(), ids=ODD)
def test_an_odd_event_does_no_harm(tmp_path, odd):
    case = peer_mistakes.decode_bubbles()
    events = [*case.events(), odd]
    with pytest.raises(
        (KeyError, ValueError)
    ):  # several: every event has all fields, and numbers in them
        [(int(e["pid"]), int(e["tid"]), e["dur"], e["args"]) for e in events]
    got = figures(kineto_files.write(tmp_path / "odd.json", events))
    assert (got["idle_ns"], got["operations"]) == (case.idle_ns, len(case.operations))


@pytest.mark.parametrize(
    ("category", "name", "side"),
    [("cuda_sync", "Event Sync", (0, 7)), ("cpu_op", "triton_kernel", (50, 100))],
)
def test_a_row_that_names_a_stream_need_not_be_work_of_the_device(
    tmp_path, category, name, side
):
    case = peer_mistakes.decode_bubbles()
    bubble = (BASE + 2_000_000, BASE + 2_900_000)
    row = kineto_files.span(*bubble, name, category) | dict(
        zip(("pid", "tid"), side, strict=True)
    )
    row["args"] = {"stream": 0, "correlation": 1}
    events = [*case.events(), row]
    theirs = sum(
        "stream" in e["args"] for e in events
    )  # traceinsight: what has a stream ran on the device
    assert theirs == len(case.operations) + 1
    got = figures(kineto_files.write(tmp_path / "odd.json", events))
    assert (got["idle_ns"], got["operations"]) == (case.idle_ns, len(case.operations))
