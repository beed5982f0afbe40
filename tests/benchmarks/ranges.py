"""What ranges and the step clock cost where no tool listens.

    python tests/benchmarks/ranges.py [ranges] [clock]

ranges  nanoseconds of `idlescope.range`, and of announcing a phase, against a bare nvtx range and
`record_function` clock   throughput of `tiny` on the CPU device with the step clock and with
nothing recorded, in pairs by turns
"""

from __future__ import annotations

import statistics
import sys
import time
import timeit
from pathlib import Path

sys.path[:0] = [str(Path(__file__).resolve().parents[2])]

import numpy as np
import nvtx
import torch

import idlescope
from idlescope.capture.announce import Announcer
from idlescope.capture.step_clock import StepClock
from idlescope.engine.devices.cpu import CpuDevice
from idlescope.engine.loop import Engine
from idlescope.engine.network.network import Network
from idlescope.engine.requests import Request
from idlescope.engine.running_rows import Shape
from idlescope.experiment.run_own import frozen_heap
from idlescope.models.presets import model

PAIRS = 12


class Nothing:
    """A recorder that takes nothing down."""

    def __getattr__(self, name):
        return lambda *arguments, **named: None


def each_ns(call, number=200_000):
    return min(timeit.repeat(call, number=number, repeat=5)) / number * 1e9


def ranges():
    clock, announcer, at = (
        StepClock(time.perf_counter_ns),
        Announcer(time.perf_counter_ns, 2),
        0,
    )
    reused = nvtx.annotate("prepare", domain="bare")

    def ours():
        with idlescope.range("prepare"):
            pass

    def bare():
        with reused:
            pass

    def fresh():
        with nvtx.annotate("prepare", domain="bare"):
            pass

    def record_function():
        with torch.profiler.record_function("prepare"):
            pass

    def phase_of(recorder):
        def phase():
            recorder.begin(1, at)
            recorder.phase(1, at, 0, 1)

        return phase

    print(f"idlescope.range             {each_ns(ours):7.0f} ns")
    print(f"nvtx.annotate, reused       {each_ns(bare):7.0f} ns")
    print(f"nvtx.annotate, fresh        {each_ns(fresh):7.0f} ns")
    print(f"record_function             {each_ns(record_function, 20_000):7.0f} ns")
    recorded, announced = each_ns(phase_of(clock)), each_ns(phase_of(announcer))
    print(f"a phase recorded            {recorded:7.0f} ns")
    print(f"a phase recorded, announced {announced:7.0f} ns")
    print(f"announcing costs {announced - recorded:.0f} ns a phase, asked: at most 1,000")


def clock():
    rows, new = 16, 400
    shape = Shape(rows, 512, 16 + new, rows * 27, 16)
    device = CpuDevice(Network(model("tiny"), "float32"))
    slots = device.open(shape, 2)

    def tokens_per_s(recorder):
        requests = [Request(i, np.arange(16, dtype=np.int32) + i, new) for i in range(rows)]
        engine = Engine(device, slots, requests, recorder)
        with frozen_heap():
            device.begin()
            start = time.perf_counter()
            engine.run()
            return engine.tokens / (time.perf_counter() - start)

    try:
        tokens_per_s(Nothing())
        costs = []
        for turn in range(PAIRS):
            pair = [("clock", lambda: Announcer(device.clock.now, 2)), ("bare", Nothing)]
            found = {
                name: tokens_per_s(make())
                for name, make in (pair if turn % 2 else pair[::-1])
            }
            costs.append(100 * (1 - found["clock"] / found["bare"]))
    finally:
        device.close()
    low, middle, high = statistics.quantiles(costs, n=4)
    print(
        f"step clock: {middle:+.2f} % of throughput, median of {PAIRS} pairs (quartiles {low:+.2f} to {high:+.2f})"
    )
    print("asked: at most 0.5")


if __name__ == "__main__":
    for part in sys.argv[1:] or ("ranges", "clock"):
        {"ranges": ranges, "clock": clock}[part]()
