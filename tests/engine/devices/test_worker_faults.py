"""Whatever befalls the CPU device's worker, and whenever: one sentence, nothing left, no hang."""

from __future__ import annotations

import errno
import gc
import os
import signal
import subprocess
import sys
import threading
import time
from contextlib import contextmanager, nullcontext, suppress
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

pytest.importorskip("torch")
if not Path("/proc/self/fd").exists():
    pytest.skip("no /proc", allow_module_level=True)

from idlescope.capture import spilled, step_clock
from idlescope.capture.step_clock import StepClock
from idlescope.engine.devices.cpu import CpuDevice
from idlescope.engine.loop import Engine
from idlescope.engine.network.network import Network
from idlescope.engine.requests import Request
from idlescope.engine.running_rows import Shape
from idlescope.errors import EngineError
from idlescope.models.presets import model
from tests.make import forked_workers
from tests.make.engine_faults import failing

SHAPE = Shape(rows=4, tokens=32, length=40, blocks=24, block_size=4)
NETWORK = Network(model("tiny"), "float32")
PHASES = (
    ("scheduler", "schedule"), ("slot", "fill"), ("device", "submit"), ("device", "_wait"), ("scheduler", "update"),
    ("engine", "emit"), ("recorder", "operations"), ("recorder", "counters"),
)  # fmt: skip
ERRORS = (
    partial(RuntimeError, "out of luck"),
    partial(MemoryError, "out of luck"),
    KeyboardInterrupt,
)
FEW = settings(max_examples=3, deadline=None, phases=[Phase.generate])
KILLS = (signal.SIGKILL, signal.SIGTERM, signal.SIGSEGV)
LONGEST_S = 60.0  # a hang lasts for ever, a busy machine does not


HELD = []  # files that are open once a worker has run: the server that forks them has some


@pytest.fixture(autouse=True)
def quick_workers(monkeypatch):
    monkeypatch.setattr(CpuDevice, "_spawn", forked_workers.spawn)
    if not HELD:
        outcome(lambda device, engine: nullcontext())
        HELD.append(held())


def requests(count=8):
    return [
        Request(
            number,
            np.arange(3, 7 + number % 5),
            6 + number % 9,
            arrival_ns=number * 300_000,
        )
        for number in range(count)
    ]


def held():
    """Return how many files this process has open: sockets, shared memory, workers among them."""
    gc.collect()
    return len(os.listdir("/proc/self/fd"))


def outcome(spoil, depth=2, count=8):
    """Run on a worker that is spoilt; return what is said, once it is sure that nothing is left."""
    device, engine, said, begin = CpuDevice(NETWORK), None, "", time.monotonic()
    try:
        slots = device.open(SHAPE, depth)
        engine = Engine(device, slots, requests(count), StepClock(device.clock.now))
        with spoil(device, engine):
            engine.run()
    except EngineError as failure:
        said = str(failure)
    except KeyboardInterrupt:
        said = "interrupted"
    finally:
        device.close()
    assert time.monotonic() - begin < LONGEST_S
    assert device._process is None
    assert "\n" not in said
    if engine is not None:
        assert not engine.in_flight
        assert engine.scheduler.allocator.free == SHAPE.blocks
    return said


@contextmanager
def killed(device, after_s, how):
    """Kill the worker after a time, wherever it is then."""
    process_id = device._process.pid

    def kill():
        with suppress(ProcessLookupError):  # it had ended
            os.kill(process_id, how)

    timer = threading.Timer(after_s, kill)
    timer.start()
    try:
        yield
    finally:
        timer.cancel()
        timer.join()


@FEW
@given(st.floats(0.0, 0.05), st.sampled_from(KILLS), st.sampled_from([1, 2]))
def test_a_worker_that_is_killed_at_any_time(after_s, how, depth):
    said = outcome(lambda device, engine: killed(device, after_s, how), depth, count=12)
    assert not said or f"the CPU worker died (killed by {how.name})" in said
    assert held() == HELD[0]


@FEW
@given(
    st.sampled_from(PHASES), st.integers(1, 12), st.sampled_from(ERRORS), st.sampled_from([1, 2])
)  # fmt: skip
def test_an_error_in_any_phase(place, calls, error, depth):
    said = outcome(lambda device, engine: failing(engine, place, calls, error), depth)
    if error is KeyboardInterrupt:
        assert said in ("", "interrupted")
    else:
        assert not said or said.startswith("step ")
    assert held() == HELD[0]


def test_a_disk_that_is_full(monkeypatch):
    monkeypatch.setattr(spilled, "VALUES_IN_MEMORY", 50)
    monkeypatch.setattr(step_clock, "VALUES_IN_MEMORY", 50)

    @contextmanager
    def full(device, engine):
        def write(*_):
            raise OSError(errno.ENOSPC, "No space left on device")

        with monkeypatch.context() as patch:
            patch.setattr(spilled.os, "write", write)
            yield

    assert "No space left on device" in outcome(full)
    assert held() == HELD[0]


@FEW
@given(
    st.lists(st.tuples(st.integers(0, 12), st.integers(0, 7)), max_size=8),
    st.sampled_from([1, 2]),
)
def test_requests_that_are_cancelled_at_random(doomed, depth):

    @contextmanager
    def cancelled(device, engine):
        pending = list(engine._arriving)

        def emit(_):
            for step, number in doomed:
                request = pending[number]
                if engine._current_step == step and request.finish is None:
                    engine.scheduler.cancel(request, engine.clock.now())

        engine.emit = emit
        yield
        assert all(request.finish is not None for request in pending)

    assert not outcome(cancelled, depth)
    assert held() == HELD[0]


def anonymous_mb():
    (line,) = (
        line
        for line in Path("/proc/self/status").read_text().splitlines()
        if "RssAnon" in line
    )
    return int(line.split()[1]) / 1024


def test_a_long_run_with_arrivals_stays_flat(monkeypatch):
    """The short form of 100,000 steps (CHANGELOG): thousands of steps, spilled as often."""
    monkeypatch.setattr(spilled, "VALUES_IN_MEMORY", 2_000)
    monkeypatch.setattr(step_clock, "VALUES_IN_MEMORY", 2_000)
    device, seen = CpuDevice(NETWORK), []
    try:
        slots = device.open(SHAPE, 2)
        many = [
            Request(number, np.arange(3, 7), 20, arrival_ns=number * 1_000_000)
            for number in range(120)
        ]
        engine = Engine(device, slots, many, StepClock(device.clock.now))
        engine.run(lambda running: running.steps % 100 or seen.append(anonymous_mb()))
    finally:
        device.close()
    assert engine.steps >= 400
    assert max(seen) - seen[1] < 4  # MB


ORPHAN = """
from multiprocessing import Pipe
from queue import SimpleQueue
from idlescope.engine.devices.worker import Worker

ours, theirs = Pipe()
theirs.close()
worker = Worker.__new__(Worker)
worker.link = ours
queue = SimpleQueue()
queue.put(lambda: ours.send_bytes(b"the times of a step"))
worker._run(queue)
"""


def test_a_worker_whose_parent_is_gone_ends_without_a_word():
    done = subprocess.run(
        [sys.executable, "-c", ORPHAN], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (1, "")
