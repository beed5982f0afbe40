"""Whenever another thread settles, in the midst of whatever the loop writes, nothing is lost."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

import idlescope
from idlescope.capture.step_clock import StepClock
from idlescope.engine.loop import Engine
from idlescope.engine.requests import Request
from idlescope.engine.running_rows import Shape
from idlescope.trace.names.own_engine import DEPTHS
from idlescope.watching import turns
from idlescope.watching.own_engine import watch_engine
from idlescope.watching.rows import Rows
from idlescope.watching.spans import LaunchSpan
from idlescope.watching.watch import Watch
from idlescope.watching.ways import events
from idlescope.watching.ways.events import EventsWay
from tests.make.fake_cuda import FakeCuda
from tests.make.interrupted import interrupted
from tests.make.pretended_streams import PretendedStreams
from tests.make.settled_once import settled_once
from tests.make.taking_turns import taking_turns
from tests.make.unruly_loops import chaos, unruly_steps
from tests.make.watched_loops import PretendedDevice

LOOPS = (
    "make/unruly_loops.py",
    "watching/loop_watch.py",
    "watching/spans.py",
    "watching/rows.py",
    "capture/ranges.py",
)
UNRULY_PHASES = {"prepare", "fill", "pack", "stream", "update", "stop"}
SETTLING = ("watching/watch.py", "watching/rows.py")
OUR_ENGINE = ("engine/loop.py", "engine/clock.py", "watching/own_engine.py")


@pytest.mark.parametrize("mode", DEPTHS)
def test_what_our_engine_tells_later_is_settled_later(mode, tmp_path):
    engine, watch = our_engine(mode, tmp_path)
    with interrupted(OUR_ENGINE, watch.settle):
        engine.run()
    check(watch, {"schedule", "prepare", "submit", "update"})


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("mode", DEPTHS)
def test_our_engine_goes_on_while_it_is_settled(mode, seed, tmp_path, monkeypatch):
    monkeypatch.setattr(turns, "PATIENCE_S", 0)
    engine, watch = our_engine(mode, tmp_path)
    settling = (*SETTLING, "ways/own_engine.py")
    taking_turns(engine.run, lambda: settle_often(watch), (*OUR_ENGINE, *settling), seed)
    check(watch, {"schedule", "prepare", "submit", "update"})


def our_engine(mode: str, folder: Path) -> tuple[Engine, Watch]:
    """Return our engine before a run of three steps or four, and its watch."""
    device = PretendedStreams(length_ns=200_000)
    slots = device.open(Shape(2, 64, 16, 16, 16), DEPTHS[mode])
    recorder = watch_engine(device, StepClock(device.clock.now), folder=folder)
    requests = [Request(index, np.arange(4, dtype=np.int32), 3) for index in range(2)]
    engine = Engine(device, slots, requests, recorder)
    device.begin()
    return engine, recorder.watch


def test_what_a_loop_is_about_to_write_is_settled_later():
    watch = idlescope.watch(way=PretendedDevice(length_ns=20_000))
    with interrupted(LOOPS, watch.settle):
        unruly_steps(watch, 3)
    check(watch, UNRULY_PHASES)


@pytest.mark.parametrize("seed", range(5))
def test_a_loop_that_goes_on_while_it_is_settled_loses_nothing(seed, monkeypatch):
    monkeypatch.setattr(turns, "PATIENCE_S", 0)
    watch = idlescope.watch(way=PretendedDevice(length_ns=20_000))
    taking_turns(
        lambda: unruly_steps(watch, 8),
        lambda: settle_often(watch),
        (*LOOPS, *SETTLING),
        seed,
    )
    check(watch, UNRULY_PHASES)


@pytest.mark.parametrize("seed", range(4))
def test_a_loop_that_is_timed_by_events_loses_nothing(seed, monkeypatch):
    monkeypatch.setattr(turns, "PATIENCE_S", 0)
    monkeypatch.setattr(events, "NOTED_NS", 0)
    cuda = FakeCuda()
    watch = idlescope.watch(way=EventsWay(calls=cuda))
    launching = watch.launching

    def issuing(name: str) -> LaunchSpan:
        cuda.current.issue(20_000)
        return launching(name)

    monkeypatch.setattr(watch, "launching", issuing)
    taking_turns(
        lambda: unruly_steps(watch, 8),
        lambda: settle_often(watch),
        (*LOOPS, *SETTLING, "ways/events.py"),
        seed,
    )
    check(watch, UNRULY_PHASES)


def settle_often(watch: Watch) -> None:
    for _ in range(12):
        watch.settle()


def check(watch: Watch, phases: set[str]) -> None:
    """Assert that a watch has counted what it would have, had it been asked at the end only."""
    watch.settle()
    assert not watch.off
    totals = watch._account.totals
    assert totals == settled_once(watch).totals
    assert phases <= set(totals.host_ns)


@pytest.fixture
def switching_often(monkeypatch):
    """The interpreter switches threads as often as it can."""
    monkeypatch.setattr(turns, "PATIENCE_S", 0)
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(before)


@pytest.mark.usefixtures("switching_often")
@pytest.mark.parametrize("seed", range(4))
def test_whatever_one_thread_tells_is_counted_as_if_settled_once(seed):
    watch = idlescope.watch(way=PretendedDevice(length_ns=20_000))
    in_threads(watch, [lambda: chaos(watch, seed, 500)])
    # On a busy machine the device may never be idle in a certain phase.
    check(watch, set())
    assert watch._account.totals.host_ns


@pytest.mark.usefixtures("switching_often")
@pytest.mark.parametrize("seed", range(4))
def test_several_threads_that_tell_one_watch_harm_nobody(seed):
    watch = idlescope.watch(way=PretendedDevice(length_ns=20_000))
    in_threads(
        watch, [lambda part=part: chaos(watch, 9 * seed + part, 300) for part in (0, 1, 2)]
    )
    watch.settle()
    totals = watch._account.totals
    assert not watch.off
    assert sum(totals.host_ns.values()) == totals.idle_ns["host"]
    assert totals.watched_ns == totals.busy_ns + sum(totals.idle_ns.values()) > 0


@pytest.mark.parametrize("seed", range(4))
def test_a_name_has_one_code_whoever_asks_for_it_at_the_same_time(seed):
    rows = Rows()
    asked = ([], [])

    def ask(codes: list[int]) -> None:
        codes += [rows.names[f"name {number}"] for number in range(20)]

    taking_turns(lambda: ask(asked[0]), lambda: ask(asked[1]), ("rows.py",), seed, 0.5)
    assert asked[0] == asked[1]
    assert len(set(asked[0])) == 20
    names = rows.names.in_order()
    assert [names[code] for code in asked[0]] == [f"name {number}" for number in range(20)]


def in_threads(watch: Watch, works: list[Callable[[], None]]) -> None:
    """Do some works in threads, and settle meanwhile; raise what went wrong in one of them."""
    with ThreadPoolExecutor(len(works)) as pool:
        done = [pool.submit(work) for work in works]
        while not all(work.done() for work in done):
            watch.settle()
    for work in done:
        work.result()
    time.sleep(0.001)  # what is launched last has ended then
