"""Figures of the time between two states."""

from __future__ import annotations

import pytest

from idlescope.watching.view.figures import between, idle_share
from tests.make.watched_states import MS, SECOND, device, example, second, untimed


def test_idle_is_that_of_the_time_with_requests():
    figures = between(None, example().devices[0], 10 * SECOND)
    assert figures.watched_ns == 10_000 * MS
    assert figures.idle_pct == pytest.approx(25)  # 2 of 8 s
    assert figures.idle_per_step_ns == pytest.approx(2 * MS)
    assert figures.step_ns == pytest.approx(8 * MS)
    assert figures.no_demand_pct == pytest.approx(20)
    assert figures.overhead_pct == pytest.approx(0.2)
    assert figures.launch_latency_ns == pytest.approx(15_000)
    assert "no demand" not in figures.cause_ns()


def test_only_what_came_since_counts_and_causes_add_up_to_the_nanosecond():
    before = device(700, 100, idle_ms={"host": 300}, host_ms={"schedule": 300})
    now = device(
        1_500,
        200,
        idle_ms={"host": 400, "launch": 100},
        host_ms={"schedule": 350, "sample": 50},
    )
    figures = between(before, now, SECOND)
    assert figures.idle_pct == pytest.approx(20)
    assert figures.host_ns == {"schedule": 50 * MS, "sample": 50 * MS}
    assert figures.steps == 100
    assert figures.busy_ns + sum(figures.idle_ns.values()) == figures.watched_ns == SECOND


def test_what_nobody_timed_is_not_told_and_never_nought():
    figures = between(None, untimed(50), SECOND)
    assert figures.idle_pct is None
    assert figures.idle_per_step_ns is None
    assert figures.watched_ns is None
    assert figures.step_ns == 8 * MS  # the host knows


def test_without_requests_there_is_no_idle_figure():
    figures = between(None, device(idle_ms={"no demand": 500}), SECOND)
    assert figures.idle_pct is None
    assert figures.no_demand_pct == 100


def test_nothing_between_two_states_tells_nothing():
    same = example().devices[0]
    figures = between(same, same, 0)
    assert (figures.idle_pct, figures.idle_per_step_ns, figures.step_ns) == (None,) * 3


def test_a_second_without_requests_has_no_share():
    assert idle_share(second(0, 25)) == 0.25
    assert idle_share(second(0, 100, "no demand")) is None


def test_what_the_watch_made_of_idle_is_told_apart():
    before = device(700, 100, idle_ms={"host": 300}, own_idle_ns=30 * MS)
    now = device(1_400, 200, idle_ms={"host": 600}, own_idle_ns=90 * MS)
    figures = between(before, now, SECOND)
    assert figures.idle_pct == pytest.approx(30)
    assert figures.own_idle_per_step_ns == pytest.approx(0.6 * MS)
    assert figures.idle_without_watch_pct == pytest.approx(100 * 240 / 940)


def test_all_that_idles_may_be_the_watchs_own():
    figures = between(
        None, device(900, 10, idle_ms={"launch": 100}, own_idle_ns=100 * MS), 1
    )
    assert figures.idle_without_watch_pct == 0
