"""An engine that says when it had no request: nothing that is said of its steps counts that time."""

from __future__ import annotations

import re
from dataclasses import replace

import numpy as np
import pytest

import idlescope
from idlescope.analysis.comparison.checks import examine
from idlescope.analysis.comparison.compare import compare
from idlescope.analysis.comparison.limits import Limits
from idlescope.analysis.history.line import line_of
from idlescope.analysis.idle.host_labels import NO_DEMAND
from idlescope.analysis.steps.by_kind import by_kind
from idlescope.errors import ConfigError, TraceError
from idlescope.trace.model import RangeKind, Ranges, Thread
from idlescope.trace.open import open_trace
from tests.conftest import FIXTURES
from tests.make.watched_loops import MS, regular_trace, waiting_for_requests

NONE_NS = 2_000 * MS
QUIET = {
    "it says so at once": {},
    "it says so a second late": {"told_late_ns": 1_000 * MS},
    "it says so one step late": {"told_late_ns": 6 * MS},
    "it collects garbage meanwhile": {"collected_ns": 700 * MS},
    "it started up before": {"loaded_ns": 15_000 * MS},
}


@pytest.fixture(scope="module")
def usual():
    return idlescope.analyze(regular_trace(60), step_ms=4.0)


@pytest.fixture(scope="module", params=QUIET.values(), ids=QUIET)
def quiet(request):
    return idlescope.analyze(
        waiting_for_requests(20, NONE_NS, **request.param), step_ms=4.0
    )


def test_each_nanosecond_of_idle_is_of_steps_or_apart_once(quiet):
    (device,) = quiet.results
    of_steps_ns = device.idle_per_step_ns * len(device.steps)
    assert device.spread.apart_ns + of_steps_ns == pytest.approx(device.occupancy.idle_ns)
    assert sum(device.host_ns.values()) == device.gaps.totals()["host"]
    assert device.host_ns[NO_DEMAND] == device.gaps.no_demand.sum()
    apart_ns = device.host_ns[NO_DEMAND] + device.spread.pauses_ns
    assert apart_ns == pytest.approx(device.occupancy.window_ns - 60 * 5 * MS, rel=0.01)


def test_steps_cost_what_they_do_without_quiet_time(usual, quiet):
    (device,), (expected,) = quiet.results, usual.results
    # what of a gap is no quiet time is shorter than two steps, or a pause
    few_ms = 2 * 2 * 5 * MS / 60
    assert device.idle_per_step_ns == pytest.approx(expected.idle_per_step_ns, abs=few_ms)
    for figure in ("recorded_step_ns", "busy_ns", "idle_low_pct"):
        expected_value = getattr(expected.observer, figure)
        assert getattr(device.observer, figure) == pytest.approx(expected_value, rel=0.01)


def test_waiting_for_requests_is_no_host_work(quiet):
    (device,) = quiet.results
    told_late_ns = max(device.spread.pauses_ns, 2 * 6 * MS)
    assert device.steps.host.sum() < 60 * 5 * MS + told_late_ns


def test_a_history_has_the_steps_alone(usual, quiet):
    ((expected,),) = (line_of("a", {"": usual}).points.values(),)
    ((point,),) = (line_of("b", {"": quiet}).points.values(),)
    for figure in ("step_ms", "host_ms_per_step", "device_ms_per_step"):
        assert getattr(point, figure) == pytest.approx(getattr(expected, figure), rel=0.06)


def test_no_kind_of_step_costs_quiet_time(usual, quiet):
    """Seven prefills behind 28 s without requests were told to take 8.21 s each (SGLang 8B)."""
    ((figures,), (expected,)) = (by_kind(of.results[0]) for of in (quiet, usual))
    few_ms = 2 * 2 * 5 * MS / 60
    assert figures.idle_ns == pytest.approx(expected.idle_ns, abs=few_ms)
    assert figures.host_ns == pytest.approx(expected.host_ns, abs=few_ms)


def test_a_comparison_says_what_was_left_out(usual, quiet):
    change = compare(usual, quiet)
    assert change.verdict.kind in ("no difference", "shifted")
    assert any(text.startswith("B stood still for") for text in change.warnings)


def test_a_window_within_a_gap_is_refused_with_where_that_is():
    trace = waiting_for_requests(20, NONE_NS)
    gap = "lies within a gap: device 0 runs nothing in 98.000ms-2100.000ms"
    with pytest.raises(ConfigError, match=gap):
        idlescope.analyze(trace, window="time:500ms-1500ms")


@pytest.mark.parametrize("window", ["first-last", "steps:18-20", "steps:19-20"])
def test_a_pause_is_one_in_a_window_of_few_steps_and_a_watch_sees_no_more(window):
    """The engine says a step too late that it had no request: `update` seems to last 2 s."""
    trace = waiting_for_requests(20, NONE_NS, told_late_ns=NONE_NS - MS)
    (device,) = idlescope.analyze(trace, window=window).results
    assert device.spread.pauses == (2 if window == "first-last" else 1)
    assert device.idle_per_step_ns < 5 * MS
    assert "garbage collection" not in device.verdict.text


def test_an_asynchronous_server_without_requests_is_told_that_its_host_is_slow():
    """vLLM 1B, watched: 3.5 ms of its host per step, and 1.5 of its GPU; here with 5 s of quiet."""
    trace = open_trace(FIXTURES / "vllm_1b_watched")
    (usual,) = idlescope.analyze(trace).results
    idle_from = int(usual.gaps.start[usual.gaps.length.argmax()])
    (quiet,) = idlescope.analyze(with_quiet(trace, idle_from, 5_000 * MS)).results
    assert quiet.verdict.kind == "no demand"
    advice = (
        "Its batching is asynchronous, but the host is the slower side. Shorten the host's"
    )
    assert advice in quiet.verdict.text
    assert quiet.batching.kind == usual.batching.kind == "asynchronous"


def with_quiet(trace, begin, length_ns):
    """Return a trace in which there was no request for so long, from a time on."""

    def later(table):
        return table.replace(
            start=table.start + np.where(table.start > begin, length_ns, 0),
            end=table.end + np.where(table.end > begin, length_ns, 0),
        )

    told = trace.ranges.take(np.array([0])).replace(
        start=np.array([begin]),
        end=np.array([begin + length_ns]),
        kind=np.array([RangeKind.NO_DEMAND]),
    )
    ranges = Ranges.joined([later(trace.ranges), told])
    moved = {"operations": later(trace.operations), "calls": later(trace.calls)}
    return replace(trace, ranges=ranges, **moved)


@pytest.mark.parametrize("every", [3, 20, 60])
def test_tokens_per_second_are_those_of_the_steps_that_are_replayed(every):
    """Each step gives out four in 5 ms, however many have quiet time beside them."""
    (device,) = idlescope.analyze(waiting_for_requests(every, NONE_NS)).results
    assert device.prediction.recorded.tokens_per_s == pytest.approx(800, rel=0.01)


def test_steps_that_all_have_quiet_time_beside_them_tell_no_prediction():
    """Two of 5 ms by turns with 2 s without requests were told to take 1,003 ms each."""
    analysis = idlescope.analyze(waiting_for_requests(2, NONE_NS))
    assert analysis.results[0].prediction is None
    with pytest.raises(TraceError, match="nor a lack of requests beside them"):
        idlescope.predict(analysis)


def test_a_limit_that_idle_breaks_says_what_it_is_with_requests(usual, quiet):
    """`idlescope watch` holds that to the limit, `check` all of the window."""
    (whole,), (working,) = (
        examine(analysis, Limits.of(max_idle="50%")) for analysis in (quiet, usual)
    )
    assert (whole.holds, working.holds) == (False, True)
    assert "without them" in whole.says
    assert "without" not in working.says
    without_pct = float(re.search(r"without them ([\d.]+) %", whole.says)[1])
    assert without_pct == pytest.approx(usual.results[0].idle_pct, abs=5)


@pytest.mark.parametrize("until_ms", [98.3, 150, 1_500])
def test_a_window_that_ends_before_a_step_computes_predicts_its_own_steps(until_ms):
    """The host begins the next step at once, which computes when there is a request again."""
    trace = waiting_for_requests(20, NONE_NS, steps_begin_late=True)
    window = f"time:0ms-{until_ms}ms"
    (device,) = idlescope.analyze(trace, window=window, step_ms=4.0).results
    assert device.prediction.recorded.step_ns == pytest.approx(5 * MS, rel=0.01)
    assert device.observer.recorded_step_ns == pytest.approx(5 * MS, rel=0.01)


def test_what_another_process_waits_for_is_no_lack_of_requests_here():
    """Ranks of one file: one says that it had no request, and the other says nothing."""
    trace = waiting_for_requests(20, NONE_NS)
    says = trace.ranges.kind == RangeKind.NO_DEMAND
    ranges = trace.ranges.replace(thread=np.where(says, 1, trace.ranges.thread))
    elsewhere = replace(trace, ranges=ranges, threads=(*trace.threads, Thread(1, "loop")))
    (here,), (there,) = (
        idlescope.analyze(trace).results,
        idlescope.analyze(elsewhere).results,
    )
    assert (here.spread.no_demand_gaps, there.spread.no_demand_gaps) == (0, 2)
