"""Does a watch by activity see what a GPU does? python3 tests/gpu/activity.py

A loop of its own, watched by activity and beside that by plain CUDA events: per step a copy in, a replay of a graph of
matrix products, a kernel outside of it, a copy out and a wait, and a pause of the host. Then torch.profiler records for a
while, and the loop goes on. Prints, as JSON, busy and idle per step by both before, while and after that: `by_events_ms`
is from the first to the last operation of a step, without what the watch cannot know of them.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path

sys.path[:0] = [str(Path(__file__).resolve().parents[2])]

import torch

import idlescope
from idlescope.watching.state import DeviceState
from idlescope.watching.watch import Watch

STEPS = 400
HOST_S = 0.002  # of each step: the device idles at least so long
SIZE, PRODUCTS = 4096, 24


class GraphLoop:
    """Steps of a graph on a stream of its own, and the events around each."""

    def __init__(self) -> None:
        self.tokens = torch.zeros(SIZE, pin_memory=True)
        self.inputs = torch.zeros(SIZE, device="cuda")
        weights = torch.randn(SIZE, SIZE, device="cuda", dtype=torch.bfloat16)
        rows = torch.randn(64, SIZE, device="cuda", dtype=torch.bfloat16)
        self.graph = torch.cuda.CUDAGraph()
        torch.matmul(rows, weights)
        torch.cuda.synchronize()
        with torch.cuda.graph(self.graph):
            for _ in range(PRODUCTS):
                self.outputs = torch.matmul(rows, weights)

    def run(self, watch: Watch) -> list[tuple[torch.cuda.Event, torch.cuda.Event]]:
        """Run the steps; return the events around the work of each."""
        pairs = []
        for _ in range(STEPS):
            first, last = (torch.cuda.Event(enable_timing=True) for _ in range(2))
            with watch.step(tokens=1, requests=1):
                with idlescope.range("prepare"):
                    time.sleep(HOST_S)
                with watch.launching("forward"):
                    first.record()
                    self.inputs.copy_(self.tokens, non_blocking=True)
                    self.graph.replay()
                self.inputs.add_(1)
                self.tokens.copy_(self.inputs, non_blocking=True)
                last.record()
                with watch.waiting("tokens"):
                    last.synchronize()
            pairs.append((first, last))
        return pairs


def grown(before: DeviceState, after: DeviceState) -> dict[str, object]:
    """Return what the watch counted between two states, in ms per step."""
    idle_ns = {
        cause: ns - (before.idle_ns or {}).get(cause, 0)
        for cause, ns in (after.idle_ns or {}).items()
    }
    busy_ns = (after.busy_ns or 0) - (before.busy_ns or 0)
    return {
        "busy_ms": busy_ns / STEPS / 1e6,
        "idle_ms": {cause: ns / STEPS / 1e6 for cause, ns in idle_ns.items() if ns},
        "overhead_us": (after.overhead_ns - before.overhead_ns) / STEPS / 1e3,
        "settling_us": (after.settling_ns - before.settling_ns) / STEPS / 1e3,
        "steps": sum(after.steps.values()) - sum(before.steps.values()),
        "way": after.way,
        "notes": after.notes,
        "off": after.off,
        "batching": after.batching,
    }


def main() -> None:
    """Run the loop three times: alone, beside torch.profiler, and alone again."""
    torch.zeros(1, device="cuda")  # a context, as an engine has one when its watch begins
    watch = idlescope.watch(way="activity")
    loop = GraphLoop()
    for part in ("before", "profiled", "after"):
        before = watch.state().devices[0]
        begin = time.perf_counter()
        if part == "profiled":
            with torch.profiler.profile():
                pairs = loop.run(watch)
        else:
            pairs = loop.run(watch)
        wall_s = time.perf_counter() - begin
        time.sleep(1)
        found = grown(before, watch.state().devices[0])
        found["by_events_ms"] = sum(a.elapsed_time(b) for a, b in pairs) / STEPS
        found["step_ms"] = 1e3 * wall_s / STEPS
        print(json.dumps({"part": part} | found), flush=True)
    watch.close()


if __name__ == "__main__":
    main()
