"""A server's loop in a process of its own, as SGLang's is called, on a device that is pretended.

    python tests/benchmarks/watched_engine.py STATES SECONDS FOLDER

It serves for so long, its watch by events in such states by turns ("off,on": tests/gpu/by_turns.py), and prints a line of
JSON: what the second state costs, and what the watch says of itself. FOLDER gets what was measured.

A step does a fixed amount of work in Python, which lets the interpreter's lock go as often as
operators of torch do, launches twice, and waits until the device is done.
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
import time
from contextlib import contextmanager
from pathlib import Path
from time import perf_counter_ns
from types import SimpleNamespace

sys.path[:0] = [str(Path(__file__).resolve().parents[2])]

from idlescope.analysis.steps.step_kind import StepKind
from idlescope.watching.engines import sglang_hooks
from idlescope.watching.engines.loop import Loop
from idlescope.watching.watch import Watch
from idlescope.watching.ways.events import EventsWay
from tests.gpu import by_turns
from tests.make.fake_engines import SGLANG, write_engine

DEVICE_NS = 5_500_000  # of a step
OPERATORS = 40  # of a step, each of which lets the interpreter's lock go
WORK = 500  # rounds of a loop in Python for each: some 1.5 ms per step in all


class Stream:
    """Runs what is issued to it one after the other."""

    stream_id = 7

    def __init__(self):
        self.busy_until = 0

    def now(self):
        return max(perf_counter_ns(), self.busy_until)


class Event:
    """A timed event that costs about as much as torch's."""

    __slots__ = ("happens_ns",)

    def record(self, stream):
        self.happens_ns = stream.now()

    def query(self):
        return perf_counter_ns() >= self.happens_ns

    def elapsed_time(self, other):
        return (other.happens_ns - self.happens_ns) / 1e6


class Calls:
    """What `CudaCalls` is, without a device."""

    index = 0
    event = Event
    record, elapsed_ms = staticmethod(Event.record), staticmethod(Event.elapsed_time)

    def __init__(self):
        self.current, self.own = Stream(), Stream()

    def name(self):
        return "pretended"

    def identity(self):
        return ""

    def capturing(self):
        return False

    def stream(self):
        return self.current

    def own_stream(self):
        return self.own

    @contextmanager
    def beside_captures(self):
        yield


class Mode:
    """The forward mode of a decode step."""

    def __getattr__(self, question):
        return lambda: question == "is_decode"


class Serving:
    """Batches for some seconds."""

    def __init__(self, seconds):
        self.end = time.monotonic() + seconds
        self.steps = 0

    def __bool__(self):
        return time.monotonic() < self.end

    def pop(self, _):
        self.steps += 1
        return SimpleNamespace(forward_mode=Mode(), reqs=[None] * 32)


def work(operators):
    """Do what a host does for so many operators."""
    for _ in range(operators):
        for _ in range(WORK):
            pass
        time.sleep(0)


def engine():
    """Return the scheduler of the fake engine, and the loop that its hooks tell of."""
    calls = Calls()
    folder = Path(tempfile.mkdtemp())
    write_engine(folder, SGLANG, "0.5.13")
    sys.path.insert(0, str(folder))
    loop = Loop(lambda device, rank: Watch(way=EventsWay(calls=calls), engine="fake"))
    import sglang.srt.managers.scheduler as managers
    from sglang.srt.managers.scheduler_components import batch_result_processor
    from sglang.srt.model_executor.model_runner import ModelRunner

    def forward_decode(self, forward_batch, pp_proxy_tensors=None):
        work(OPERATORS // 4)
        calls.current.busy_until = calls.current.now() + DEVICE_NS

    def sample(self, logits_output, forward_batch):
        work(OPERATORS // 4)
        calls.current.busy_until = calls.current.now() + 50_000
        return [1]

    def wait(self, *, batch, result, logits_output, next_token_ids):
        rest_ns = calls.current.busy_until - perf_counter_ns()
        if rest_ns > 0:
            time.sleep(rest_ns / 1e9)
        return next_token_ids, None

    def next_batch(self):
        work(OPERATORS // 2)
        return self.batches.pop(0)

    ModelRunner.forward_decode, ModelRunner.sample = forward_decode, sample
    batch_result_processor.SchedulerBatchResultProcessor._normalize_decode_outputs = wait
    managers.Scheduler.get_next_batch_to_run = next_batch
    sglang_hooks.install(loop)
    return managers.Scheduler([]), loop


def main(states, seconds, folder):
    """Serve, and say what the watch cost."""
    os.environ["IDLESCOPE_WATCH_FOLDER"] = os.environ["BY_TURNS"] = folder
    (Path(folder) / "states").write_text(states)
    by_turns.install()
    scheduler, loop = engine()
    scheduler.batches = serving = Serving(float(seconds))
    scheduler.event_loop()
    (measured,) = Path(folder).glob("*.steps")
    other, state = states.split(",")
    found = by_turns.compared(measured, state, StepKind.DECODE.code, other)
    watch, steps_us = loop.watch, 1e3 * serving.steps
    told = {"steps": serving.steps, "compared": found._asdict()}
    told |= {
        "overhead_us": watch.overhead_ns / steps_us,
        "off": watch.off,
        "lost": watch.lost,
    }
    print(json.dumps(told | {"settling_us": watch.settling_ns / steps_us}))


if __name__ == "__main__":
    main(*sys.argv[1:])
