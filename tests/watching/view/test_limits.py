"""Limits of what is watched: what cannot be told does not hold."""

from __future__ import annotations

import pytest

from idlescope.analysis.comparison.limits import Limits
from idlescope.capture.server.exported import UNTOLD, Exported
from idlescope.watching.view.limits import examine
from tests.make.watched_states import device, document, example, state, untimed


def checked(watched, **limits):
    return examine([watched], Limits.of(**limits))


@pytest.mark.parametrize(
    ("limit", "text", "holds"),
    [
        ("max_idle", "26%", True),
        ("max_idle", "24%", False),
        ("max_idle_ms_per_step", "2", True),
        ("max_idle_ms_per_step", "1.99", False),
    ],
)
def test_a_limit_is_held_against_the_time_with_requests(limit, text, holds):
    (check,) = checked(document(example()), **{limit: text})
    assert check.holds is holds
    assert check.limit == limit
    assert check.found in ("25 %", "2 ms")
    assert check.subject == "4242, device 0"


@pytest.mark.parametrize(
    ("watched", "why"),
    [
        (document(state(untimed(9, notes=["no device times"]))), "no device times"),
        (document(state(device(idle_ms={"no demand": 5}))), "there was no request"),
        (
            document(state(device(9, 9, off="an error of ours"))),
            "the watch is off: an error",
        ),
        (document(state(device())), "no time was accounted for"),
        (document(state(), "it has ended"), "it has ended"),
    ],
)
def test_what_cannot_be_told_does_not_hold_and_says_why(watched, why):
    for check in checked(watched, max_idle="99%", max_idle_ms_per_step="99"):
        assert not check.holds
        assert check.found == ""
        assert f"cannot be told: {why}" in check.says


def test_steps_are_needed_for_a_limit_per_step_alone():
    watched = document(state(device(90, idle_ms={"host": 10})))
    assert checked(watched, max_idle="10%")[0].holds
    (check,) = checked(watched, max_idle_ms_per_step="10")
    assert "no step has ended" in check.says


def test_occupancy_is_no_idle_figure_but_is_said():
    told = Exported(
        engine="SGLang", seconds=2.0, step_ms=7.6, step_by="tokens", forward_pct=81.3,
        no_work_pct=None, requests_running=None, requests_waiting=None, tokens_per_s=None,
        notes=[f"{UNTOLD}why"],
    )  # fmt: skip
    (check,) = checked(document(exported=told), max_idle="99%")
    assert check.says.endswith("told: forward passes fill 81.3 % of the time; why")


def test_every_watch_of_a_process_is_held_to_it():
    both = state(device(90, 9, idle_ms={"host": 10}), device(50, 9, idle_ms={"host": 50}))
    assert [check.holds for check in checked(document(both), max_idle="20%")] == [
        True,
        False,
    ]
