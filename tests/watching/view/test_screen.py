"""What the screen says where not all is told, and of many."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

from idlescope.watching.state import WatchedGap
from idlescope.watching.view.members import Span
from idlescope.watching.view.screen import screen, time_text
from tests.make.watched_states import MS, device, document, example, second, state, untimed


def shown(*documents, span=Span.SEEN, notes=(), columns=80):
    """The lines of a screen."""
    stream = io.StringIO()
    console = Console(file=stream, width=columns, no_color=True)
    console.print(screen(documents, span, notes))
    return [line.rstrip() for line in stream.getvalue().splitlines()]


def said(*documents, **given):
    return " ".join(" ".join(shown(*documents, columns=400, **given)).split())


@pytest.mark.parametrize(
    ("span", "text"),
    [
        (Span.SEEN, "of the 10 s watched), 2 ms per step"),
        (Span.LATELY, "of the last 10 s), 2 ms per step"),
    ],
)
def test_the_sentence_says_of_which_time(span, text):
    assert text in said(document(example()), span=span)


def test_idle_that_cupti_makes_is_told_apart():
    watched = device(900, 100, idle_ms={"launch": 100}, own_idle_ns=30 * MS, way="activity")
    text = said(document(state(watched)))
    assert "idle without the watch: 7.2 %; CUPTI's part of launching is" in text
    assert "300 µs of each step's" in text
    assert "idle without the watch" not in said(document(example()))


def test_of_a_watch_that_has_just_begun_it_is_all_its_time():
    whole = document(example(), seconds=100)
    assert "of the 1 min 40 s since the watch began" in said(whole, span=Span.LATELY)


def test_a_watch_without_a_device_shows_its_steps_and_says_what_it_cannot_tell():
    host = state(untimed(1_250, notes=["watched by host: no device is timed"]), pid=7)
    text = said(document(host))
    assert text.startswith("Cannot tell how idle the device is.")
    assert "4242 – – 8 ms –" in text
    assert "125.0 steps/s" in text
    assert "watched by host: no device is timed" in text
    assert "device -1" not in text


def test_time_without_requests_is_no_idle_time():
    quiet = state(
        device(idle_ms={"no demand": 9_000}, seconds=[second(0, 100, "no demand")])
    )
    assert said(document(quiet)).startswith("No request came, so idle cannot be told.")


def test_what_is_gone_is_said():
    lines = shown(document(example(), "it has ended"), document(None, "it serves nothing"))
    assert lines[0].startswith("The device was idle for 25.00 %")
    assert "4242: it has ended" in lines
    assert "4242: it serves nothing" in lines
    only = said(document(None, "it serves nothing"))
    assert only.startswith("Nothing that was watched answers any more.")


def test_the_idlest_of_those_that_answer_is_explained():
    busy = state(device(9_900, 9, idle_ms={"queued": 100}), pid=9)
    text = said(document(example(), "it has ended"), document(busy, label="9"))
    assert text.startswith("The idlest of 2, 9, device 0, was idle for 1.00 %")


def test_sixty_four_ranks_fit_a_terminal_of_eighty_columns():
    ranks = [
        document(example(rank, 4_000_000 + rank), label=f"{4_000_000 + rank}, rank {rank}")
        for rank in range(64)
    ]
    lines = shown(*ranks)
    assert max(map(len, lines)) <= 80
    assert sum(", rank" in line and "25.0 %" in line for line in lines) == 32
    assert any("and 32 more (--json)" in line for line in lines)
    # a note that all share is said once
    assert sum("kernels inside a launch" in line for line in lines) == 1


def test_devices_of_one_process_are_told_apart():
    both = state(device(90, 9, idle_ms={"host": 10}), device(90, 9, device=1))
    lines = shown(document(both))
    assert [line[:14] for line in lines if line.startswith("4242, device")] == [
        "4242, device 0",
        "4242, device 1",
    ]


def test_why_no_gain_is_told_is_only_said_of_the_idlest():
    note = "what asynchronous batching would give: too few steps"
    idle = state(device(1, 1, idle_ms={"host": 9}, notes=[note]), pid=1)
    busy = state(device(9, 1, idle_ms={"host": 1}, notes=[note, "lost"]), pid=2)
    lines = shown(document(idle, label="1"), document(busy, label="2"))
    assert f"1: {note}" in lines
    assert "2: lost" in lines
    assert f"2: {note}" not in lines


def test_seconds_that_are_not_known_are_left_blank():
    gaps = state(
        device(9, 1, idle_ms={"host": 1}, seconds=[second(0, 50), second(119, 100)])
    )
    (course,) = (
        line for line in shown(document(gaps)) if line.endswith("█") and "%" not in line
    )
    assert course.strip() == f"▅{' ' * 58}█"


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0 s"),
        (59.6, "1 min"),
        (61, "1 min 1 s"),
        (7_385, "2 h 3 min"),
        (180_000, "2 d 2 h"),
    ],
)
def test_times_have_two_units_at_most(seconds, text):
    assert time_text(seconds) == text


def test_a_time_that_no_calendar_has_is_a_dash():
    strange = [WatchedGap(10**26, 3, 5, "host", "schedule")]
    text = said(document(state(device(9, 1, idle_ms={"host": 1}, gaps=strange))))
    assert "– 5 ns 3 host: schedule" in text
