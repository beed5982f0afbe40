"""Tracks of what analysis found: gaps that add up to idle by cause, steps and their arrows, counters; no records."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import numpy as np
import pytest

import idlescope
from idlescope.analysis.idle.causes import CAUSES
from idlescope.engine.devices.base import STREAMS
from idlescope.export.perfetto import arrows, writer
from idlescope.export.perfetto.chrome_events import OWN
from idlescope.trace.model import OperationKind, RangeKind
from tests.conftest import FIXTURES
from tests.make import perfetto_lint as lint
from tests.make.traces import trace

FILES = [
    "transformers_sync",
    "transformers_async",
    "idlescope_sync",
    "loop_eager",
    "loop_item",
]
KERNEL = OperationKind.KERNEL


@pytest.fixture(scope="module")
def runs():
    """A small modelled run of either mode, of fixed cost: 2 ms of host work and 5 ms of compute a step."""
    config = idlescope.RunConfig(
        model="1b",
        device="modelled:h200",
        tokens=40,
        prompt_tokens=8,
        batch_size=4,
        host_ms=2.0,
        device_ms=5.0,
    )
    return idlescope.run(config).modes


def written(given_trace, results, tmp_path):
    writer.write(given_trace, tmp_path / "t.json.gz", results)
    document = lint.load(tmp_path / "t.json.gz")
    assert lint.findings(document) == []
    return document["traceEvents"]


def ns(microseconds):
    return round(microseconds * 1000)


def on_track(events, label):
    tracks = {
        (e["pid"], e["tid"])
        for e in events
        if e["name"] == "thread_name" and e["args"]["name"] == label
    }
    return [e for e in events if e["ph"] == "X" and (e["pid"], e["tid"]) in tracks]


def chains(events, category):
    """The names of the slices that begin where each arrow of a category touches their track."""
    began = {
        (e["pid"], e["tid"], e["ts"]): e["name"]
        for e in events
        if e["ph"] == "X" and e["cat"] != "cuda_runtime"
    }
    found = {}
    for e in events:
        if e["ph"] in "stf" and e["cat"] == category:
            found.setdefault(e["id"], []).append(began[e["pid"], e["tid"], e["ts"]])
    return Counter(map(tuple, found.values()))


@pytest.mark.parametrize("name", FILES)
def test_the_gaps_add_up_to_idle_by_cause(name, tmp_path):
    made = idlescope.open(FIXTURES / f"{name}.json.gz")
    (result,) = idlescope.analyze(made).results
    sums = Counter()
    for e in on_track(written(made, [result], tmp_path), "gaps"):
        sums[e["name"]] += ns(e["dur"])
        assert e["args"]["gap_ns"] >= ns(e["dur"])
    assert {cause: sums[cause] for cause in CAUSES} == result.gaps.totals()


def test_nothing_that_was_derived_is_read_as_a_record(runs, tmp_path):
    made = runs["async"].trace
    counted = []
    for results in ((), runs["async"].analysis.results):
        events = written(made, results, tmp_path)
        counted.append(sum(OWN in e.get("cat", "") for e in events))
        again = idlescope.open(tmp_path / "t.json.gz")
        for table in ("operations", "calls", "ranges", "counters"):
            assert len(getattr(again, table)) == len(getattr(made, table))
        assert (
            idlescope.analyze(again).to_json()["devices"]
            == runs["async"].analysis.to_json()["devices"]
        )
    assert counted[0] < counted[1]


def test_every_step_has_an_arrow_and_only_asynchronous_ones_are_carried_over(
    runs, tmp_path
):
    for mode, carried in (("sync", 0), ("async", 39)):
        events = written(runs[mode].trace, (), tmp_path)
        ((path, count),) = chains(events, arrows.STEP).items()
        copy_in, copy_out = (
            "Memcpy HtoD (Pinned -> Device)",
            "Memcpy DtoH (Device -> Pinned)",
        )
        assert (path, count) == (("submit", copy_in, "forward", copy_out, "update"), 40)
        assert chains(events, arrows.CARRY_OVER) == Counter(
            {("forward", "forward"): carried} if carried else {}
        )
        ids = {e["cat"]: set() for e in events if e["ph"] == "s"}
        for e in events:
            if e["ph"] == "s":
                ids[e["cat"]].add(e["id"])
        assert len(set().union(*ids.values())) == sum(len(i) for i in ids.values())


def test_an_arrow_ends_at_the_retrieval_unless_that_waited_for_the_copy(tmp_path):
    names = ("submit", "retrieve", "update", "H2D", "forward", "D2H")
    operations = [
        (10 + 10 * i, 20 + 10 * i, KERNEL, 0, i, 3 + i, 0, 0, 0, 0.0) for i in range(3)
    ]
    for waits_from, last in ((45, "retrieve"), (5, "update")):
        phases = [(0, 5), (waits_from, 50), (50, 60)]
        ranges = [
            (start, end, 0, i, RangeKind.ANNOTATION, 0)
            for i, (start, end) in enumerate(phases)
        ]
        made = replace(
            trace(operations, ranges=ranges, processes=("1",)), names=names, streams=STREAMS
        )
        assert chains(written(made, (), tmp_path), arrows.STEP) == {
            ("submit", "H2D", "forward", "D2H", last): 1
        }


def test_counters_tell_queue_depth_and_idle_time(runs, tmp_path):
    for mode, most in (("sync", 1), ("async", 2)):
        (result,) = runs[mode].analysis.results
        events = written(runs[mode].trace, [result], tmp_path)
        depth = [
            e["args"]["steps"]
            for e in events
            if e["ph"] == "C" and e["name"] == "queue depth"
        ]
        assert (min(depth), max(depth), depth[-1]) == (
            0 if mode == "sync" else min(depth),
            most,
            0,
        )
        idle = [
            (ns(e["ts"]), e["args"]["%"])
            for e in events
            if e["ph"] == "C" and e["name"] == "idle"
        ]
        edges = np.append([t for t, _ in idle], result.occupancy.window[1])
        assert sum(np.diff(edges) * [p for _, p in idle]) / 100 == pytest.approx(
            result.occupancy.idle_ns, rel=1e-2
        )
        named = {e["name"] for e in events if e["ph"] == "C"}
        assert named == {
            "requests running",
            "requests waiting",
            "free KV blocks",
            "tokens",
            "queue depth",
            "idle",
        }
        marks = Counter((e["name"], e["args"]["value"]) for e in events if e["ph"] == "i")
        assert marks == {
            (name, i): 1 for name in ("first token", "ended at its limit") for i in range(4)
        }


def test_asynchronous_steps_overlap_and_lie_on_two_tracks(runs, tmp_path):
    for mode, tracks in (("sync", 1), ("async", 2)):
        events = written(runs[mode].trace, runs[mode].analysis.results, tmp_path)
        steps = on_track(events, "steps") + on_track(events, "steps (2)")
        assert sorted(int(e["name"].removeprefix("step ")) for e in steps) == list(
            range(40)
        )
        assert len({e["tid"] for e in steps}) == tracks
        tids = {
            e["tid"]: e["args"]["name"]
            for e in events
            if e["name"] == "thread_name" and e["pid"] == 1000
        }
        assert [tids[t] for t in sorted(tids)] == [
            "h2d",
            "compute",
            "d2h",
            "gaps",
            "steps",
            "steps (2)",
        ][: 4 + tracks]


def test_where_no_steps_are_known_idle_is_told_in_equal_parts(tmp_path):
    made = trace(
        [(100 * i, 100 * i + 60, KERNEL, 0, 0, 0, 0, -1, 0, 0.0) for i in range(50)],
        processes=("1",),
    )
    events = written(made, idlescope.analyze(made).results, tmp_path)
    idle = [e["args"]["%"] for e in events if e["ph"] == "C" and e["name"] == "idle"]
    assert len(idle) == 200
    assert 38 < np.mean(idle) < 42
    assert not [e for e in events if e["ph"] == "C" and e["name"] == "queue depth"]


def test_a_window_beyond_the_records_is_shown_as_far_as_they_go(tmp_path):
    made = trace(
        [
            (10, 20, KERNEL, 0, 0, 0, 0, -1, 0, 0.0),
            (40, 50, KERNEL, 0, 0, 0, 0, -1, 0, 0.0),
        ],
        processes=("1",),
    )
    results = idlescope.analyze(made, window="time:20ns-900ns").results
    (gap,) = on_track(written(made, results, tmp_path), "gaps")
    assert (ns(gap["ts"]), ns(gap["dur"]), gap["args"]["gap_ns"]) == (30, 10, 10)
