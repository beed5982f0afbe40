"""What a watch costs the thread of a loop, against the same loop without one.

    python tests/benchmarks/watch.py [host] [memory] [engine]

host    microseconds per step (a step, a launch call and a wait) and per phase, by way: least of
        many short trials; and what the thread that settles costs per step, of its processor time
memory  a million steps: what the process holds at each tenth of them
engine  a loop like SGLang's on a pretended device of 5.5 ms per step, whose watch by events is off and on
        by turns (tests/gpu/by_turns.py): how much longer a step is, with its hooks alone and with events

Asked: at most 20 us per step, 1 us per phase, and memory that is flat. Ways that time a CUDA device
are measured where there is one: tests/gpu/watch.py.
"""

from __future__ import annotations

import gc
import json
import subprocess
import sys
import tempfile
from pathlib import Path
from time import perf_counter_ns

sys.path[:0] = [str(Path(__file__).resolve().parents[2])]


import idlescope
from idlescope.analysis.intervals import AFTER_EVERYTHING
from idlescope.trace.model import OperationKind
from idlescope.watching.ways.own_engine import OwnEngineWay

STEPS, TRIALS = 200, 100
PHASES = 5  # in each step, where they are measured
MILLION = 1_000_000
ENGINE_S = 30


class ReportedWay(OwnEngineWay):
    """A device whose operations are reported as soon as they are issued: it costs next to nothing."""

    def __init__(self):
        super().__init__("reported", "reported")
        self.told_ns = AFTER_EVERYTHING  # nothing is told later than it happens
        self._begun = 0

    def begin(self, launch, start_ns):
        self._begun = start_ns

    def end(self, launch):
        start = self.now()
        self.retired(
            launch, [launch, 0, int(OperationKind.GRAPH), -1, start, start + 1_000]
        )


def ways():
    """Return the ways that there are here, by name."""
    found = {"host": "host", "cpu": ReportedWay()}
    try:
        import torch

        if torch.cuda.is_available():
            found |= {"events": "events", "activity": "activity"}
    except ImportError:
        pass
    return found


def step(watch):
    with watch.step(tokens=32, requests=32):
        with watch.launching("forward"):
            pass
        with watch.waiting("tokens"):
            pass


def step_with_phases(watch):
    with watch.step(tokens=32, requests=32):
        for _ in range(PHASES):
            with idlescope.range("prepare"):
                pass
        with watch.launching("forward"):
            pass
        with watch.waiting("tokens"):
            pass


def bare(_):
    for _ in range(1):
        pass


def bare_phases(_):
    for _ in range(PHASES):
        with idlescope.range("prepare"):
            pass


def each_us(call, watch):
    """Return the least microseconds of a call; what it took down is taken between trials."""
    least = float("inf")
    for _ in range(TRIALS):
        start = perf_counter_ns()
        for _ in range(STEPS):
            call(watch)
        least = min(least, perf_counter_ns() - start)
        if watch is not None:
            watch.settle()
    return least / STEPS / 1e3


def host():
    idle_loop, unwatched = each_us(bare, None), each_us(bare_phases, None)
    range_us = (unwatched - idle_loop) / PHASES
    print(f"a bare loop            {idle_loop:6.2f} us per iteration")
    print(f"an unwatched range     {range_us:6.2f} us")
    for name, way in ways().items():
        watch = idlescope.watch(way=way, folder=tempfile.mkdtemp())
        per_step = each_us(step, watch) - idle_loop
        per_phase = (each_us(step_with_phases, watch) - idle_loop - per_step) / PHASES
        settled = settling_us(watch)
        watch.close()
        print(
            f"{name:<22} {per_step:6.2f} us per step   {per_phase:5.2f} us per phase, "
            f"{per_phase - range_us:5.2f} of it the watch's   {settled:6.2f} us per step in "
            f"the other thread, {STEPS} steps at a time"
        )
    print("asked: at most 20 us per step and 1 us per phase")


def settling_us(watch):
    """Return what settling costs per step, us of processor time."""
    import time

    least = float("inf")
    for _ in range(20):
        for _ in range(STEPS):
            step_with_phases(watch)
        start = time.thread_time_ns()
        watch.settle()
        least = min(least, time.thread_time_ns() - start)
    return least / STEPS / 1e3


def held_kb():
    """Return the resident memory of this process, KB."""
    gc.collect()
    status = Path("/proc/self/status").read_text()
    return int(status.split("VmRSS:")[1].split()[0])


def memory():
    watch = idlescope.watch(way=ReportedWay(), folder=tempfile.mkdtemp())
    held = []
    start = perf_counter_ns()
    for tenth in range(10):
        for number in range(MILLION // 10):
            step_with_phases(watch)
            if number % 1_000 == 0:
                watch.settle()
        held.append(held_kb())
        print(f"{(tenth + 1) * MILLION // 10:>9,} steps: {held[-1] / 1024:7.1f} MiB")
    took_s = (perf_counter_ns() - start) / 1e9
    state = watch.state().devices[0]
    grown = held[-1] - held[1]
    print(f"from the second tenth on: {grown:+,} KiB; {took_s:.0f} s; off: {state.off!r}")
    print(f"steps counted: {sum(state.steps.values()):,}; lost: {state.steps_lost}")
    watch.close()


def engine():
    program = Path(__file__).with_name("watched_engine.py")
    print(f"like SGLang, by events, off and on by turns, {ENGINE_S} s each (asked: 1 %):")
    for states in ("off,hooks", "off,on"):
        with tempfile.TemporaryDirectory() as folder:
            words = [sys.executable, str(program), states, str(ENGINE_S), folder]
            told = json.loads(subprocess.check_output(words, text=True))
        cost = told["compared"]
        print(
            f"  {states}: {cost['cost_us']:.0f} us +- {cost['error_us']:.0f} on {cost['other_ms']:.2f} ms, "
            f"{cost['cost_us'] / cost['other_ms'] / 10:.2f} %; settling makes steps longer by "
            f"{cost['settling_us']:.1f} us; the watch says {told['overhead_us']:.1f} us per step of the "
            f"loop's time, {told['settling_us']:.1f} us of processor time in the other thread; "
            f"off: {told['off']!r}; lost: {told['lost']}"
        )


if __name__ == "__main__":
    for part in sys.argv[1:] or ("host", "memory", "engine"):
        {"host": host, "memory": memory, "engine": engine}[part]()
