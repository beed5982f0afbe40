"""A loop of which nothing is known: its graph replays and its waits tell its steps."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from idlescope.watching.engines.loop import Loop
from idlescope.watching.engines.unknown import UnknownEngine
from idlescope.watching.watch import Watch
from idlescope.watching.ways.graph_captures import CAPTURES


class Torch:
    """What a loop calls of torch: graphs and events that do nothing, of classes of their own."""

    def __init__(self):
        class CUDAGraph:
            def replay(self):
                """Replay nothing."""

        class Event:
            def synchronize(self):
                """Wait for nothing."""

        self.graphs = SimpleNamespace(CUDAGraph=CUDAGraph)
        self.streams = SimpleNamespace(Event=Event, Stream=type("Stream", (Event,), {}))
        self.graph, self.event = CUDAGraph(), Event()


@pytest.fixture
def torch_calls():
    return Torch()


@pytest.fixture
def loop(torch_calls, tmp_path):
    made = Loop(lambda device, rank: Watch(way="host", folder=tmp_path))
    engine = UnknownEngine(made)
    engine.replays.wrap(torch_calls.graphs)
    engine.waits.wrap_streams(torch_calls.streams)
    yield made
    if made.watch is not None:
        made.watch.close()


def seen(loop):
    """Return how many steps have ended, and the calls with the steps that they are in."""
    loop.watch.settle()
    kept, names = loop.watch._ring.tables(), list(loop.watch.rows.names)
    steps = kept.steps["number"].tolist()
    calls = zip(kept.calls["step"].tolist(), kept.calls["name"].tolist(), strict=True)
    return steps, [(step, names[code]) for step, code in calls]


REPLAY, WAIT = "launch.forward", "event.synchronize (event)"


def test_nothing_is_watched_before_the_first_replay(loop, torch_calls):
    torch_calls.event.synchronize()
    assert loop.watch is None


def test_a_step_goes_from_the_first_replay_after_a_wait_to_the_next(loop, torch_calls):
    for _ in range(3):
        torch_calls.graph.replay()
        torch_calls.graph.replay()  # such as the sampler's
        torch_calls.event.synchronize()
    torch_calls.graph.replay()
    steps, calls = seen(loop)
    # until the first wait is seen, each replay may be a step
    assert steps == [0, 1, 2, 3]
    assert calls[:3] == [(0, REPLAY), (1, REPLAY), (1, WAIT)]
    assert calls[3:6] == [(2, REPLAY), (2, REPLAY), (2, WAIT)]
    assert calls[6:9] == [(3, REPLAY), (3, REPLAY), (3, WAIT)]


def test_an_asynchronous_loop_waits_for_the_step_before_and_has_a_step_a_replay(
    loop, torch_calls
):
    torch_calls.graph.replay()
    for _ in range(4):
        torch_calls.graph.replay()
        torch_calls.event.synchronize()
    torch_calls.graph.replay()
    steps, calls = seen(loop)
    replays = [step for step, name in calls if name == REPLAY]
    assert steps == [0, 1, 2, 3, 4]
    assert replays == [0, 1, 2, 3, 4, 5]


def test_a_loop_that_never_waits_has_a_step_a_replay(loop, torch_calls):
    for _ in range(5):
        torch_calls.graph.replay()
    assert seen(loop)[0] == [0, 1, 2, 3]


def test_it_is_never_watched_by_cupti_since_there_are_graphs(loop, torch_calls):
    assert not CAPTURES.exist()
    torch_calls.graph.replay()
    assert CAPTURES.exist()


def test_an_error_of_the_watch_leaves_the_loop_alone(loop, torch_calls, monkeypatch):
    torch_calls.graph.replay()

    def broken(*arguments):
        raise RuntimeError("broken")

    monkeypatch.setattr(loop, "begin_step", broken)
    torch_calls.graph.replay()
    torch_calls.event.synchronize()
    assert "broken" in loop.off
    assert not loop.watches
